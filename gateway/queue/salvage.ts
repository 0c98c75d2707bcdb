import { existsSync, mkdirSync, renameSync, unlinkSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import type { QueueLane } from "./change.ts";
import { rechain } from "./epoch.ts";
import { makeTables, markPath, type OpenOptions, openDatabase, queueLanes } from "./file.ts";
import { Keystore } from "./keystore.ts";
import { type LaneState, readLanes, writeLane } from "./lane-state.ts";
import { readMark } from "./mark.ts";
import { countBytes } from "./migrate.ts";
import { framePosition, laneEnd, sequenceAt } from "./schema.ts";
import { Sealing } from "./sealing.ts";
import { Statements } from "./statements.ts";

/** Tables that are carried over row by row, besides lanes and frames. */
const tables = [
  "boots",
  "repeats",
  "markers",
  "cursors",
  "deliveries",
  "dead_letters",
  "acks",
  "set_aside",
  "sealing_keys",
] as const;

/**
 * Sets a damaged file aside, whole, and makes a new one of what can be read of it. Frames are looked for from both sides of each place
 * that does not read; what is missing in a lane is found, as a hole, by whoever reads the lane. Lane states that cannot be
 * read begin anew, behind the last sequence that is known of them, in a new epoch.
 */
export function salvage(options: OpenOptions, flag: string): void {
  const { path, site } = options;
  const folder = join(dirname(path), "damaged", String(options.now()));
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  for (const ending of ["", "-wal", "-shm"])
    if (existsSync(path + ending)) renameSync(path + ending, join(folder, basename(path) + ending));
  const db = openDatabase(path);
  try {
    db.exec("BEGIN IMMEDIATE");
    makeTables(db, site);
    carryOver(db, join(folder, basename(path)), options);
    db.exec("COMMIT");
  } finally {
    db.close();
  }
  if (existsSync(flag)) unlinkSync(flag);
}

function carryOver(db: DatabaseSync, from: string, options: OpenOptions): void {
  let old: DatabaseSync;
  try {
    old = new DatabaseSync(from);
    old.prepare("SELECT count(*) FROM sqlite_master").get();
  } catch {
    return carryMarks(db, options);
  }
  try {
    const statements = new Statements(db);
    const lanes = readable(() => [...readLanes(old)]) ?? [];
    for (const [lane, state] of lanes) if (queueLanes.includes(lane)) writeLane(statements, lane, state);
    for (const lane of queueLanes) carryFrames(old, db, lane);
    for (const table of tables) carryTable(old, db, table);
    if (lanes.length === 0) carryMarks(db, options);
    countBytes(db);
  } finally {
    old.close();
  }
}

/**
 * Where a lane's state is lost: its numbers go on behind the last one that was flushed, or that is found, in a new epoch that begins behind
 * what central has. What of it is missing is found, as a hole, by whoever reads the lane.
 */
export function carryMarks(db: DatabaseSync, { path, now }: OpenOptions): void {
  const statements = new Statements(db);
  const sealing = new Sealing(db, new Keystore(dirname(path), now));
  const marks = readMark(markPath(path));
  for (const [lane, state] of readLanes(db)) {
    const known = marks.get(lane);
    const [from, to] = [framePosition(lane, 0), laneEnd(lane)];
    if (known) statements.run("DELETE FROM frames WHERE position > ? AND position <= ?", from, from + known.acknowledged);
    const newest = "SELECT position, count FROM frames WHERE position > ? AND position <= ? ORDER BY position DESC LIMIT 1";
    const last = statements.get(newest, from, to);
    const first = statements.get("SELECT min(position) AS at FROM frames WHERE position > ? AND position <= ?", from, to)?.at;
    const begin = known ? known.acknowledged + 1 : typeof first === "number" ? sequenceAt(first) : 1;
    const end = last ? sequenceAt(last.position as number) + (last.count as number) : begin;
    state.next = Math.max(end, known?.next ?? 1);
    state.epochFirst = begin;
    state.acknowledged = begin - 1;
    state.dispatched = begin - 1;
    state.pruned = begin - 1;
    state.predecessor = known ? { epoch: known.epoch, lastSequence: begin - 1 } : null;
    const link = { first: begin, chain: state.chain, sealedIn: known?.epoch ?? "", epoch: state.epoch };
    state.chain = rechain({ statements, sealing }, lane, link);
    writeLane(statements, lane, state);
  }
}

/** Reads that may fail in all: a file of which nothing reads is given up, one with some damaged places is not. */
const failedReads = 5000;

function carryFrames(old: DatabaseSync, db: DatabaseSync, lane: QueueLane): void {
  const insert = db.prepare("INSERT OR IGNORE INTO frames VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)");
  const take = (row: Record<string, unknown>): void => {
    insert.run(...(Object.values(row) as (string | number | null | Uint8Array)[]));
  };
  const { next } = readLanes(db).get(lane) as LaneState;
  const last = next > 1 ? framePosition(lane, next) : laneEnd(lane);
  carryRange({ old, take, left: failedReads }, framePosition(lane, 1), last);
}

interface Carrying {
  readonly old: DatabaseSync;
  readonly take: (row: Record<string, unknown>) => void;
  left: number;
}

/** Reads a range of positions; where that fails, from its other end, then its halves, down to the place that does not read. */
function carryRange(carrying: Carrying, from: number, to: number): void {
  let reached = from;
  let back = to;
  const read = (direction: "ASC" | "DESC", note: (position: number) => void): boolean => {
    try {
      const rows = carrying.old.prepare(
        `SELECT * FROM frames WHERE position >= ? AND position <= ? ORDER BY position ${direction}`,
      );
      for (const row of rows.iterate(reached, back)) {
        carrying.take(row);
        note(row.position as number);
      }
      return true;
    } catch {
      carrying.left -= 1;
      return false;
    }
  };
  if (read("ASC", (position) => (reached = position + 1)) || read("DESC", (position) => (back = position - 1))) return;
  const middle = Math.floor((reached + back) / 2);
  if (carrying.left <= 0 || middle <= reached || middle >= back) return;
  carryRange(carrying, reached, middle);
  carryRange(carrying, middle + 1, back);
}

function carryTable(old: DatabaseSync, db: DatabaseSync, table: (typeof tables)[number]): void {
  readable(() => {
    const columns = old.prepare(`PRAGMA table_info(${table})`).all().length;
    const insert = db.prepare(`INSERT OR REPLACE INTO ${table} VALUES (${new Array(columns).fill("?").join(", ")})`);
    for (const row of old.prepare(`SELECT * FROM ${table}`).iterate())
      insert.run(...(Object.values(row) as (string | number | null | Uint8Array)[]));
  });
}

function readable<Result>(read: () => Result): Result | undefined {
  try {
    return read();
  } catch {
    return undefined;
  }
}
