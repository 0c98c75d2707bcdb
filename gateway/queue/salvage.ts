import { existsSync, mkdirSync, renameSync, rmSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import type { QueueLane } from "./change.ts";
import { makeTables, markPath, type OpenOptions, openDatabase, queueLanes } from "./file.ts";
import { Keystore } from "./keystore.ts";
import { type LaneState, readLanes, writeLane } from "./lane-state.ts";
import { type LaneMark, readMark } from "./mark.ts";
import { derive, deriveHeld } from "./migrate.ts";
import { relink } from "./relink.ts";
import { framePosition, laneEnd, sequenceAt } from "./schema.ts";
import { Sealing } from "./sealing.ts";
import { Statements } from "./statements.ts";

/** What became of a damaged file. */
export interface Salvaged {
  /** Where it lies now, whole. */
  readonly folder: string;
  /** Tables of which rows may be missing. */
  readonly incomplete: readonly string[];
}

/** Tables beside lanes and frames, and the column by which their rows are read from both sides of a place that does not read. */
const tables = {
  boots: "id",
  repeats: "first",
  received: "first",
  markers: "client",
  cursors: "name",
  deliveries: "id",
  dead_letters: "rowid",
  acks: "lane",
  set_aside: "position",
  sealing_keys: "id",
} as const;

/** What a row of format 1 does not have. */
const defaults: Readonly<Record<string, string | number>> = {
  run_at: 0,
  run_ms: 0,
  uptime_ms: 0,
  waited_ms: 0,
  again: 1,
  head: 0,
  failures: 0,
  type: "",
  message_id: "",
};

/**
 * Makes a new file of what can be read of a damaged one, then puts it in its place; a crash at any step begins anew or goes on. Rows are
 * looked for from both sides of each place that does not read. What is missing in a lane is found, as a hole, by whoever reads the lane. Where
 * deliveries are missing, what is still in the lanes is dispatched once more, as what may have been delivered before. Lane states that
 * cannot be read begin anew, behind the last sequence that is known of them, in a new epoch.
 */
export function salvage(options: OpenOptions): Salvaged {
  const { path } = options;
  const made = `${path}.salvaged`;
  let incomplete = readWhole(made);
  if (incomplete === undefined) {
    for (const ending of endings) rmSync(made + ending, { force: true });
    incomplete = make(options, made);
  }
  const folder = join(dirname(path), "damaged", String(options.now()));
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  for (const ending of endings) if (existsSync(path + ending)) renameSync(path + ending, join(folder, basename(path) + ending));
  renameSync(made, path);
  return { folder, incomplete };
}

const endings = ["", "-wal", "-shm"] as const;

/** What a salvaged file that is whole says of itself; undefined for one whose making was interrupted. */
function readWhole(file: string): string[] | undefined {
  if (!existsSync(file)) return undefined;
  try {
    const db = new DatabaseSync(file, { readOnly: true });
    const row = db.prepare("SELECT value FROM meta WHERE name = 'salvaged'").get();
    db.close();
    return row && (JSON.parse(row.value as string) as string[]);
  } catch {
    return undefined;
  }
}

function make(options: OpenOptions, file: string): string[] {
  const db = openDatabase(file);
  try {
    db.exec("BEGIN IMMEDIATE");
    makeTables(db, options.site);
    const incomplete = carryOver(db, options);
    derive(db);
    deriveHeld(db);
    db.prepare("INSERT INTO meta VALUES ('salvaged', ?)").run(JSON.stringify(incomplete));
    db.exec("COMMIT; PRAGMA wal_checkpoint(TRUNCATE); PRAGMA journal_mode = DELETE");
    return incomplete;
  } finally {
    db.close();
  }
}

function carryOver(db: DatabaseSync, options: OpenOptions): string[] {
  const old = openOld(options.path);
  if (!old) {
    carryMarks(db, options);
    return ["lanes", "frames", ...Object.keys(tables)];
  }
  try {
    const statements = new Statements(db);
    const incomplete: string[] = [];
    const lanes = readable(() => [...readLanes(old)].filter(([lane, { epochChain }]) => queueLanes.includes(lane) && epochChain));
    for (const [lane, state] of lanes ?? []) writeLane(statements, lane, state);
    for (const frames of ["frames", "old_frames"]) {
      for (const lane of queueLanes) if (!carryFrames(old, db, frames, lane)) incomplete.push(`frames of ${lane}`);
    }
    for (const [table, column] of Object.entries(tables)) if (!carryTable(old, db, table, column)) incomplete.push(table);
    readable(() => {
      for (const { name, value } of old.prepare("SELECT * FROM meta WHERE name IN ('policy', 'recovery_point_ms')").iterate())
        db.prepare("INSERT INTO meta VALUES (?, ?)").run(name as string, value as string);
    });
    if (!lanes?.length) {
      carryMarks(db, options);
      incomplete.push("lanes");
    }
    // with rows of it gone, nobody can tell what was delivered
    if (incomplete.includes("deliveries"))
      db.exec("UPDATE deliveries SET again = 1; UPDATE lanes SET again_up_to = next - 1, dispatched = pruned");
    return incomplete;
  } finally {
    old.close();
  }
}

function openOld(path: string): DatabaseSync | undefined {
  if (!existsSync(path)) return undefined;
  let old: DatabaseSync | undefined;
  try {
    // not to be written to: its log is not moved into it either
    old = new DatabaseSync(path, { readOnly: true });
    old.prepare("SELECT count(*) FROM sqlite_master").get();
    return old;
  } catch {
    old?.close();
    return undefined;
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
    const done = known ? doneOf(lane, known) : 0;
    if (known) statements.run("DELETE FROM frames WHERE position > ? AND position <= ?", from, from + done);
    const newest = "SELECT position, count FROM frames WHERE position > ? AND position <= ? ORDER BY position DESC LIMIT 1";
    const last = statements.get(newest, from, to);
    const first = statements.get("SELECT min(position) AS at FROM frames WHERE position > ? AND position <= ?", from, to)?.at;
    const begin = known ? done + 1 : typeof first === "number" ? sequenceAt(first) : 1;
    const end = last ? sequenceAt(last.position as number) + (last.count as number) : begin;
    const acknowledged = Math.max(begin - 1, known && lane !== "inbound" ? known.acknowledged : 0);
    state.next = Math.max(end, known?.next ?? 1);
    state.pruned = begin - 1;
    state.prunedChain = state.epochChain;
    state.dispatched = Math.max(begin - 1, known?.dispatched ?? 0);
    state.againUpTo = state.next - 1;
    state.chain = relink({ statements, sealing }, lane, begin, state.epochChain);
    const before = acknowledged === begin - 1 ? state.epochChain : chainAt(statements, lane, acknowledged);
    if (!before) state.chain = relink({ statements, sealing }, lane, acknowledged + 1, state.epochChain);
    state.acknowledged = acknowledged;
    state.acknowledgedChain = before ?? state.epochChain;
    state.epochFirst = acknowledged + 1;
    state.epochChain = state.acknowledgedChain;
    state.predecessor = known ? { epoch: known.epoch, lastSequence: acknowledged } : null;
    writeLane(statements, lane, state);
  }
}

/** Up to where nobody needs a lane any more. */
function doneOf(lane: QueueLane, { acknowledged, dispatched }: LaneMark): number {
  if (lane === "telemetry") return acknowledged;
  return lane === "inbound" ? dispatched : Math.min(acknowledged, dispatched);
}

function chainAt(statements: Statements, lane: QueueLane, sequence: number): Buffer | undefined {
  const query = "SELECT position, count, chain FROM frames WHERE position <= ? AND position > ? ORDER BY position DESC LIMIT 1";
  const row = statements.get(query, framePosition(lane, sequence), framePosition(lane, 0));
  const ends = row && sequenceAt(row.position as number) + (row.count as number) - 1;
  return ends === sequence ? Buffer.from(row?.chain as Uint8Array) : undefined;
}

/** Reads that may fail in all: a file of which nothing reads is given up, one with some damaged places is not. */
const failedReads = 5000;

/** @returns whether every row could be read */
function carryFrames(old: DatabaseSync, db: DatabaseSync, table: string, lane: QueueLane): boolean {
  const { next } = readLanes(db).get(lane) as LaneState;
  const last = next > 1 ? framePosition(lane, next) : laneEnd(lane);
  const carrying = { old, table, take: inserter(old, db, table, "frames"), left: failedReads, whole: true };
  if (!hasTable(old, table)) return true;
  carryRange(carrying, framePosition(lane, 1), last);
  return carrying.whole;
}

interface Carrying {
  readonly old: DatabaseSync;
  readonly table: string;
  readonly take: (row: Record<string, unknown>) => void;
  left: number;
  whole: boolean;
}

/** Reads a range of positions; where that fails, from its other end, then its halves, down to the place that does not read. */
function carryRange(carrying: Carrying, from: number, to: number): void {
  let reached = from;
  let back = to;
  const scan = (direction: "ASC" | "DESC", note: (position: number) => void): boolean => {
    const query = `SELECT * FROM ${carrying.table} WHERE position >= ? AND position <= ? ORDER BY position ${direction}`;
    return readEach(
      () => carrying.old.prepare(query).iterate(reached, back),
      (row) => {
        carrying.take(row);
        note(row.position as number);
      },
    );
  };
  if (scan("ASC", (position) => (reached = position + 1))) return;
  carrying.whole = false;
  carrying.left -= 1;
  if (scan("DESC", (position) => (back = position - 1))) return;
  const middle = Math.floor((reached + back) / 2);
  if (carrying.left <= 0 || middle <= reached || middle >= back) return;
  carryRange(carrying, reached, middle);
  carryRange(carrying, middle + 1, back);
}

/** @returns whether every row could be read */
function carryTable(old: DatabaseSync, db: DatabaseSync, table: string, column: string): boolean {
  if (!hasTable(old, table)) return true;
  const take = inserter(old, db, table, table);
  const scan = (direction: "ASC" | "DESC"): boolean =>
    readEach(() => old.prepare(`SELECT * FROM ${table} ORDER BY ${column} ${direction}`).iterate(), take);
  if (scan("ASC")) return true;
  scan("DESC");
  return false;
}

function hasTable(old: DatabaseSync, table: string): boolean {
  return readable(() => old.prepare("SELECT 1 FROM sqlite_master WHERE name = ?").get(table)) !== undefined;
}

/** Takes rows until one does not read; what `take` throws is another's failure. @returns whether all of them could be read */
function readEach(open: () => Iterable<Record<string, unknown>>, take: (row: Record<string, unknown>) => void): boolean {
  let rows: Iterator<Record<string, unknown>> | undefined;
  for (;;) {
    let next: IteratorResult<Record<string, unknown>>;
    try {
      rows ??= open()[Symbol.iterator]();
      next = rows.next();
    } catch {
      return false;
    }
    if (next.done) return true;
    take(next.value);
  }
}

/** Writes rows of an old table into a new one by the names of their columns. */
function inserter(old: DatabaseSync, db: DatabaseSync, from: string, to: string): (row: Record<string, unknown>) => void {
  const columnsOf = (of: DatabaseSync, table: string): string[] =>
    (readable(() => of.prepare(`PRAGMA table_info(${table})`).all()) ?? []).map(({ name }) => name as string);
  const known = new Set(columnsOf(old, from));
  const columns = columnsOf(db, to).filter((column) => known.has(column) || column in defaults);
  const insert = db.prepare(`INSERT OR IGNORE INTO ${to} (${columns.join(", ")}) VALUES (${columns.map(() => "?").join(", ")})`);
  return (row) => {
    const values = columns.map((column) => (known.has(column) ? row[column] : defaults[column]));
    // a delivery's message lay as text in format 1
    insert.run(
      ...values.map((value, at) => (columns[at] === "line" && typeof value === "string" ? Buffer.from(value) : value) as never),
    );
  };
}

function readable<Result>(read: () => Result): Result | undefined {
  try {
    return read();
  } catch {
    return undefined;
  }
}
