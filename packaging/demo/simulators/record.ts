import { mkdir, open } from "node:fs/promises";
import { dirname } from "node:path";

/** A simulator's own account of what it did, one JSON object a line. The verifier judges a run by these files. */
export interface Recorder<Entry extends object> {
  /** On disk at most 50 ms later; entries keep their order. */
  note(entry: Entry): void;
  /** Resolves once all that was noted so far survives a power cut. A simulator awaits it before it sends or answers what the entry tells of. */
  sync(): Promise<void>;
  /** Flushes and closes; safe to call twice. */
  close(): Promise<void>;
}

const groupMs = 40;

/** Appends to `path`, which is made with its folder where it is missing. Rejects from `sync` and `close` once a write failed. */
export async function openRecorder<Entry extends object>(path: string): Promise<Recorder<Entry>> {
  await mkdir(dirname(path), { recursive: true });
  const file = await open(path, "a");
  let lines: string[] = [];
  let timer: NodeJS.Timeout | undefined;
  let written: Promise<void> = Promise.resolve();
  let group: Promise<void> | undefined;
  let closed: Promise<void> | undefined;

  // a group takes its lines only when the one before it is on disk: all who wait meanwhile share one flush
  const flush = (): Promise<void> => {
    clearTimeout(timer);
    timer = undefined;
    group ??= written.then(async () => {
      group = undefined;
      const text = lines.join("");
      lines = [];
      if (text === "") return;
      await file.appendFile(text);
      await file.datasync();
    });
    written = group;
    return written;
  };

  return {
    note: (entry) => {
      if (closed) return;
      lines.push(`${JSON.stringify(entry)}\n`);
      // a failure is kept in `written` and reported by sync and close
      timer ??= setTimeout(() => void flush().catch(() => {}), groupMs);
    },
    sync: flush,
    close: () => {
      closed ??= flush().finally(() => file.close());
      return closed;
    },
  };
}
