import type { DocumentProblem } from "../../protocol/index.ts";
import type { Planned } from "../document/planned.ts";
import type { RolloutStrategy } from "../http/api/changes.ts";
import type { VersionRef } from "../rollout/target.ts";
import type { StorageTransaction } from "../storage/storage.ts";

/** A change on its way to its sites. */
export interface RollingChange {
  readonly number: number;
  readonly title: string;
  readonly environment: string;
  readonly strategy: RolloutStrategy;
  /** Skips waves: all of its sites at once. */
  readonly expedited: boolean;
  readonly startedBy: string;
}

/** What a change has to do now: it is planned when its rollout leaves the queue, as others may have ended meanwhile. */
export type ChangePlan =
  /** Sites whose content is not what they desire. None: the rollout is done at once. */
  | { readonly kind: "planned"; readonly change: RollingChange; readonly sites: readonly Planned[] }
  /** It carries a version: sites whose gateway can be upgraded from here and runs another one. `left`: who is left alone, and why. */
  | {
      readonly kind: "release";
      readonly change: RollingChange;
      readonly sites: readonly { readonly site: string; readonly from: VersionRef; readonly to: VersionRef }[];
      readonly left: readonly string[];
    }
  /** It cannot begin: what is in force has moved under it, or a site does not render any more. The rollout ends as aborted. */
  | { readonly kind: "refused"; readonly reason: string; readonly problems: readonly DocumentProblem[] };

export type ChangeOutcome = "done" | "aborted" | "rolled-back";

/** What the rollout engine asks of changes. */
export interface RollingChanges {
  /** Renders the change's environment with its documents, outside of any transaction. Takes as long as rendering takes. */
  plan(change: number): Promise<ChangePlan>;
  /**
   * The rollout ended. `done`: what the change carries is in force in its environment from now on; else nothing moves. It takes the lock
   * of changes, which the transaction takes before any of configuration, and ends with the audit log: whatever else it locks comes before this call.
   */
  ended(tx: StorageTransaction, change: number, outcome: ChangeOutcome, reason: string | null): Promise<void>;
}

/** What changes ask of the rollout engine. */
export interface RolloutQueue {
  /** Makes the rollout, in the transaction in which the change begins to roll out; which sites it has is planned later. @returns its number */
  enqueue(tx: StorageTransaction, change: RollingChange): Promise<number>;
  /** Told after that transaction is committed. */
  wake(): void;
}
