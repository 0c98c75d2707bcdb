import { existsSync, mkdirSync, rmSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { renameOver } from "../write-flushed.ts";
import { carryAll, carryRange } from "./carry.ts";
import type { QueueLane } from "./change.ts";
import { makeTables, markPath, type OpenOptions, openDatabase, queueLanes } from "./file.ts";
import { isWholeTree } from "./inspect.ts";
import { Keystore } from "./keystore.ts";
import { isSound, type LaneState, readableLanes, readLanes, writeLane } from "./lane-state.ts";
import { type LaneMark, readMark } from "./mark.ts";
import { mendEpoch } from "./mend.ts";
import { derive, deriveHeld } from "./migrate.ts";
import { chainAt, relink } from "./relink.ts";
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

interface Table {
  /** By which its rows are read from both sides of a place that does not read. */
  readonly column: string;
  readonly kind: "number" | "text";
  /** Every file has it. */
  readonly sinceFormat1: boolean;
}

/** Tables beside lanes and frames. */
const tables = {
  boots: { column: "id", kind: "text", sinceFormat1: true },
  repeats: { column: "first", kind: "number", sinceFormat1: true },
  received: { column: "first", kind: "number", sinceFormat1: false },
  markers: { column: "client", kind: "text", sinceFormat1: true },
  cursors: { column: "name", kind: "text", sinceFormat1: true },
  deliveries: { column: "id", kind: "number", sinceFormat1: true },
  dead_letters: { column: "rowid", kind: "number", sinceFormat1: true },
  acks: { column: "lane", kind: "text", sinceFormat1: false },
  set_aside: { column: "position", kind: "number", sinceFormat1: false },
  sealing_keys: { column: "id", kind: "number", sinceFormat1: false },
} as const satisfies Record<string, Table>;

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
  for (const ending of endings) if (existsSync(path + ending)) renameOver(path + ending, join(folder, basename(path) + ending));
  renameOver(made, path);
  return { folder, incomplete };
}

const endings = ["", "-wal", "-shm"] as const;

/** What a salvaged file that is whole says of itself; undefined for one whose making was interrupted. */
function readWhole(file: string): string[] | undefined {
  // what lies in a log beside it would not be moved with it: its making was interrupted before its end
  if (!existsSync(file) || existsSync(`${file}-wal`)) return undefined;
  try {
    const db = new DatabaseSync(file, { readOnly: true });
    const missing = missingOf(db);
    db.close();
    return missing;
  } catch {
    return undefined;
  }
}

/** What was missing when a file was made of a damaged one; stays there until its next start. */
function missingOf(db: DatabaseSync): string[] | undefined {
  const row = db.prepare("SELECT value FROM meta WHERE name = 'salvaged'").get();
  return row && (JSON.parse(row.value as string) as string[]);
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
    // of a salvage that ended before anyone was told
    const incomplete: string[] = [...(readable(() => missingOf(old)) ?? [])];
    const marks = readMark(markPath(options.path));
    const lanes = new Map(readableLanes(old));
    for (const [lane, state] of lanes) {
      mendEpoch(state, marks.get(lane));
      if (!queueLanes.includes(lane) || !isSound(state)) lanes.delete(lane);
      else writeLane(statements, lane, state);
    }
    for (const frames of ["frames", "old_frames"]) {
      for (const lane of queueLanes)
        if (!carryFrames(old, db, frames, lane, marks.get(lane)?.next ?? 1)) incomplete.push(`frames of ${lane}`);
    }
    for (const table of Object.keys(tables) as (keyof typeof tables)[]) if (!carryTable(old, db, table)) incomplete.push(table);
    readable(() => {
      for (const { name, value } of old
        .prepare("SELECT * FROM meta WHERE name IN ('policy', 'recovery_point_ms', 'left_epochs')")
        .iterate())
        db.prepare("INSERT INTO meta (name, value) VALUES (?, ?)").run(name as string, value as string);
    });
    const begunAnew = queueLanes.filter((lane) => !lanes.has(lane));
    if (begunAnew.length > 0) {
      carryMarks(db, options, begunAnew);
      incomplete.push("lanes");
    }
    // with rows of it gone, nobody can tell what was delivered; a row that awaits an answer cannot move to its place among what is
    // dispatched again, so it is sent, checked or shown again as well
    if (incomplete.includes("deliveries"))
      db.exec(`UPDATE deliveries SET again = 1, state = iif(state = 'sent', 'intent', state);
        UPDATE lanes SET again_up_to = next - 1, dispatched = pruned`);
    return [...new Set(incomplete)];
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
function carryMarks(db: DatabaseSync, { path, now }: OpenOptions, lanes = queueLanes): void {
  const statements = new Statements(db);
  const sealing = new Sealing(db, new Keystore(dirname(path), now));
  const marks = readMark(markPath(path));
  for (const [lane, state] of readLanes(db)) {
    if (!lanes.includes(lane)) continue;
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

/** @returns whether every row could be carried over */
function carryFrames(old: DatabaseSync, db: DatabaseSync, from: string, lane: QueueLane, marked: number): boolean {
  if (!hasTable(old, from)) return from !== "frames";
  const { next } = readLanes(db).get(lane) as LaneState;
  const last = next > 1 ? framePosition(lane, Math.max(next, marked)) : laneEnd(lane);
  return carryRange({ old, db, from, to: "frames", column: "position" }, framePosition(lane, 1), last);
}

/** @returns whether every row could be carried over */
function carryTable(old: DatabaseSync, db: DatabaseSync, table: keyof typeof tables): boolean {
  const { column, kind, sinceFormat1 } = tables[table];
  if (!hasTable(old, table)) return !sinceFormat1;
  const carriage = { old, db, from: table, to: table, column };
  const carried = kind === "number" ? carryRange(carriage, 0, Number.MAX_SAFE_INTEGER) : carryAll(carriage);
  // pages of another table, or the same ones twice, read without an error
  return carried && readable(() => isWholeTree(old, table)) === true;
}

function hasTable(old: DatabaseSync, table: string): boolean {
  return readable(() => old.prepare("SELECT 1 FROM sqlite_master WHERE name = ?").get(table)) !== undefined;
}

function readable<Result>(read: () => Result): Result | undefined {
  try {
    return read();
  } catch {
    return undefined;
  }
}
