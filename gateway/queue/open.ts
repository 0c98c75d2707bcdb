import { randomUUID } from "node:crypto";
import { existsSync } from "node:fs";
import { dirname } from "node:path";
import type { DatabaseSync } from "node:sqlite";
import { chainGenesis, PlantgateError } from "../../protocol/index.ts";
import type { QueueLane } from "./change.ts";
import { Contradiction, forgetDamage, forgetDoubt, isDamage, isDoubted, isNotedAsDamaged, noteDamage } from "./damage.ts";
import { freeReserve } from "./disk.ts";
import { makeTables, markPath, type OpenOptions, openDatabase, queueLanes } from "./file.ts";
import { bringForward, firstOnTrial, formatSteps, peekFormat, readFormat, requireReadable } from "./format.ts";
import { checkSmallTables, checkThoroughly } from "./inspect.ts";
import { Keystore } from "./keystore.ts";
import { isSound, type LaneState, readLanes, writeLane } from "./lane-state.ts";
import { readMark } from "./mark.ts";
import { mendLane } from "./mend.ts";
import { deriveHeld, moveOldFrames } from "./migrate.ts";
import { whatIsFull } from "./room.ts";
import { type RunningMark, RunningTime } from "./running-time.ts";
import { type Salvaged, salvage } from "./salvage.ts";
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
  /** What was carried over from a damaged file, for the log. */
  readonly salvaged: Salvaged | undefined;
}

/**
 * Opens or makes the queue's file, and commits a boot record before anything of it is read or acknowledged (rule 4). A file that
 * cannot be read is set aside; what of it can be read is carried over, and the rest becomes holes (P2). Where a full disk leaves no room
 * even for that, the reserve is given free.
 * @throws PlantgateError FORMAT_NEWER, CONFIG_INVALID; what SQLite throws when the disk does not let it
 */
export function openQueueFile(options: OpenOptions): OpenedQueue {
  refuseNewer(options);
  try {
    return openOrSalvage(options);
  } catch (error) {
    if (!whatIsFull(error, options.path, options.probeRoom) || !freeReserve(options.path)) throw error;
    return openOrSalvage(options);
  }
}

/**
 * Before anything else, and by a handle that only reads: opening the file would fold its log into it, which is a change.
 * @throws PlantgateError FORMAT_NEWER
 */
export function refuseNewer({ path, steps }: Pick<OpenOptions, "path" | "steps">): void {
  const found = peekFormat(path);
  if (found) requireReadable(found, knownFormat(steps));
}

/**
 * What is made anew has the newest format. Where a step waits as the version is on trial, that would close the way back: the process ends instead, and the
 * version before salvages the file.
 */
function requireNoWayBack({ onTrial = false, steps = formatSteps, path }: OpenOptions, cause?: unknown): void {
  if (!onTrial || !steps.some(({ to, readableBy }) => to > firstOnTrial && readableBy > firstOnTrial)) return;
  throw new PlantgateError("DISK_FAILED", `${path} is damaged, and this version, which is on trial, would make it anew`, {
    cause,
  });
}

function knownFormat(steps: OpenOptions["steps"]): number {
  return steps?.at(-1)?.to ?? formatVersion;
}

function openOrSalvage(options: OpenOptions): OpenedQueue {
  if (!isNotedAsDamaged(options.path)) {
    try {
      return openFile(options, undefined);
    } catch (error) {
      if (!isDamage(error)) throw error;
      requireNoWayBack(options, error);
      noteDamage(options.path);
    }
  }
  requireNoWayBack(options);
  const salvaged = salvage(options);
  const opened = openFile(options, salvaged);
  forgetDamage(options.path);
  return opened;
}

function openFile(options: OpenOptions, salvaged: Salvaged | undefined): OpenedQueue {
  const db = openDatabase(options.path);
  try {
    const inDoubt = isDoubted(options.path);
    const known = db.prepare("SELECT name FROM sqlite_master WHERE name = 'meta'").get();
    if (inDoubt) checkThoroughly(db, known !== undefined && readFormat(db).format > formatVersion);
    db.exec("BEGIN IMMEDIATE");
    // a file that was emptied is no new queue
    if (!known && existsSync(markPath(options.path))) throw new Contradiction("the file has lost all that was in it");
    if (!known) makeTables(db, options.site);
    judge(db, options);
    checkSmallTables(db, inDoubt);
    if (!salvaged) db.exec("DELETE FROM meta WHERE name = 'salvaged'");
    if (!isCountedByUs(db)) deriveHeld(db);
    const running = noteBoot(db, options);
    noteCounted(db);
    const lost = known ? skipLost(db, options, running) : [];
    const lanes = readLanes(db);
    // what salvage made is as sound as it gets
    if (!salvaged && !queueLanes.every((lane) => isSound(lanes.get(lane))))
      throw new Contradiction("a lane cannot be in its state");
    db.exec("COMMIT");
    moveOldFrames(db);
    forgetDoubt(options.path);
    return { db, lanes: readLanes(db), running, lost, salvaged };
  } catch (error) {
    if (db.isTransaction) db.exec("ROLLBACK");
    db.close();
    throw error;
  }
}

function judge(db: DatabaseSync, { site, steps, onTrial }: OpenOptions): void {
  const value = (name: string) => db.prepare("SELECT value FROM meta WHERE name = ?").get(name)?.value as string | undefined;
  const { format, readableBy } = readFormat(db);
  if (
    !Number.isInteger(format) ||
    !Number.isInteger(readableBy) ||
    format < 1 ||
    readableBy > format ||
    (format < 3 && db.prepare("SELECT 1 FROM sqlite_master WHERE name = 'held'").get()) ||
    (format < 4 && db.prepare("SELECT 1 FROM pragma_table_info('frames') WHERE name = 'linked_to'").get())
  )
    throw new Contradiction(`the file does not have the format that it names, ${value("format")}`);
  requireReadable({ format, readableBy }, knownFormat(steps));
  if (value("site") !== site && isOf(db, site)) throw new Contradiction("the file's site is not the one that it was made for");
  if (value("site") !== site)
    throw new PlantgateError("CONFIG_INVALID", `this data folder belongs to site "${value("site")}", not to "${site}"`);
  bringForward(db, site, { steps, onTrial });
}

/** Whether the file was made for a site: the chain of what comes from central begins with it, and has one epoch. */
function isOf(db: DatabaseSync, site: string): boolean {
  const inbound = readLanes(db).get("inbound");
  return inbound !== undefined && chainGenesis(site, "inbound", inbound.epoch).equals(inbound.epochChain);
}

function noteBoot(db: DatabaseSync, { kernel, now }: OpenOptions): RunningTime {
  const first = db.prepare("SELECT run_ms, uptime_ms FROM boots WHERE kernel_boot = ? ORDER BY run_ms LIMIT 1").get(kernel.boot);
  const mark: RunningMark | undefined = first && { runMs: first.run_ms as number, uptimeMs: first.uptime_ms as number };
  const running = new RunningTime(kernel, mark, latestRunMs(db) + 1);
  const { runMs, uptimeMs } = running.mark();
  db.prepare("INSERT INTO boots (id, at, kernel_boot, run_ms, uptime_ms) VALUES (?, ?, ?, ?, ?)").run(
    randomUUID(),
    now(),
    kernel.boot,
    runMs,
    uptimeMs,
  );
  db.prepare("DELETE FROM boots WHERE id NOT IN (SELECT id FROM boots ORDER BY run_ms DESC LIMIT ?) AND kernel_boot <> ?").run(
    keptBoots,
    kernel.boot,
  );
  return running;
}

const latestBoot = "(SELECT id FROM boots ORDER BY run_ms DESC, id LIMIT 1)";

/**
 * Whether a program that counts what connectors have lying here as this one does was the last to open the file. One that did so before
 * counted of dead letters their bodies alone, and may be put back at any time.
 */
function isCountedByUs(db: DatabaseSync): boolean {
  return db.prepare(`SELECT 1 FROM meta WHERE name = 'held_counted' AND value = ${latestBoot}`).get() !== undefined;
}

function noteCounted(db: DatabaseSync): void {
  db.exec(`INSERT OR REPLACE INTO meta (name, value) SELECT 'held_counted', ${latestBoot}`);
}

/** The latest running time that anything in the file was written at. */
function latestRunMs(db: DatabaseSync): number {
  const one = (sql: string, ...values: number[]): number =>
    (db.prepare(sql).get(...values)?.at as number | null | undefined) ?? 0;
  const newest = "SELECT run_at AS at FROM frames WHERE position <= ? ORDER BY position DESC LIMIT 1";
  return Math.max(
    one("SELECT max(run_ms) AS at FROM boots"),
    one("SELECT max(run_at) AS at FROM acks"),
    one("SELECT run_at AS at FROM deliveries ORDER BY id DESC LIMIT 1"),
    ...queueLanes.map((lane) => one(newest, laneEnd(lane))),
  );
}

/**
 * What the mark beside the file knows as flushed and the file does not have: its numbers are not given out again. Whatever else the lost
 * part of the log said is gone as well, so each delivery may have been made before.
 */
function skipLost(db: DatabaseSync, { path, now }: OpenOptions, running: RunningTime): LostRange[] {
  const lanes = readLanes(db);
  const statements = new Statements(db);
  const sealing = new Sealing(db, new Keystore(dirname(path), now));
  const marks = readMark(markPath(path));
  const lost: LostRange[] = [];
  for (const [lane, state] of lanes) {
    const mark = marks.get(lane);
    if (mendLane({ statements, sealing }, lane, state, mark)) writeLane(statements, lane, state);
    if (!mark || mark.next <= state.next) continue;
    const range = { lane, first: state.next, count: mark.next - state.next };
    putLostHole({ statements, sealing }, lane, state, range, { at: now(), runMs: running.now() });
    writeLane(statements, lane, state);
    lost.push(range);
  }
  const forgotten = [...lanes].some(([lane, state]) => {
    const mark = marks.get(lane);
    return mark !== undefined && (mark.dispatched > state.dispatched || mark.acknowledged > state.acknowledged);
  });
  if (lost.length > 0 || forgotten) db.exec("UPDATE deliveries SET again = 1; UPDATE lanes SET again_up_to = next - 1");
  return lost;
}
