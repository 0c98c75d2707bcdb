/** What flushing needs of the machine: handed in, as nothing here touches a disk by itself. `node:fs`, a platform's name and its `dirname` make one. */
export interface FlushingSystem {
  readonly platform: string;
  dirname(path: string): string;
  openSync(path: string, flags: string, mode?: number): number;
  writeFileSync(handle: number, content: string | Uint8Array): void;
  fsyncSync(handle: number): void;
  closeSync(handle: number): void;
  renameSync(from: string, to: string): void;
}

export interface FlushedFiles {
  /** Replaces a small file whole: a crash at any moment leaves the old or the new one. Flushed on return, readable by its owner alone. */
  readonly writeFlushed: (file: string, content: string | Uint8Array) => void;
  /** What was made, renamed or removed in a folder stays so after a power cut. */
  readonly flushFolder: (folder: string) => void;
  /**
   * Renames a file over another one. Windows refuses that for as long as somebody has one of them open without sharing it, such as a virus scanner or
   * a backup: there it is tried again for 2 s, while everything else waits.
   */
  readonly renameOver: (from: string, to: string) => void;
}

const triesOfWindows = 40;
const betweenTriesMs = 50;

export function flushedFiles(system: FlushingSystem): FlushedFiles {
  const isWindows = system.platform === "win32";

  /** Flushes what was opened with these flags, after `work` on it. */
  const flush = (path: string, flags: string, work?: (handle: number) => void): void => {
    const handle = system.openSync(path, flags, 0o600);
    try {
      work?.(handle);
      system.fsyncSync(handle);
    } finally {
      system.closeSync(handle);
    }
  };

  const flushFolder = (folder: string): void => {
    try {
      // Windows flushes only what was opened for writing, which a folder may be
      flush(folder, isWindows ? "r+" : "r");
    } catch (error) {
      // a file system of Windows that lets nobody has a log of its own (ADR 0136)
      if (!isWindows || !hasCode(error, "EPERM", "EACCES", "EISDIR", "EINVAL")) throw error;
    }
  };

  const renameOver = (from: string, to: string): void => {
    for (let left = isWindows ? triesOfWindows : 1; ; left -= 1) {
      try {
        return system.renameSync(from, to);
      } catch (error) {
        if (left <= 1 || !hasCode(error, "EPERM", "EACCES", "EBUSY")) throw error;
        Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, betweenTriesMs);
      }
    }
  };

  const writeFlushed = (file: string, content: string | Uint8Array): void => {
    const staged = `${file}.new`;
    // writes all of it or throws: a nearly full disk takes a part of what a single write is given
    flush(staged, "w", (handle) => system.writeFileSync(handle, content));
    renameOver(staged, file);
    flushFolder(system.dirname(file));
  };

  return { writeFlushed, flushFolder, renameOver };
}

function hasCode(error: unknown, ...codes: readonly string[]): boolean {
  return error instanceof Error && "code" in error && codes.includes(String(error.code));
}
