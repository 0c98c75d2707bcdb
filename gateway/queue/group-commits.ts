import { type EpochMs, PlantgateError } from "../../protocol/index.ts";
import { Admission, FrameWriter, type RepeatWindows, Staged } from "./append.ts";
import { ChangeWriter, type EntryOutcome, type GroupEntry } from "./apply.ts";
import type { QueueLane } from "./change.ts";
import type { DeadLetters, DiscardedDeadLetters } from "./dead-letters.ts";
import type { Deliveries } from "./deliveries.ts";
import type { Disk } from "./disk.ts";
import type { LaneState } from "./lane-state.ts";
import { RepeatWindow } from "./repeats.ts";
import type { Retention } from "./retention.ts";
import type { RunningTime } from "./running-time.ts";
import type { Sealing } from "./sealing.ts";
import type { Statements } from "./statements.ts";
import { readTotals } from "./totals.ts";
import { isQueueFull, type Transactions } from "./transactions.ts";

export interface GroupCommitsDeps {
  readonly statements: Statements;
  readonly sealing: Sealing;
  readonly running: RunningTime;
  readonly lanes: ReadonlyMap<QueueLane, LaneState>;
  readonly transactions: Transactions;
  readonly retention: Retention;
  readonly disk: Disk;
  readonly deliveries: Deliveries;
  readonly deadLetters: DeadLetters;
  readonly now: () => EpochMs;
}

/** What became of a group. */
export interface GroupOutcome {
  readonly outcomes: EntryOutcome[];
  /** Dead letters that made room for those of the group. */
  readonly discarded: readonly DiscardedDeadLetters[];
  readonly deliveriesChanged: boolean;
}

const kinds = ["repeats", "received"] as const;

/** Applies what callers ask for, many in one transaction; on a full disk or past a budget, what the gateway notes of its own work alone. */
export class GroupCommits {
  readonly #deps: GroupCommitsDeps;
  readonly #windows: RepeatWindows;
  readonly #admission: Admission;
  readonly #changes: ChangeWriter;
  readonly #writer: FrameWriter;

  constructor(deps: GroupCommitsDeps) {
    this.#deps = deps;
    this.#windows = {
      repeats: new RepeatWindow(deps.statements, "repeats"),
      received: new RepeatWindow(deps.statements, "received"),
    };
    this.#admission = new Admission(deps.retention, deps.disk);
    this.#changes = new ChangeWriter({ ...deps, windows: this.#windows });
    this.#writer = new FrameWriter(deps);
  }

  /**
   * When it returns, each of the entries is on disk whole, or refused whole.
   * @throws PlantgateError DISK_FAILED
   */
  commit(entries: readonly GroupEntry[]): GroupOutcome {
    const blocked = this.#blocked();
    const refusals = entries.map((entry) => this.#admission.judge(entry, blocked));
    try {
      return this.#write(entries, refusals);
    } catch (error) {
      if (!isQueueFull(error)) throw error;
    }
    // no room: what others bring is refused, what the gateway notes of its own work is paid for by the reserve
    const full = new PlantgateError("QUEUE_FULL", "the disk has no room for the queue");
    this.#deps.disk.foundFull();
    const own = entries.map((entry, index) => refusals[index] ?? (isControl(entry) ? undefined : full));
    if (own.every((refusal) => refusal !== undefined)) return nothing(entries.map(() => full));
    try {
      return this.#write(entries, own);
    } catch (error) {
      if (!isQueueFull(error)) throw error;
      return nothing(entries.map(() => full));
    }
  }

  /** Why each lane takes nothing now; what is only kept for central makes room before anything is refused. */
  #blocked(): ReadonlyMap<QueueLane, PlantgateError> {
    const { deliveryBytes } = readTotals(this.#deps.statements);
    const refusals = this.#admission.refusals(this.#deps.lanes, deliveryBytes);
    const kept = [...refusals.keys()].some((lane) => lane !== "inbound" && this.#holdsKept(lane));
    if (!kept) return refusals;
    try {
      this.#deps.transactions.run((lanes) => {
        for (const lane of refusals.keys()) this.#deps.retention.prune(lane, lanes, this.#deps.disk.look().state !== "ok");
      });
    } catch (error) {
      if (!isQueueFull(error)) throw error;
    }
    return this.#admission.refusals(this.#deps.lanes, deliveryBytes);
  }

  #holdsKept(lane: QueueLane): boolean {
    const { acknowledged, dispatched, pruned } = this.#deps.lanes.get(lane) as LaneState;
    return Math.min(acknowledged, lane === "telemetry" ? acknowledged : dispatched) > pruned;
  }

  #write(entries: readonly GroupEntry[], refusals: readonly (PlantgateError | undefined)[]): GroupOutcome {
    if (refusals.every((refusal) => refusal !== undefined)) return nothing(refusals as PlantgateError[]);
    const { outcomes, staged, rows, discarded } = this.#deps.transactions.run((lanes) => {
      const staged = new Staged(lanes);
      const outcomes = entries.map((entry, index) => refusals[index] ?? this.#changes.apply(entry, staged));
      this.#writer.write(staged);
      const rows = kinds.map((kind) =>
        staged.entries[kind].length > 0 ? this.#windows[kind].write(staged.entries[kind]) : undefined,
      );
      staged.totals.write(this.#deps.statements);
      const discarded = this.#deps.deadLetters.holdToBudget(this.#deps.retention.heldBudgets.deadLetterBytes, staged.totals.held);
      return { outcomes, staged, rows, discarded };
    });
    for (const [index, kind] of kinds.entries()) {
      const row = rows[index];
      if (row !== undefined) this.#windows[kind].remember(row, staged.entries[kind]);
    }
    return { outcomes, discarded, deliveriesChanged: staged.totals.held.some(({ kind }) => kind === "deliveries") };
  }
}

/** All refused. */
function nothing(outcomes: EntryOutcome[]): GroupOutcome {
  return { outcomes, discarded: [], deliveriesChanged: false };
}

function isControl(entry: GroupEntry): boolean {
  return "change" in entry && entry.change.control === true;
}
