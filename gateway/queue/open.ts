import { randomUUID } from "node:crypto";
import { existsSync } from "node:fs";
import { dirname } from "node:path";
import type { DatabaseSync } from "node:sqlite";
import { PlantgateError } from "../../protocol/index.ts";
import type { QueueLane } from "./change.ts";
import { damageFlag, isDamage, makeTables, markPath, type OpenOptions, openDatabase, queueLanes } from "./file.ts";
import { Keystore } from "./keystore.ts";
import { type LaneState, readLanes, writeLane } from "./lane-state.ts";
import { readMark } from "./mark.ts";
import { migrateFrom1, moveOldFrames } from "./migrate.ts";
import { type RunningMark, RunningTime } from "./running-time.ts";
import { carryMarks, salvage } from "./salvage.ts";
import { formatVersion, laneEnd } from "./schema.ts";
import { Sealing } from "./sealing.ts";
import { putLostHole } from "./set-aside.ts";
import { Statements } from "./statements.ts";

const keptBoots = 100;

/** A range that was on disk once and cannot be read any more; it lies in its lane as a hole. */
export interface LostRange {
  readonly lane: QueueLane;
  readonly first: number;
  readonly count: number;
}

export interface OpenedQueue {
  readonly db: DatabaseSync;
  readonly lanes: Map<QueueLane, LaneState>;
  readonly running: RunningTime;
  /** What opening found damaged, for the log. */
  readonly lost: readonly LostRange[];
}

/**
 * Opens or makes the queue's file, and commits a boot record before anything of it is read or acknowledged (rule 4). A file that
 * cannot be read is set aside; what of it can be read is carried over, and the rest becomes holes (P2).
 * @throws PlantgateError FORMAT_NEWER, CONFIG_INVALID; what SQLite throws when the disk does not let it
 */
export function openQueueFile(options: OpenOptions): OpenedQueue {
  const flag = damageFlag(options.path);
  if (!existsSync(flag)) {
    try {
      return openFile(options);
    } catch (error) {
      if (!isDamage(error)) throw error;
    }
  }
  salvage(options, flag);
  return openFile(options);
}

function openFile(options: OpenOptions): OpenedQueue {
  const db = openDatabase(options.path);
  try {
    const known = db.prepare("SELECT name FROM sqlite_master WHERE name = 'meta'").get();
    db.exec("BEGIN IMMEDIATE");
    if (!known) {
      makeTables(db, options.site);
      // a file that was emptied is no new queue
      if (existsSync(markPath(options.path))) carryMarks(db, options);
    }
    judge(db, options.site);
    const running = noteBoot(db, options);
    const lost = known ? skipLost(db, options, running) : [];
    db.exec("COMMIT");
    moveOldFrames(db);
    return { db, lanes: readLanes(db), running, lost };
  } catch (error) {
    if (db.isTransaction) db.exec("ROLLBACK");
    db.close();
    throw error;
  }
}

function judge(db: DatabaseSync, site: string): void {
  const value = (name: string) => db.prepare("SELECT value FROM meta WHERE name = ?").get(name)?.value as string | undefined;
  const format = Number(value("format"));
  if (format > formatVersion) {
    const advice = "Use the version that wrote it; nothing was changed";
    throw new PlantgateError("FORMAT_NEWER", `the queue has format ${format}; this program knows ${formatVersion}. ${advice}`);
  }
  if (value("site") !== site)
    throw new PlantgateError("CONFIG_INVALID", `this data folder belongs to site "${value("site")}", not to "${site}"`);
  if (format === 1) {
    migrateFrom1(db);
    db.prepare("UPDATE meta SET value = ? WHERE name = 'format'").run(String(formatVersion));
  }
}

function noteBoot(db: DatabaseSync, { kernel, now }: OpenOptions): RunningTime {
  const first = db.prepare("SELECT run_ms, uptime_ms FROM boots WHERE kernel_boot = ? ORDER BY run_ms LIMIT 1").get(kernel.boot);
  const latest = db
    .prepare("SELECT max(coalesce((SELECT max(run_ms) FROM boots), 0), coalesce((SELECT max(run_at) FROM acks), 0)) AS at")
    .get()?.at as number;
  const mark: RunningMark | undefined = first && { runMs: first.run_ms as number, uptimeMs: first.uptime_ms as number };
  const running = new RunningTime(kernel, mark, Math.max(latest, latestFrame(db)) + 1);
  const { runMs, uptimeMs } = running.mark();
  db.prepare("INSERT INTO boots VALUES (?, ?, ?, ?, ?)").run(randomUUID(), now(), kernel.boot, runMs, uptimeMs);
  db.prepare("DELETE FROM boots WHERE id NOT IN (SELECT id FROM boots ORDER BY run_ms DESC LIMIT ?) AND kernel_boot <> ?").run(
    keptBoots,
    kernel.boot,
  );
  return running;
}

/** The running time of the newest frame. */
function latestFrame(db: DatabaseSync): number {
  const newest = db.prepare("SELECT run_at FROM frames WHERE position <= ? ORDER BY position DESC LIMIT 1");
  return Math.max(0, ...queueLanes.map((lane) => (newest.get(laneEnd(lane))?.run_at as number | undefined) ?? 0));
}

/** What the mark beside the file knows as flushed and the file does not have: its numbers are not given out again. */
function skipLost(db: DatabaseSync, { path, now }: OpenOptions, running: RunningTime): LostRange[] {
  const lanes = readLanes(db);
  const statements = new Statements(db);
  const sealing = new Sealing(db, new Keystore(dirname(path), now));
  const lost: LostRange[] = [];
  for (const [lane, { next }] of readMark(markPath(path))) {
    const state = lanes.get(lane);
    if (!state || next <= state.next) continue;
    const range = { lane, first: state.next, count: next - state.next };
    putLostHole({ statements, sealing }, lane, state, range, { at: now(), runMs: running.now() });
    writeLane(statements, lane, state);
    lost.push(range);
  }
  return lost;
}
