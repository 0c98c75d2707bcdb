import type { DatabaseSync } from "node:sqlite";
import { PlantgateError } from "../../protocol/index.ts";
import type { QueueLane } from "./change.ts";
import type { Disk } from "./disk.ts";
import { type LaneState, StagedLanes } from "./lane-state.ts";
import type { FlushMark } from "./mark.ts";
import type { Sealing } from "./sealing.ts";
import type { Statements } from "./statements.ts";

export interface TransactionDeps {
  readonly db: DatabaseSync;
  readonly statements: Statements;
  readonly sealing: Sealing;
  readonly lanes: Map<QueueLane, LaneState>;
  readonly mark: FlushMark;
  readonly disk: Disk;
}

/** How the queue's file is written to: in one transaction, flushed when it returns; or nothing of it is. */
export class Transactions {
  readonly #deps: TransactionDeps;

  constructor(deps: TransactionDeps) {
    this.#deps = deps;
  }

  /**
   * Writes what `work` writes, and what it makes of the lanes; both are flushed on return.
   * @throws PlantgateError what `work` refuses by itself, and QUEUE_FULL: nothing was written; DISK_FAILED: the process has to end (rule 12)
   */
  run<Result>(work: (lanes: StagedLanes) => Result): Result {
    const { db, statements, lanes } = this.#deps;
    const staged = new StagedLanes(lanes);
    const result = this.attempt(() => {
      db.exec("BEGIN IMMEDIATE");
      const made = work(staged);
      staged.write(statements);
      db.exec("COMMIT");
      return made;
    });
    // it is flushed: from here on nothing of it may be told as refused, or it would be written twice
    if (staged.touched) {
      staged.become(lanes);
      this.note();
    }
    return result;
  }

  /** For what opens its own transactions. @throws PlantgateError as `run` does */
  attempt<Result>(work: () => Result): Result {
    const { db, sealing } = this.#deps;
    try {
      return work();
    } catch (cause) {
      if (db.isTransaction) db.exec("ROLLBACK");
      sealing.forget();
      if (cause instanceof PlantgateError) throw cause;
      if (this.#deps.disk.isFull(cause)) throw new PlantgateError("QUEUE_FULL", "the disk has no room for the queue", { cause });
      throw new PlantgateError("DISK_FAILED", "the queue could not be written", { cause });
    }
  }

  /** Gives the reserve free, and what the log took for a try that found no room. @throws PlantgateError DISK_FAILED */
  makeRoom(): void {
    const { db, disk } = this.#deps;
    disk.foundFull();
    try {
      this.attempt(() => db.exec("PRAGMA wal_checkpoint(TRUNCATE)"));
    } catch (error) {
      if (!isQueueFull(error)) throw error;
    }
  }

  /** Notes beside the file how far the lanes were flushed. Never ahead of the disk: after the flush, and not flushed itself. */
  note(): void {
    try {
      this.#deps.mark.write(this.#deps.lanes);
    } catch (cause) {
      throw new PlantgateError("DISK_FAILED", "the note beside the queue's file could not be written", { cause });
    }
  }
}

/** Nothing was written, for want of room. */
export function isQueueFull(error: unknown): boolean {
  return error instanceof PlantgateError && error.code === "QUEUE_FULL";
}
