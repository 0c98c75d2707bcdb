import { readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { expect, it } from "vitest";
import { framePosition } from "../../../gateway/queue/schema.ts";
import { Random } from "../../fault/random.ts";
import { temporaryFolder } from "../../support/folder.ts";
import { copyQueue, fillLive, flipBit, type Known, type Life, live, openLive } from "../../support/queue-life.ts";

const pageBytes = 4096;
/** Other flips in each run; a run that fails says which. */
const seed = Number(process.env.SEED ?? Math.floor(Math.random() * 2 ** 31));
const database = (folder: string): string => join(folder, "queue.sqlite");

/** A filled queue, closed. */
function makeBase(folder: string): Known {
  const store = openLive(folder);
  const known = fillLive(store);
  store.close();
  return known;
}

/** Pages of a file by the table or index they belong to and their kind; `unused`: free pages and those that map others. */
function pagesOf(file: string): Map<string, number[]> {
  const db = new DatabaseSync(file, { readOnly: true });
  const pages = new Map<string, number[]>();
  const owned = new Set<number>();
  const note = (name: string, page: number): void => {
    pages.set(name, [...(pages.get(name) ?? []), page]);
  };
  for (const { name, pagetype, pageno } of db.prepare("SELECT name, pagetype, pageno FROM dbstat").all()) {
    owned.add(pageno as number);
    note(`${name} ${pagetype}`, pageno as number);
  }
  db.close();
  for (let page = 1; page <= statSync(file).size / pageBytes; page++) if (!owned.has(page)) note("unused", page);
  return pages;
}

/** Where a page's structure lies: its header, the places of its cells, and their beginnings. */
function structureOf(bytes: Buffer, page: number): number[] {
  const start = (page - 1) * pageBytes;
  const header = start + (page === 1 ? 100 : 0);
  const places = Array.from({ length: 12 }, (_, at) => header + at);
  const kind = bytes[header] ?? 0;
  if (![2, 5, 10, 13].includes(kind)) return Array.from({ length: 64 }, (_, at) => start + at);
  const pointers = header + (kind <= 5 ? 12 : 8);
  for (let cell = 0; cell < bytes.readUInt16BE(header + 3); cell++) {
    const at = pointers + 2 * cell;
    places.push(at, at + 1);
    const begin = start + bytes.readUInt16BE(at);
    for (let within = 0; within < 16; within++) places.push(Math.min(begin + within, start + pageBytes - 1));
  }
  return places;
}

/** What nobody can tell from a true one: a format that a newer version may have written. */
const bearable = (life: Life): string[] => life.problems.filter((text) => !text.includes("Use the version that wrote it"));

function tryFlips(base: string, known: Known, flips: readonly { at: number; bit: number }[]): string[] {
  return flips.flatMap(({ at, bit }) => {
    using folder = temporaryFolder();
    copyQueue(base, folder.path);
    flipBit(database(folder.path), at, bit);
    return bearable(live(folder.path, known)).map((problem) => `bit ${bit} of ${at}: ${problem}`);
  });
}

it("loses nothing unreported, ends for a reason and starts again, whatever bit flips in a page of whatever kind", () => {
  using base = temporaryFolder();
  const known = makeBase(base.path);
  const bytes = readFileSync(database(base.path));
  const random = new Random(seed);
  const found: string[] = [];
  for (const [kind, pages] of pagesOf(database(base.path))) {
    const flips = Array.from({ length: kind.startsWith("frames") ? 4 : 1 }, () => {
      const places = structureOf(bytes, pages[random.integer(0, pages.length - 1)] as number);
      return { at: places[random.integer(0, places.length - 1)] as number, bit: random.integer(0, 7) };
    });
    found.push(...tryFlips(base.path, known, flips).map((problem) => `${kind}: ${problem}`));
  }
  expect(found, `SEED=${seed} repeats it`).toEqual([]);
});

it("leaves no message out and sends none for ever when an inner page of the frames leads elsewhere", () => {
  using base = temporaryFolder();
  const known = makeBase(base.path);
  const bytes = readFileSync(database(base.path));
  const [page = 0] = pagesOf(database(base.path)).get("frames internal") ?? [];
  const start = (page - 1) * pageBytes;
  const cells = bytes.readUInt16BE(start + 3);
  const flips: { at: number; bit: number }[] = [];
  // of each cell the child's page number and the key, and the page's rightmost child
  for (let cell = 0; cell < cells; cell++) {
    const begin = start + bytes.readUInt16BE(start + 12 + 2 * cell);
    flips.push(
      { at: begin + 3, bit: cell % 8 },
      { at: begin + 10, bit: (cell + 3) % 7 },
      { at: begin + 11, bit: (cell + 1) % 7 },
    );
  }
  for (let bit = 0; bit < 8; bit++) flips.push({ at: start + 11, bit });
  expect(flips.length).toBeGreaterThan(30);
  const random = new Random(seed);
  const some = flips.filter(() => random.integer(0, 2) === 0);
  expect(tryFlips(base.path, known, some), `SEED=${seed} repeats it`).toEqual([]);
});

it("takes a frame whose position changed for damage, and no gap up to there for lost messages", () => {
  using base = temporaryFolder();
  const known = makeBase(base.path);
  const bytes = readFileSync(database(base.path));
  const db = new DatabaseSync(database(base.path), { readOnly: true });
  const position = framePosition("transaction", 100);
  expect(db.prepare("SELECT 1 FROM frames WHERE position = ?").get(position)).toBeDefined();
  db.close();
  const key = Buffer.from(varint(position));
  const at = bytes.indexOf(key);
  const flips = [0, 1, 2, 3].flatMap((byte) => [0, 3, 6].map((bit) => ({ at: at + byte, bit })));
  expect(tryFlips(base.path, known, flips)).toEqual([]);
});

/** As SQLite writes row ids. */
function varint(value: number): number[] {
  const bytes: number[] = [];
  for (let rest = BigInt(value), last = true; rest > 0n; rest >>= 7n, last = false)
    bytes.unshift(Number(rest & 127n) | (last ? 0 : 128));
  return bytes;
}

it.each(["queue.sqlite-wal", "queue.sqlite-shm"])("accounts for every message when bits flip in %s after a crash", (name) => {
  using base = temporaryFolder();
  using crashed = temporaryFolder();
  const store = openLive(base.path);
  const known = fillLive(store, 60);
  copyQueue(base.path, crashed.path);
  store.close();
  const { size } = statSync(join(crashed.path, name));
  const random = new Random(seed);
  const frame = 24 + pageBytes;
  const found: string[] = [];
  for (let trial = 0; trial < 9; trial++) {
    using folder = temporaryFolder();
    copyQueue(crashed.path, folder.path);
    const heads = 32 + frame * random.integer(0, Math.floor((size - 32) / frame) - 1) + random.integer(0, 23);
    const at = [random.integer(0, 31), Math.max(0, heads), random.integer(0, size - 1)][trial % 3] as number;
    flipBit(join(folder.path, name), at, random.integer(0, 7));
    found.push(...live(folder.path, known).problems.map((problem) => `at ${at}: ${problem}`));
  }
  expect(found, `SEED=${seed} repeats it`).toEqual([]);
});

it("accounts for every message when bits of its file flip while it runs", () => {
  using base = temporaryFolder();
  const known = makeBase(base.path);
  const bytes = readFileSync(database(base.path));
  const pages = pagesOf(database(base.path));
  const random = new Random(seed);
  const found: string[] = [];
  for (const kind of ["frames internal", "frames leaf", "frames overflow", "deliveries leaf", "lanes leaf", "repeats leaf"]) {
    for (let trial = 0; trial < 2; trial++) {
      const own = pages.get(kind) ?? [1];
      const places = structureOf(bytes, own[random.integer(0, own.length - 1)] as number);
      const [at, bit] = [places[random.integer(0, places.length - 1)] as number, random.integer(0, 7)];
      using folder = temporaryFolder();
      copyQueue(base.path, folder.path);
      const life = live(folder.path, known, (store) => {
        store.database.exec("PRAGMA wal_checkpoint(TRUNCATE); PRAGMA shrink_memory");
        flipBit(database(folder.path), at, bit);
      });
      found.push(...bearable(life).map((problem) => `${kind}: bit ${bit} of ${at}: ${problem}`));
    }
  }
  expect(found, `SEED=${seed} repeats it`).toEqual([]);
});
