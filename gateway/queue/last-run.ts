import { existsSync } from "node:fs";
import { DatabaseSync } from "node:sqlite";
import { systemKernelTime } from "./running-time.ts";

/**
 * Where a queue was opened before. `none`: it is not there yet. `here`: on this machine, since it came up. `elsewhere`: before that, on another one, or nobody
 * can tell: the file may be a copy. Asked before it is opened, as opening notes this run. Only looks.
 */
export function lastRun(path: string, kernelBoot = systemKernelTime().boot): "none" | "here" | "elsewhere" {
  if (!existsSync(path)) return "none";
  let db: DatabaseSync | undefined;
  try {
    db = new DatabaseSync(path, { readOnly: true, timeout: 5000 });
    const found = db.prepare("SELECT 1 FROM boots WHERE kernel_boot = ? LIMIT 1").get(kernelBoot);
    return found ? "here" : "elsewhere";
  } catch {
    return "elsewhere";
  } finally {
    db?.close();
  }
}
