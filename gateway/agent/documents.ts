import { open, readFile, rename } from "node:fs/promises";
import Datastore from "nedb-promises";
import { z } from "zod";

const agentState = z.object({
  /** The revision that runs; 0: none. */
  active: z.int().nonnegative(),
  /** The revision that central wants. */
  desired: z.int().nonnegative(),
  /** The revision that ran before `active`; 0 or absent: none. */
  previous: z.int().nonnegative().optional(),
  /** Where the fence was noted before it had a file of its own ({@link FenceMark}). */
  fenced: z.string().optional(),
});

/** What the agent remembers between starts. */
export type AgentState = Readonly<z.infer<typeof agentState>>;

type Store = Datastore<{ _id: string; jws?: string; state?: unknown }>;

/**
 * The agent's few documents, in nedb: last good bundles and state. nedb never flushes what it appends, so each write here flushes the
 * file before it returns (ADR 0003). Lines that a power cut tore are passed over, as what they were to replace stands before them.
 */
export class AgentDocuments {
  readonly #file: string;
  #store: Store;
  /** Where a file was put of which nothing could be read, at this start. */
  readonly setAside: string | undefined;
  /** A write failed: what it left of its line would swallow the next one. */
  #torn = false;

  private constructor(file: string, store: Store, setAside: string | undefined) {
    this.#file = file;
    this.#store = store;
    this.setAside = setAside;
  }

  static async open(file: string): Promise<AgentDocuments> {
    // before nedb loads it: it writes the file anew, without what it could not read
    const aside = (await isReadable(file)) ? undefined : `${file}.unreadable-${Date.now()}`;
    if (aside !== undefined) await rename(file, aside);
    return new AgentDocuments(file, await load(file), aside);
  }

  /** A state that cannot be read is made up from the bundles: the newest was signed by central, and runs if it can. */
  async state(): Promise<AgentState> {
    const stored = agentState.safeParse((await this.#store.findOne({ _id: "state" }))?.state);
    if (stored.success) return stored.data;
    const bundles = await this.#store.find({ _id: /^bundle\/\d+$/ });
    const [active = 0, previous] = bundles.map(({ _id }) => Number(_id.slice("bundle/".length))).sort((a, b) => b - a);
    return { active, desired: active, ...(previous === undefined ? {} : { previous }) };
  }

  async saveState(state: AgentState): Promise<void> {
    await this.#put({ _id: "state", state });
  }

  async bundle(revision: number): Promise<string | undefined> {
    return (await this.#store.findOne({ _id: `bundle/${revision}` }))?.jws;
  }

  /** Keeps a bundle; all but this one and those of `keep` are removed. */
  async saveBundle(revision: number, jws: string, keep: readonly number[]): Promise<void> {
    await this.#put({ _id: `bundle/${revision}`, jws });
    const kept = ["state", ...[revision, ...keep].map((each) => `bundle/${each}`)];
    await this.#write(() => this.#store.deleteMany({ _id: { $nin: kept } }, { multi: true }));
  }

  #put(document: { _id: string; jws?: string; state?: AgentState }): Promise<void> {
    return this.#write(() => this.#store.updateOne({ _id: document._id }, document, { upsert: true }));
  }

  async #write(work: () => Promise<unknown>): Promise<void> {
    if (this.#torn) this.#store = await load(this.#file);
    this.#torn = true;
    await work();
    await this.#flush();
    this.#torn = false;
  }

  async #flush(): Promise<void> {
    const handle = await open(this.#file, "r+");
    try {
      await handle.sync();
    } finally {
      await handle.close();
    }
  }
}

async function load(file: string): Promise<Store> {
  // documents are judged here, each by itself: nedb would refuse the whole file over one torn line of five
  const store: Store = Datastore.create({ filename: file, autoload: false, corruptAlertThreshold: 1 });
  await store.load();
  return store;
}

/** Whether there is no file, an empty one, or one of which at least a line is whole. */
async function isReadable(file: string): Promise<boolean> {
  try {
    const lines = (await readFile(file, "utf8")).split("\n").filter((line) => line !== "");
    return lines.length === 0 || lines.some(isDocument);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "ENOENT";
  }
}

function isDocument(line: string): boolean {
  try {
    return typeof (JSON.parse(line) as { _id?: unknown } | null)?._id === "string";
  } catch {
    return false;
  }
}
