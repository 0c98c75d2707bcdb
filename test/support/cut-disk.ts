import type { AgentDisk } from "../../gateway/agent/disk.ts";
import type { Random } from "../fault/random.ts";

/** What a power cut leaves of what was not flushed. */
export type Survival = "nothing" | "everything" | "torn";

interface Inode {
  flushed: Buffer;
  /** Not flushed: written behind it, or, where it was emptied first, instead of it. */
  pending: Buffer;
  isEmptied: boolean;
}
interface NameChange {
  readonly apply: (names: Map<string, Inode>) => void;
}

/**
 * A disk in memory that does what a real one may do: bytes and names survive a power cut for certain only once they were flushed; of the rest
 * nothing, all, or a part does. Each call is a step; `cutAt` names the one in which the power goes, after which nothing is answered any more.
 */
export class CutDisk implements AgentDisk {
  readonly #names: Map<string, Inode>;
  readonly #flushedNames: Map<string, Inode>;
  #changes: NameChange[] = [];
  /** What was done so far, a call each. */
  readonly steps: string[] = [];
  readonly cutAt: number;
  readonly #gone = Promise.withResolvers<void>();
  #isGone = false;
  /** A disk that is full: what would take room fails. */
  isFull = false;

  constructor(cutAt = Number.POSITIVE_INFINITY, names: ReadonlyMap<string, Buffer> = new Map()) {
    this.cutAt = cutAt;
    const inodes = [...names].map(([name, flushed]): [string, Inode] => [
      name,
      { flushed, pending: Buffer.alloc(0), isEmptied: false },
    ]);
    this.#names = new Map(inodes);
    this.#flushedNames = new Map(inodes);
  }

  /** Resolves when the power goes. */
  get gone(): Promise<void> {
    return this.#gone.promise;
  }

  get isGone(): boolean {
    return this.#isGone;
  }

  /** A moment of the world outside at which the power may go as well. */
  async step(what: string): Promise<void> {
    await this.#do(what, () => {});
  }

  async read(file: string): Promise<Buffer | undefined> {
    const inode = this.#names.get(file);
    return inode && contentOf(inode);
  }

  write(file: string, bytes: Uint8Array): Promise<void> {
    return this.#do(`write ${file}`, () => {
      this.#takeRoom();
      const inode = this.#inode(file);
      inode.isEmptied = true;
      inode.pending = Buffer.from(bytes);
    });
  }

  append(file: string, bytes: Uint8Array): Promise<void> {
    return this.#do(`append ${file}`, () => {
      this.#takeRoom();
      const inode = this.#inode(file);
      inode.pending = Buffer.concat([inode.pending, bytes]);
    });
  }

  flush(file: string): Promise<void> {
    return this.#do(`flush ${file}`, () => {
      const inode = this.#names.get(file);
      if (!inode) throw Object.assign(new Error("no such file"), { code: "ENOENT" });
      inode.flushed = contentOf(inode);
      inode.pending = Buffer.alloc(0);
      inode.isEmptied = false;
    });
  }

  rename(from: string, to: string): Promise<void> {
    return this.#do(`rename ${from}`, () => {
      const inode = this.#names.get(from);
      if (!inode) throw Object.assign(new Error("no such file"), { code: "ENOENT" });
      this.#change((names) => {
        names.delete(from);
        names.set(to, inode);
      });
    });
  }

  flushFolder(_file: string): Promise<void> {
    return this.#do("flush folder", () => {
      for (const { apply } of this.#changes.splice(0)) apply(this.#flushedNames);
    });
  }

  /** The disk as it is found after the cut. Name changes survive in their order, as a journal keeps them. */
  survivor(survival: Survival, random: Random, cutAt?: number): CutDisk {
    const many = this.#changes.length;
    const kept = { nothing: 0, everything: many, torn: random.integer(0, many) }[survival];
    const names = new Map(this.#flushedNames);
    for (const { apply } of this.#changes.slice(0, kept)) apply(names);
    return new CutDisk(cutAt, new Map([...names].map(([name, inode]) => [name, surviving(inode, survival, random)])));
  }

  async #do(what: string, work: () => void): Promise<void> {
    if (!this.#isGone) {
      this.steps.push(what);
      const isLast = this.steps.length === this.cutAt;
      // done, and not answered: what it did is not flushed, but for a flush that is cut, of which nothing is known
      if (!isLast || !what.startsWith("flush")) work();
      if (!isLast) return;
      this.#isGone = true;
      this.#gone.resolve();
    }
    await new Promise(() => {});
  }

  #takeRoom(): void {
    if (this.isFull) throw Object.assign(new Error("no space left on device"), { code: "ENOSPC" });
  }

  #inode(file: string): Inode {
    const known = this.#names.get(file);
    if (known) return known;
    const made: Inode = { flushed: Buffer.alloc(0), pending: Buffer.alloc(0), isEmptied: false };
    this.#change((names) => names.set(file, made));
    return made;
  }

  #change(apply: NameChange["apply"]): void {
    apply(this.#names);
    this.#changes.push({ apply });
  }
}

const blockBytes = 512;

function contentOf({ flushed, pending, isEmptied }: Inode): Buffer {
  return isEmptied ? pending : Buffer.concat([flushed, pending]);
}

function surviving(inode: Inode, survival: Survival, random: Random): Buffer {
  const { flushed, pending, isEmptied } = inode;
  if (survival === "nothing") return isEmptied && random.chance(0.5) ? Buffer.alloc(0) : flushed;
  if (survival === "everything") return contentOf(inode);
  const before = isEmptied ? Buffer.alloc(0) : flushed;
  const kept = Buffer.from(pending.subarray(0, random.integer(0, pending.length)));
  // blocks reach the disk in any order: a hole where one did not
  if (kept.length > 0 && random.chance(0.5)) {
    const from = random.integer(0, kept.length - 1);
    kept.fill(0, from, Math.min(kept.length, from + blockBytes));
  }
  return Buffer.concat([before, kept]);
}
