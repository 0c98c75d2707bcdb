import Datastore from "nedb-promises";
import { z } from "zod";
import { PlantgateError } from "../../protocol/index.ts";
import { isNoRoom } from "../write-flushed.ts";
import { type AgentDisk, machineDisk } from "./disk.ts";
import { digestOf } from "./signed-bundle.ts";

const digest = z.string().regex(/^[0-9a-f]{64}$/);
const tally = z.object({ of: z.string(), recorded: z.int().min(0), deadLetters: z.int().min(0) });

/** A bundle on disk. Its number does not name its content for ever (ADR 0064), its digest does. */
const storedRevision = z.object({ revision: z.int().positive(), digest });
export type StoredRevision = Readonly<z.infer<typeof storedRevision>>;

const agentState = z.object({
  /** What central wants, as far as it was dealt with. 0: nothing. */
  desired: z.object({ revision: z.int().min(0), digest: digest.optional() }),
  /** The last good revision: where the way back leads. It runs, unless there is a trial. */
  good: storedRevision.optional(),
  /** The one that was good before it. */
  before: storedRevision.optional(),
  /** What became of inputs and deliveries under the good one, in processes that were stopped. */
  tallies: z.array(tally).optional(),
  /** The revision in effect that has yet to show that it does well. */
  trial: storedRevision
    .extend({
      /** How often it was put into effect, and not ended as one stops a process. */
      starts: z.int().min(0),
      /** Connectors that were down or degraded before it. */
      ailing: z.array(z.string()),
      /** What became of inputs and deliveries before it. */
      earlier: z.array(tally),
    })
    .optional(),
  /** What central wanted and does not run. It is not tried again before central wants something else. */
  refused: z
    .object({
      revision: z.int().positive(),
      digest: digest.optional(),
      /** Never put into effect; or put into effect, and taken back. */
      how: z.enum(["refused", "rolled-back"]),
      reason: z.string(),
    })
    .optional(),
  /** Where the fence was noted before it had a file of its own ({@link FenceMark}). */
  fenced: z.string().optional(),
});

/** What the agent remembers between starts. What runs is `trial`, else `good`: no mixture of two can be written down. */
export type AgentState = Readonly<z.infer<typeof agentState>>;

/** As versions before ADR 0086 wrote it, with bundles that had a number alone. */
const earlierState = z.object({
  active: z.int().nonnegative(),
  desired: z.int().nonnegative(),
  previous: z.int().nonnegative().optional(),
  fenced: z.string().optional(),
});

export interface DocumentsOptions {
  readonly disk?: AgentDisk;
  /** So much may lie in the file that nobody needs any more, beside as much again as is needed. */
  readonly spareBytes?: number;
}

type Stored = { _id: string; jws?: string; state?: unknown };
type Store = Datastore<Stored>;

const defaultSpareBytes = 1024 * 1024;

/**
 * The agent's few documents: bundles and the state. nedb holds them, and the file is in its format, one document a line, the last of each name counts;
 * but the file is written here, through {@link AgentDisk}, and nedb never sees it: it does not flush what it appends, and writes all anew at each
 * start, for which a full disk has no room (ADR 0086). A write is flushed on return, or has not happened: memory follows the disk.
 * Lines that a power cut tore are passed over, as what they were to replace stands before them.
 */
export class AgentDocuments {
  readonly #file: string;
  readonly #disk: AgentDisk;
  readonly #store: Store;
  readonly #spareBytes: number;
  /** Where a file was put of which nothing could be read, at this start. */
  readonly setAside: string | undefined;
  /** Bytes of the file, at most. */
  #size: number;
  /** Of each document's line. */
  readonly #bytes = new Map<string, number>();
  /** The file may end amidst a line, which would swallow the next one. */
  #torn: boolean;
  /** The file's name is not known to be on the disk. */
  #isNew: boolean;

  private constructor(
    { file, disk = machineDisk, spareBytes = defaultSpareBytes }: DocumentsOptions & { readonly file: string },
    store: Store,
    found: Buffer | undefined,
    setAside: string | undefined,
  ) {
    this.#file = file;
    this.#disk = disk;
    this.#spareBytes = spareBytes;
    this.#store = store;
    this.setAside = setAside;
    this.#size = found?.length ?? 0;
    this.#torn = found !== undefined && found.length > 0 && found.at(-1) !== newline;
    this.#isNew = found === undefined;
  }

  static async open(file: string, options: DocumentsOptions = {}): Promise<AgentDocuments> {
    const { disk = machineDisk } = options;
    let found = await disk.read(file);
    const documents = found && parseDocuments(found);
    let setAside: string | undefined;
    if (documents === undefined && found !== undefined) {
      setAside = `${file}.unreadable-${Date.now()}`;
      await disk.rename(file, setAside);
      found = undefined;
    }
    const store: Store = Datastore.create();
    const opened = new AgentDocuments({ file, ...options }, store, found, setAside);
    for (const document of documents?.values() ?? []) {
      await store.insert(document);
      opened.#bytes.set(document._id, lineOf(document).length);
    }
    return opened;
  }

  /** A state that cannot be read is made up from the bundles: the newest was signed by central, and runs if it can and does well. */
  async state(): Promise<AgentState> {
    const stored = (await this.#store.findOne({ _id: "state" }))?.state;
    const state = agentState.safeParse(stored);
    if (state.success) return state.data;
    const bundles = (await this.#store.find({ _id: /^bundle\// })).map(({ _id }) => toRevision(_id));
    bundles.sort((a, b) => b.revision - a.revision);
    const [newest, second] = bundles;
    const earlier = earlierState.safeParse(stored);
    if (!earlier.success) {
      const trial = newest && { ...newest, starts: 0, ailing: [], earlier: [] };
      return { desired: newest ?? { revision: 0 }, trial, good: second };
    }
    const { active, desired, previous, fenced } = earlier.data;
    const named = (revision: number | undefined) => bundles.find((each) => each.revision === revision);
    return { desired: named(desired) ?? { revision: desired }, good: named(active), before: named(previous), fenced };
  }

  /**
   * Bundles that it does not name are forgotten, but for `kept`.
   * @throws what the disk throws: the state before is the one that counts; PlantgateError DISK_FAILED: nobody can tell which
   */
  async saveState(state: AgentState, kept?: StoredRevision): Promise<void> {
    await this.#put({ _id: "state", state });
    await this.#forget([state.good, state.before, state.trial, kept]);
  }

  async bundle(stored: StoredRevision): Promise<string | undefined> {
    return (await this.#store.findOne({ _id: nameOf(stored) }))?.jws;
  }

  /** Kept until a state is saved that does not name it. @throws as {@link saveState} does */
  async saveBundle(stored: StoredRevision, jws: string): Promise<void> {
    // a bundle without a state would be taken for one that ran
    if (!this.#bytes.has("state")) await this.#put({ _id: "state", state: await this.state() });
    // what lies there under its name may be damaged
    if ((await this.bundle(stored)) !== jws) await this.#put({ _id: nameOf(stored), jws });
  }

  async #put(document: Stored): Promise<void> {
    const line = lineOf(document);
    await this.#append(line);
    this.#bytes.set(document._id, line.length);
    await this.#store.updateOne({ _id: document._id }, document, { upsert: true });
  }

  async #append(line: Buffer): Promise<void> {
    const bytes = this.#torn ? Buffer.concat([Buffer.of(newline), line]) : line;
    this.#torn = true;
    this.#size += bytes.length;
    await this.#disk.append(this.#file, bytes);
    try {
      await this.#disk.flush(this.#file);
    } catch (cause) {
      if (isNoRoom(cause)) throw cause;
      // rule 12: what a failed flush leaves cannot be told from here; a new process reads what is there
      throw new PlantgateError("DISK_FAILED", `${this.#file} cannot be flushed`, { cause });
    }
    if (this.#isNew) await this.#flushFolder();
    this.#torn = false;
  }

  async #flushFolder(): Promise<void> {
    await this.#disk.flushFolder(this.#file);
    this.#isNew = false;
  }

  /** The other bundles are needed no more; the file is written anew when it holds too much of that. */
  async #forget(needed: readonly (StoredRevision | undefined)[]): Promise<void> {
    const named = new Set(["state", ...needed.flatMap((each) => (each ? [nameOf(each)] : []))]);
    for (const name of [...this.#bytes.keys()].filter((each) => !named.has(each))) {
      this.#bytes.delete(name);
      await this.#store.deleteOne({ _id: name }, {});
    }
    const bytes = [...this.#bytes.values()].reduce((sum, each) => sum + each, 0);
    if (this.#size <= 2 * bytes + this.#spareBytes) return;
    try {
      await this.#rewrite();
    } catch {
      // no room: all is in the file as it is, and the next state that is saved tries it again
    }
  }

  async #rewrite(): Promise<void> {
    const whole = Buffer.concat((await this.#store.find({})).map(lineOf));
    const staged = `${this.#file}.new`;
    await this.#disk.write(staged, whole);
    await this.#disk.flush(staged);
    await this.#disk.rename(staged, this.#file);
    this.#size = whole.length;
    this.#torn = false;
    // what is appended from now on lies under this name only once the folder is flushed
    this.#isNew = true;
    await this.#flushFolder();
  }
}

const newline = 0x0a;

function nameOf({ revision, digest }: StoredRevision): string {
  return `bundle/${revision}/${digest}`;
}

function toRevision(name: string): StoredRevision {
  const [, revision, digest = ""] = name.split("/");
  return { revision: Number(revision), digest };
}

function lineOf(document: Stored): Buffer {
  return Buffer.from(`${JSON.stringify(document)}\n`);
}

/** The last line of each document, as nedb reads them. Undefined: there are lines, and not one of them is whole. */
function parseDocuments(bytes: Buffer): Map<string, Stored> | undefined {
  const documents = new Map<string, Stored>();
  let whole = 0;
  let torn = 0;
  for (const line of bytes.toString("utf8").split("\n")) {
    if (line === "") continue;
    const document = parseDocument(line);
    if (document === undefined) {
      torn += 1;
      continue;
    }
    whole += 1;
    if (document.$$deleted) documents.delete(document._id);
    else documents.set(document._id, document);
  }
  return whole === 0 && torn > 0 ? undefined : documents;
}

function parseDocument(line: string): (Stored & { readonly $$deleted?: true }) | undefined {
  try {
    const parsed = JSON.parse(line) as (Stored & { readonly $$deleted?: true }) | null;
    if (typeof parsed?._id !== "string") return undefined;
    const number = /^bundle\/(\d+)$/.exec(parsed._id)?.[1];
    if (number === undefined || parsed.jws === undefined) return parsed;
    // an earlier version's, which had a number alone
    return { ...parsed, _id: nameOf({ revision: Number(number), digest: digestOf(parsed.jws) }) };
  } catch {
    return undefined;
  }
}
