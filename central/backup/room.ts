import { statfsSync } from "node:fs";
import { PlantgateError } from "../../protocol/index.ts";

/** Left free for others. */
const spareBytes = 64 * 1024 * 1024;

/** @throws PlantgateError CONFIG_INVALID where a folder's disk has no room for so much */
export function requireRoom(folder: string, bytes: number, what: string): void {
  const { bavail, bsize } = statfsSync(folder);
  const free = bavail * bsize;
  if (free >= bytes + spareBytes) return;
  throw new PlantgateError(
    "CONFIG_INVALID",
    `${what} may take ${mebibytes(bytes + spareBytes)}, and ${folder} has ${mebibytes(free)} free: make room there, or name another disk`,
  );
}

function mebibytes(bytes: number): string {
  return `${Math.ceil(bytes / 1024 / 1024).toLocaleString("en-US")} MiB`;
}
