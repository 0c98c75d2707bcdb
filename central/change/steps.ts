import type { Clock, DocumentProblem } from "../../protocol/index.ts";
import type { Audit } from "../audit/audit.ts";
import type { Actor } from "../auth/actor.ts";
import type { DocumentStore, InForce } from "../document/store.ts";
import type { Storage, StorageTransaction } from "../storage/storage.ts";
import { type ChangeAction, type ChangeFacts, judge, nextState, type Verdict } from "./change-state.ts";
import { standingAgainst, unreadFrom } from "./checks.ts";
import { fingerprint, type Judge } from "./judged.ts";
import { addEvent, approversOf, type ChangeEventKind, type ChangeRecord, loadChange, lockChanges, writersOf } from "./record.ts";
import { ChangeRefused } from "./refused.ts";
import { reviewRule } from "./review-rule.ts";

export interface ChangeStepsDeps {
  readonly storage: Storage;
  readonly clock: Clock;
  readonly audit: Audit;
  readonly documents: DocumentStore;
  readonly judge: Judge;
}

/** A change, and what decides about it now. */
export interface ChangeNow {
  readonly record: ChangeRecord;
  readonly facts: ChangeFacts;
  readonly inForce: readonly InForce[];
}

/** What somebody did, as it is noted. */
export interface Said {
  readonly actor: Actor | typeof central;
  readonly kind: ChangeEventKind;
  readonly text: string;
}

/** Who does what nobody asked for. */
export const central = "central";
/** Something else moves while a change is judged: judged anew so often. */
const attempts = 5;

/**
 * How a change moves: each step is judged and made under the lock of changes, in one transaction with its event and its entry of the audit
 * log. What takes long is done before that, and holds only if nothing moved meanwhile.
 */
export class ChangeSteps {
  readonly #deps: ChangeStepsDeps;

  constructor(deps: ChangeStepsDeps) {
    this.#deps = deps;
  }

  /** One step of one change: judged and made under the lock. */
  async step<Value>(
    number: number,
    action: ChangeAction,
    actor: Actor,
    make: (tx: StorageTransaction, now: ChangeNow) => Promise<Value>,
  ): Promise<Value> {
    return this.#deps.storage.transaction().execute(async (tx) => {
      await lockChanges(tx);
      const now = await this.now(tx, await this.load(tx, number));
      allow(judge(action, now.facts, actor));
      return make(tx, now);
    });
  }

  /** A step that asks for a sound change: judged as a whole before, and made only if nothing that counted has moved since. */
  async soundStep(
    number: number,
    action: ChangeAction,
    actor: Actor,
    make: (tx: StorageTransaction, now: ChangeNow) => Promise<void>,
  ): Promise<void> {
    for (let attempt = 0; attempt < attempts; attempt++) {
      const { storage } = this.#deps;
      const before = await this.now(storage, await this.load(storage, number));
      allow(judge(action, before.facts, actor));
      await this.#requireStanding(storage, before);
      const { problems } = await this.#deps.judge.judge(before.record, before.inForce);
      if (problems.length > 0) throw new ChangeRefused("invalid", counted(problems), problems);
      const made = await this.step(number, action, actor, async (tx, now) => {
        const moved =
          now.record.row.digest !== before.record.row.digest || fingerprint(now.inForce) !== fingerprint(before.inForce);
        if (moved) return false;
        await this.#requireStanding(tx, now);
        await make(tx, now);
        return true;
      });
      if (!made) continue;
      return;
    }
    throw new ChangeRefused("conflict", "what is in force moves while this is judged; try again in a moment");
  }

  async move(
    tx: StorageTransaction,
    { record, facts }: ChangeNow,
    action: ChangeAction,
    event: Said,
    reason: string | null = null,
  ): Promise<string> {
    const state = nextState(action, facts);
    await tx
      .updateTable("changes")
      .set({ state, reason, updated_at: this.#deps.clock.now() })
      .where("number", "=", record.row.number)
      .execute();
    await this.note(tx, record.row, event, { state });
    return state;
  }

  /** An event of the change, and its entry of the audit log. */
  async note(
    tx: StorageTransaction,
    { number, digest, environment }: ChangeRecord["row"],
    { actor, kind, text }: Said,
    detail: Record<string, unknown> = {},
  ): Promise<void> {
    const { clock, audit } = this.#deps;
    const name = actor === central ? central : actor.name;
    await addEvent(tx, { change: number, at: clock.now(), actor: name, kind, text, digest });
    await audit.append(tx, {
      actor: name,
      action: `change.${kind}`,
      subject: `change/${number}`,
      detail: { environment, digest, ...(actor === central ? {} : { by: actor.kind }), ...detail },
    });
  }

  async load(db: Storage | StorageTransaction, number: number): Promise<ChangeRecord> {
    const record = await loadChange(db, number);
    if (!record) throw new ChangeRefused("not-found", `there is no change ${number}`);
    return record;
  }

  async now(db: Storage | StorageTransaction, record: ChangeRecord): Promise<ChangeNow> {
    const { row } = record;
    return {
      record,
      inForce: await this.#deps.documents.inForce(db, row.environment),
      facts: {
        state: row.state,
        environment: row.environment,
        author: row.author,
        writers: writersOf(record),
        unreadFrom: await unreadFrom(db, record),
        carriesVersion: record.release !== null,
        approvers: approversOf(record),
        reviewRequired: await this.reviewed(db, row.environment),
        reviewOwed: row.review_due_since !== null,
      },
    };
  }

  async reviewed(db: Storage | StorageTransaction, environment: string): Promise<boolean> {
    const { required } = await reviewRule(db, this.#deps.documents, environment);
    return required;
  }

  async #requireStanding(db: Storage | StorageTransaction, now: ChangeNow): Promise<void> {
    const [standing] = await standingAgainst(db, now);
    if (standing !== undefined) throw new ChangeRefused("conflict", standing);
  }
}

export function allow(verdict: Verdict): void {
  if (!verdict.allowed) throw new ChangeRefused("not-allowed", verdict.reason);
}

export function counted({ length }: readonly DocumentProblem[]): string {
  return `the documents have ${length} ${length === 1 ? "problem" : "problems"}`;
}
