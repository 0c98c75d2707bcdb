import { createHash } from "node:crypto";
import { mkdirSync, readdirSync, readFileSync, rmSync, statfsSync, statSync } from "node:fs";
import { open } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { parseJson, type ReleaseOffer } from "../../protocol/index.ts";
import { flushFolder, renameOver, writeFlushed } from "../write-flushed.ts";

/** What was done about an attempt, so that a start in its midst goes on and does none of it twice. */
const attemptNote = z.object({
  attempt: z.string(),
  version: z.string(),
  sha256: z.string(),
  /** `handing`: the request is about to be written. `handed`: it is, and the rest is the updater's. */
  phase: z.enum(["handing", "handed"]),
  /** What the updater had noted of the upgrade before: what it notes next is about this one. */
  before: z.string(),
});
export type AttemptNote = Readonly<z.infer<typeof attemptNote>>;

const requestName = "request.json";
const hashedAtOnce = 1024 * 1024;

/**
 * The folder from which the machine's updater takes packages. Everything in it is flushed before what follows from it: bytes before the name that says
 * they are whole, package and signature before the request. Names are those of packages, and lead nowhere else.
 */
export class Incoming {
  readonly #folder: string;
  readonly #note: string;

  constructor(dataDir: string) {
    this.#folder = join(dataDir, "upgrade", "incoming");
    this.#note = join(dataDir, "upgrade", "attempt.json");
  }

  open(): void {
    mkdirSync(this.#folder, { recursive: true, mode: 0o700 });
  }

  note(): AttemptNote | undefined {
    try {
      return attemptNote.safeParse(parseJson(readFileSync(this.#note, "utf8"))).data;
    } catch {
      return undefined;
    }
  }

  keepNote(note: AttemptNote): void {
    writeFlushed(this.#note, Buffer.from(`${JSON.stringify(note)}\n`));
  }

  /** Removes what is not this package's; the request first, so that the updater never finds one without its package. */
  sweep(kept?: string): void {
    rmSync(join(this.#folder, requestName), { force: true });
    for (const name of readdirSync(this.#folder))
      if (kept === undefined || (name !== kept && name !== `${kept}.part`))
        rmSync(join(this.#folder, name), { recursive: true, force: true });
  }

  /** Nothing is asked for any more; what the updater has not taken yet was never asked for. */
  withdraw(): void {
    if (this.isRequested) rmSync(this.#note, { force: true });
    this.sweep();
  }

  isWhole(file: string): boolean {
    return sizeOf(join(this.#folder, file)) !== undefined;
  }

  /** How much of it is on disk. */
  received(file: string): number {
    return sizeOf(join(this.#folder, `${file}.part`)) ?? 0;
  }

  /** Durable on return. The flush of a slow disk keeps no message waiting: it is not this thread's. */
  async append(file: string, bytes: Uint8Array): Promise<void> {
    const handle = await open(join(this.#folder, `${file}.part`), "a", 0o600);
    try {
      await handle.writeFile(bytes);
      await handle.sync();
    } finally {
      await handle.close();
    }
  }

  /** Forgets what came of it, whole or not. */
  drop(file: string): void {
    for (const name of [file, `${file}.part`]) rmSync(join(this.#folder, name), { force: true });
  }

  /** All of it has come: from now on it has its name. */
  finish(file: string): void {
    renameOver(join(this.#folder, `${file}.part`), join(this.#folder, file));
    flushFolder(this.#folder);
  }

  async sha256(file: string): Promise<string> {
    const sum = createHash("sha256");
    const handle = await open(join(this.#folder, file), "r");
    try {
      const part = Buffer.alloc(hashedAtOnce);
      for (;;) {
        const { bytesRead } = await handle.read(part, 0, part.length);
        if (bytesRead === 0) return sum.digest("hex");
        sum.update(part.subarray(0, bytesRead));
      }
    } finally {
      await handle.close();
    }
  }

  sign({ file, signature }: ReleaseOffer): void {
    writeFlushed(join(this.#folder, `${file}.sig`), Buffer.from(`${signature}\n`));
  }

  /** Asks the updater; it is woken by this file, and takes it away. */
  request({ version, file, size, sha256, signature, older }: ReleaseOffer): void {
    const asked = { version, file, size, sha256, signature, ...(older ? { older } : {}) };
    writeFlushed(join(this.#folder, requestName), Buffer.from(`${JSON.stringify(asked)}\n`));
  }

  /** Whether the updater has not taken it yet. */
  get isRequested(): boolean {
    return sizeOf(join(this.#folder, requestName)) !== undefined;
  }

  /** Of the disk that it lies on. */
  diskBytes(): number {
    const { blocks, bsize } = statfsSync(this.#folder);
    return blocks * bsize;
  }
}

function sizeOf(file: string): number | undefined {
  return statSync(file, { throwIfNoEntry: false })?.size;
}
