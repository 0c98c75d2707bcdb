import { type FileHandle, open } from "node:fs/promises";

/** What the press did: a value it set, or an order it was given. `at` of a value is its source timestamp. */
export type Deed =
  | { readonly at: string; readonly kind: "value"; readonly item: string; readonly value: string | number }
  | { readonly at: string; readonly kind: "order"; readonly moId: string };

const groupMs = 25;

/** The press's own record, one JSON line per deed: what a gateway must have seen is judged by it. Flushed in groups, at most 50 ms behind. */
export class TruthLog {
  readonly #file: FileHandle;
  #lines: string[] = [];
  #timer: NodeJS.Timeout | undefined;
  #writing: Promise<void> = Promise.resolve();

  constructor(file: FileHandle) {
    this.#file = file;
  }

  note(deed: Deed): void {
    this.#lines.push(`${JSON.stringify(deed)}\n`);
    this.#timer ??= setTimeout(() => this.#flush(), groupMs);
  }

  /** Resolves once all that was noted is on disk. */
  async close(): Promise<void> {
    this.#flush();
    await this.#writing;
    await this.#file.close();
  }

  #flush(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const group = this.#lines.join("");
    this.#lines = [];
    // groups follow one another, so that the file never holds a later deed without an earlier one
    this.#writing = this.#writing.then(async () => {
      if (group === "") return;
      await this.#file.appendFile(group);
      await this.#file.datasync();
    });
  }
}

/** Appends to `path`: a press that was killed goes on with the same file. */
export async function openTruthLog(path: string): Promise<TruthLog> {
  return new TruthLog(await open(path, "a"));
}
