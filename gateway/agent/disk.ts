import { open, readFile } from "node:fs/promises";
import { dirname } from "node:path";
import { flushFolder, renameOver } from "../write-flushed.ts";

/**
 * What the agent's documents ask of a disk, call by call. Nothing survives a power cut but what was flushed: bytes of a file by `flush`, names by
 * `flushFolder`. Tests put one in its place whose power goes between any two calls.
 */
export interface AgentDisk {
  /** Undefined: there is no such file. */
  read(file: string): Promise<Buffer | undefined>;
  /** Makes the file, or empties it first. */
  write(file: string, bytes: Uint8Array): Promise<void>;
  /** Makes the file where there is none. */
  append(file: string, bytes: Uint8Array): Promise<void>;
  flush(file: string): Promise<void>;
  rename(from: string, to: string): Promise<void>;
  /** The folder that holds this file. */
  flushFolder(file: string): Promise<void>;
}

export const machineDisk: AgentDisk = {
  async read(file) {
    try {
      return await readFile(file);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
      throw error;
    }
  },
  write: (file, bytes) => withFile(file, "w", (handle) => handle.writeFile(bytes)),
  append: (file, bytes) => withFile(file, "a", (handle) => handle.writeFile(bytes)),
  flush: (file) => withFile(file, "r+", (handle) => handle.sync()),
  rename: async (from, to) => renameOver(from, to),
  flushFolder: async (file) => flushFolder(dirname(file)),
};

type Handle = Awaited<ReturnType<typeof open>>;

async function withFile(path: string, flags: string, work: (handle: Handle) => Promise<void>): Promise<void> {
  const handle = await open(path, flags, 0o600);
  try {
    await work(handle);
  } finally {
    await handle.close();
  }
}
