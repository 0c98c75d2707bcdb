import { dirname, join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { pathToFileURL } from "node:url";
import { type HoleReason, PlantgateError } from "../../protocol/index.ts";
import type { QueueDepth, QueueLane } from "./change.ts";
import { DeadLetters } from "./dead-letters.ts";
import { Deliveries } from "./deliveries.ts";
import { readDepth } from "./depth.ts";
import { lowestFormat, readFormat, requireReadable } from "./format.ts";
import { decodeLines } from "./frame.ts";
import { checkSmallTables } from "./inspect.ts";
import { Keystore } from "./keystore.ts";
import { RunningTime, systemKernelTime } from "./running-time.ts";
import { framePosition, laneAt, laneEnd, sequenceAt } from "./schema.ts";
import { places, Sealing } from "./sealing.ts";
import { Statements } from "./statements.ts";

export interface QueuedMessage {
  readonly lane: QueueLane;
  readonly sequence: number;
  readonly recordedAt: number;
  readonly line: string;
}
/** A range without messages, and why. */
export interface QueuedHole {
  readonly lane: QueueLane;
  readonly first: number;
  readonly count: number;
  readonly reason: HoleReason;
}

/** What a hole took the place of because it could not be read; its messages where they can be read by now, as after a key was recovered. */
export interface SetAsideRange {
  readonly lane: QueueLane;
  readonly first: number;
  readonly count: number;
  readonly reason: HoleReason;
  readonly foundAt: number;
  readonly bytes: number;
  readonly lines: readonly string[] | undefined;
}

/**
 * A queue's file as a person looks into it, while its gateway runs or not: a read-only handle, which never disturbs the writer. What is sealed
 * is opened with the folder's own keystore.
 */
export class QueueReader {
  readonly #db: DatabaseSync;
  readonly #statements: Statements;
  readonly #sealing: Sealing;
  readonly deliveries: Deliveries;
  readonly deadLetters: DeadLetters;
  #unread = 0;

  /**
   * @param frozen only for a file that nobody writes: nothing is made beside it, and a log beside it is not read
   * @throws PlantgateError FORMAT_NEWER; CONFIG_INVALID for a file of an older format, which its gateway brings up to date when it starts
   */
  constructor(file: string, { frozen = false }: { readonly frozen?: boolean } = {}) {
    const place = frozen ? new URL(`${pathToFileURL(file).href}?immutable=1`) : file;
    this.#db = new DatabaseSync(place, { readOnly: true, timeout: 5000 });
    try {
      const found = readFormat(this.#db);
      requireReadable(found);
      if (found.format < lowestFormat)
        throw new PlantgateError(
          "CONFIG_INVALID",
          `the queue has format ${found.format}: start its gateway once, it brings the file up to date`,
        );
    } catch (error) {
      this.#db.close();
      throw error;
    }
    this.#statements = new Statements(this.#db);
    this.#sealing = new Sealing(this.#db, new Keystore(dirname(file), Date.now));
    const kernel = systemKernelTime();
    const first = this.#statements.get(
      "SELECT run_ms, uptime_ms FROM boots WHERE kernel_boot = ? ORDER BY run_ms LIMIT 1",
      kernel.boot,
    );
    const mark = first && { runMs: first.run_ms as number, uptimeMs: first.uptime_ms as number };
    const latest = this.#statements.get("SELECT coalesce(max(run_ms), 0) AS at FROM boots")?.at as number;
    this.deliveries = new Deliveries(this.#statements, this.#sealing, new RunningTime(kernel, mark, latest));
    this.deadLetters = new DeadLetters(this.#statements, this.#sealing);
  }

  close(): void {
    this.#db.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  /** Messages that were left out so far, as they cannot be read: their key is missing, or they are damaged. */
  get unread(): number {
    return this.#unread;
  }

  /** @throws Contradiction where a small table is damaged; what SQLite throws */
  inspect(): void {
    checkSmallTables(this.#db, false);
  }

  depth(): QueueDepth {
    return readDepth(this.#db);
  }

  /** Messages that lie in a lane, oldest first, from `sequence` on. Frames that do not open are left out: the writer reports them. */
  *messages(lane: QueueLane, sequence = 0): Generator<QueuedMessage> {
    // a page at a time: an open read would keep the writer's log from starting anew
    for (let from = this.#startOf(lane, sequence); ; ) {
      const page =
        "SELECT position, count, recorded_at, hole, key, events FROM frames WHERE position >= ? AND position <= ? ORDER BY position LIMIT 20";
      const rows = this.#statements.all(page, from, laneEnd(lane));
      if (rows.length === 0) return;
      for (const row of rows) {
        const first = sequenceAt(row.position as number);
        const count = row.count as number;
        from = (row.position as number) + count;
        if (row.hole !== null) continue;
        for (const [index, line] of this.#lines(lane, first, count, row).entries())
          if (first + index >= sequence) yield { lane, sequence: first + index, recordedAt: row.recorded_at as number, line };
      }
    }
  }

  /** Ranges of a lane that hold no messages any more, oldest first. */
  holes(lane: QueueLane): QueuedHole[] {
    const query =
      "SELECT position, count, hole FROM frames WHERE position > ? AND position <= ? AND hole IS NOT NULL ORDER BY position";
    return this.#statements.all(query, framePosition(lane, 0), laneEnd(lane)).map((row) => ({
      lane,
      first: sequenceAt(row.position as number),
      count: row.count as number,
      reason: row.hole as HoleReason,
    }));
  }

  /** What was set aside, oldest first. */
  *setAside(): Generator<SetAsideRange> {
    const page =
      "SELECT position, count, reason, found_at, key, events FROM set_aside WHERE position > ? ORDER BY position LIMIT 20";
    for (let after = 0; ; ) {
      const rows = this.#statements.all(page, after);
      if (rows.length === 0) return;
      for (const row of rows) {
        after = row.position as number;
        const lane = laneAt(after);
        const [first, count] = [sequenceAt(after), row.count as number];
        const lines = this.#lines(lane, first, count, row);
        yield {
          ...{ lane, first, count, reason: row.reason as HoleReason, foundAt: row.found_at as number },
          bytes: (row.events as Uint8Array).byteLength,
          lines: lines.length === 0 ? undefined : lines,
        };
      }
    }
  }

  #startOf(lane: QueueLane, sequence: number): number {
    const query = "SELECT max(position) AS at FROM frames WHERE position <= ? AND position > ?";
    const holding = this.#statements.get(query, framePosition(lane, sequence), framePosition(lane, 0))?.at as number | null;
    return holding ?? framePosition(lane, 0);
  }

  #lines(lane: QueueLane, first: number, count: number, row: Record<string, unknown>): string[] {
    try {
      const place = places.frame(lane, first, count, "events");
      return decodeLines(this.#sealing.open(row.key as number | null, row.events as Uint8Array, place), count);
    } catch (error) {
      if (!(error instanceof PlantgateError) || error.disposition !== "quarantine") throw error;
      this.#unread += count;
      return [];
    }
  }
}

/** The queue's file of a data folder. */
export function queueFile(dataDir: string): string {
  return join(dataDir, "queue.sqlite");
}
