import { closeSync, fstatSync, openSync, readdirSync, readSync, statSync, truncateSync, writeSync } from "node:fs";
import { join } from "node:path";
import type { Random } from "../random.ts";

/** What a bad disk or an unclean copy did to a file; as text for a person. */
export type Damage = (file: string, random: Random) => string;

/** Single bits turned over, anywhere behind the first pages. */
export const flipBits: Damage = (file, random) => {
  const handle = openSync(file, "r+");
  const { size } = fstatSync(handle);
  const byte = Buffer.alloc(1);
  const count = 24;
  const from = Math.min(8192, Math.floor(size / 2));
  for (let flip = 0; flip < count; flip++) {
    const at = random.integer(from, size - 1);
    readSync(handle, byte, 0, 1, at);
    byte[0] = (byte[0] ?? 0) ^ (1 << random.integer(0, 7));
    writeSync(handle, byte, 0, 1, at);
  }
  closeSync(handle);
  return `${count} bits flipped of ${size} bytes`;
};

/** The first page, which says what the file is. */
export const breakHeader: Damage = (file, random) => {
  const handle = openSync(file, "r+");
  const junk = Buffer.from(Array.from({ length: 64 }, () => random.integer(0, 255)));
  writeSync(handle, junk, 0, junk.length, random.integer(0, 32));
  closeSync(handle);
  return "the first page overwritten with junk";
};

/** A stretch of pages that reads as zeros. */
export const zeroPages: Damage = (file, random) => {
  const handle = openSync(file, "r+");
  const pages = Math.floor(fstatSync(handle).size / 4096);
  const first = random.integer(Math.min(2, pages - 1), Math.max(2, pages - 9));
  const zeros = Buffer.alloc(4096 * Math.min(8, Math.max(1, pages - first)));
  writeSync(handle, zeros, 0, zeros.length, first * 4096);
  closeSync(handle);
  return `${zeros.length / 4096} of ${pages} pages zeroed from page ${first + 1}`;
};

/** The end cut off, not at a page's edge. */
export const cutOff: Damage = (file, random) => {
  const { size } = statSync(file);
  const left = random.integer(Math.floor(size / 4), Math.floor((size * 3) / 4)) | 1;
  truncateSync(file, left);
  return `cut off at ${left} of ${size} bytes`;
};

/** The queue's database and its log, whatever the format calls them; the largest of each. */
export function queueFiles(dataDir: string): { database: string; wal: string | undefined } {
  const files = readdirSync(dataDir)
    .filter((name) => name.startsWith("queue"))
    .map((name) => join(dataDir, name))
    .filter((path) => statSync(path).isFile())
    .toSorted((left, right) => statSync(right).size - statSync(left).size);
  const database = files.find((path) => !path.endsWith("-wal") && !path.endsWith("-shm"));
  if (database === undefined) throw new Error(`no queue in ${dataDir}`);
  const wal = files.find((path) => path === `${database}-wal`);
  return { database, wal: wal !== undefined && statSync(wal).size > 0 ? wal : undefined };
}
