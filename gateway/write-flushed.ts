import * as fs from "node:fs";
import { dirname } from "node:path";
import { flushedFiles } from "../protocol/index.ts";

export const { writeFlushed, flushFolder, renameOver } = flushedFiles({ ...fs, dirname, platform: process.platform });

/** Whether a disk was full, or what its owner may have of it. */
export function isNoRoom(error: unknown): boolean {
  return error instanceof Error && "code" in error && (error.code === "ENOSPC" || error.code === "EDQUOT");
}
