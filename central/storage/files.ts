import * as fs from "node:fs";
import { dirname } from "node:path";
import { flushedFiles } from "../../protocol/index.ts";

export const { writeFlushed, flushFolder, renameOver } = flushedFiles({ ...fs, dirname, platform: process.platform });
