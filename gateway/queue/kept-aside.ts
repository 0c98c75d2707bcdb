import type { QueueLane } from "./change.ts";
import { queueLanes } from "./file.ts";
import type { UnreadableReason } from "./frames.ts";
import { framePosition, laneAt, laneEnd } from "./schema.ts";
import type { Statements } from "./statements.ts";

/** What is kept of damaged ranges, of all lanes: hardly ever can anybody read it again. */
export const damagedBytes = 64 * 1024 * 1024;
/** To delete a row, SQLite reads each of its pages, and commits wait meanwhile. */
const deletedAtOnce = 64;

const size = "length(events) + coalesce(length(inputs), 0)";

/** What was kept of unreadable ranges of one lane and is gone for good; the ranges stay reported as holes (P2). */
export interface SetAsideDiscarded {
  readonly lane: QueueLane;
  readonly reason: UnreadableReason;
  /** Messages. */
  readonly count: number;
  readonly bytes: number;
}

/** Rows that share a bound: how they are told from others, and in what order they grow old. */
interface Group {
  readonly reason: UnreadableReason;
  /** Positions; a row that lies in no lane, as only damage puts it there, is left alone. */
  readonly from: number;
  readonly to: number;
  readonly newestFirst: string;
}

const groups: readonly Group[] = [
  ...queueLanes.map((lane) => ({
    reason: "locked" as const,
    ...{ from: framePosition(lane, 0), to: laneEnd(lane) },
    newestFirst: "position DESC",
  })),
  {
    reason: "damaged",
    ...{ from: framePosition("transaction", 0), to: laneEnd("inbound") },
    newestFirst: "found_at DESC, position DESC",
  },
];

/**
 * Holds what was set aside for a person to its bounds. Of what is locked a lane keeps as much as its own budget once more: the recovery key
 * opens it, also weeks later (rule 17). Rows are only looked through when they may be too many: there may be as much as in a lane.
 */
export class KeptAside {
  readonly #statements: Statements;
  readonly #maxBytes: (lane: QueueLane) => number;
  /** At least so much lies there; undefined: to be counted. */
  #bytes: Map<Group, number> | undefined;

  constructor(statements: Statements, maxBytes: (lane: QueueLane) => number) {
    this.#statements = statements;
    this.#maxBytes = maxBytes;
  }

  /** A range was set aside, and that is flushed. */
  added(lane: QueueLane, first: number): void {
    const row = this.#statements.get(
      `SELECT position, reason, ${size} AS bytes FROM set_aside WHERE position = ?`,
      framePosition(lane, first),
    );
    if (row && this.#bytes) count(this.#bytes, row);
  }

  /** Deletes what is past a bound, oldest first and a bounded part of it, inside the caller's transaction. @returns what is gone */
  hold(): SetAsideDiscarded[] {
    this.#bytes ??= this.#countAll();
    const past = [...this.#bytes].filter(([group, bytes]) => bytes > this.#bound(group)).map(([group]) => group);
    // whether it was the last of them is known once that is flushed
    if (past.length > 0) this.#bytes = undefined;
    return past.flatMap((group) => this.#deletePast(group));
  }

  #bound({ reason, from }: Group): number {
    return reason === "locked" ? this.#maxBytes(laneAt(from)) : damagedBytes;
  }

  #deletePast(group: Group): SetAsideDiscarded[] {
    const { reason, from, to, newestFirst } = group;
    const query = `SELECT position, reason, count, bytes FROM (
        SELECT position, reason, count, ${size} AS bytes, sum(${size}) OVER (ORDER BY ${newestFirst}) AS upToHere FROM set_aside
        WHERE reason = ? AND position BETWEEN ? AND ?
      ) WHERE upToHere > ? ORDER BY upToHere DESC LIMIT ${deletedAtOnce}`;
    const gone = new Map<QueueLane, { lane: QueueLane; reason: UnreadableReason; count: number; bytes: number }>();
    for (const row of this.#statements.all(query, reason, from, to, this.#bound(group))) {
      this.#statements.run("DELETE FROM set_aside WHERE position = ?", row.position as number);
      const lane = laneAt(row.position as number);
      const told = gone.get(lane) ?? { lane, reason, count: 0, bytes: 0 };
      told.count += row.count as number;
      told.bytes += row.bytes as number;
      gone.set(lane, told);
    }
    return [...gone.values()];
  }

  #countAll(): Map<Group, number> {
    const bytes = new Map<Group, number>();
    for (const row of this.#statements.prepare(`SELECT position, reason, ${size} AS bytes FROM set_aside`).iterate())
      count(bytes, row);
    return bytes;
  }
}

function count(bytes: Map<Group, number>, row: Record<string, unknown>): void {
  const position = row.position as number;
  const group = groups.find(({ reason, from, to }) => reason === row.reason && position >= from && position <= to);
  if (group) bytes.set(group, (bytes.get(group) ?? 0) + (row.bytes as number));
}
