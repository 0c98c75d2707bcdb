import { type Clock, type DocumentProblem, PlantgateError } from "../../protocol/index.ts";
import type { Audit } from "../audit/audit.ts";
import type { Actor } from "../auth/actor.ts";
import type { Planned } from "../document/planned.ts";
import type { Renderer } from "../document/renderer.ts";
import type { DocumentStore } from "../document/store.ts";
import { planRelease } from "../release/carried.ts";
import type { Storage, StorageTransaction } from "../storage/storage.ts";
import { type ChangeAction, changeActions, judge, judgeAuthor, type Verdict } from "./change-state.ts";
import { standingAgainst } from "./checks.ts";
import { type Draft, type DraftEdit, Drafts, type Promotion } from "./drafts.ts";
import { describeWay, nextEnvironment } from "./environments.ts";
import type { Judge } from "./judged.ts";
import { type ChangeRecord, loadChange, lockChanges } from "./record.ts";
import { ChangeRefused } from "./refused.ts";
import type { ChangeOutcome, ChangePlan, RollingChange, RollingChanges, RolloutQueue } from "./rolling.ts";
import { type ChangeNow, ChangeSteps, central, counted } from "./steps.ts";

export interface ChangesDeps {
  readonly storage: Storage;
  readonly clock: Clock;
  readonly audit: Audit;
  readonly documents: DocumentStore;
  readonly renderer: Renderer;
  readonly judge: Judge;
  readonly rollouts: RolloutQueue;
}

export interface Decision {
  readonly comment: string;
  /** Of the change, as it was read. */
  readonly digest?: string | undefined;
}

/**
 * Changes: written as drafts, read by others, approved, carried on from environment to environment, handed to rollouts. Each step is one
 * transaction with its entry of the audit log; what takes long (judging, rendering) is done before it and holds only if nothing moved.
 */
export class Changes implements RollingChanges {
  readonly #deps: ChangesDeps;
  readonly #steps: ChangeSteps;
  readonly #drafts: Drafts;

  constructor(deps: ChangesDeps) {
    this.#deps = deps;
    this.#steps = new ChangeSteps(deps);
    this.#drafts = new Drafts({ ...deps, steps: this.#steps });
  }

  /** @returns its number. @throws ChangeRefused */
  create(actor: Actor, draft: Draft): Promise<number> {
    return this.#drafts.create(actor, draft);
  }

  /** Changes a draft, as it was at `version`. @throws ChangeRefused */
  edit(actor: Actor, number: number, edit: DraftEdit): Promise<void> {
    return this.#drafts.edit(actor, number, edit);
  }

  /** Carries a change that is done on to the next environment. @returns the new draft's number. @throws ChangeRefused */
  promote(actor: Actor, number: number, to: Promotion): Promise<number> {
    return this.#drafts.promote(actor, number, to);
  }

  /** Hands a draft to others to read; where nobody has to, it is approved by that. Judged whole. @throws ChangeRefused */
  async submit(actor: Actor, number: number, { comment, digest }: Decision): Promise<void> {
    await this.#steps.soundStep(number, "submit", actor, async (tx, now) => {
      requireDigest(now, digest);
      const state = await this.#steps.move(tx, now, "submit", { actor, kind: "submitted", text: comment });
      if (state === "approved" && now.record.strategy.start === "auto") await this.#begin(tx, number, actor);
    });
    this.#deps.rollouts.wake();
  }

  withdraw(actor: Actor, number: number, { comment }: Decision): Promise<void> {
    return this.#steps.step(number, "withdraw", actor, async (tx, now) => {
      await this.#steps.move(tx, now, "withdraw", { actor, kind: "withdrawn", text: comment });
    });
  }

  reject(actor: Actor, number: number, { comment }: Decision): Promise<void> {
    return this.#steps.step(number, "reject", actor, async (tx, now) => {
      await this.#steps.move(tx, now, "reject", { actor, kind: "rejected", text: comment });
    });
  }

  abandon(actor: Actor, number: number, { comment }: Decision): Promise<void> {
    return this.#steps.step(number, "abandon", actor, async (tx, now) => {
      await this.#steps.move(tx, now, "abandon", { actor, kind: "abandoned", text: comment }, comment === "" ? null : comment);
    });
  }

  /** Approves what was read: its digest has to be named. Starts it where its strategy says so. @throws ChangeRefused */
  async approve(actor: Actor, number: number, { comment, digest }: Decision): Promise<void> {
    if (digest === undefined)
      throw new ChangeRefused("invalid", "an approval names the digest of the change that was read; read it, then approve that");
    await this.#steps.soundStep(number, "approve", actor, async (tx, now) => {
      requireDigest(now, digest);
      await this.#steps.move(tx, now, "approve", { actor, kind: "approved", text: comment });
      if (now.record.strategy.start === "auto") await this.#begin(tx, number, actor);
    });
    this.#deps.rollouts.wake();
  }

  /** Hands an approved change to its rollout. @throws ChangeRefused */
  async start(actor: Actor, number: number, { comment, digest }: Decision): Promise<void> {
    await this.#steps.soundStep(number, "start", actor, async (tx, now) => {
      requireDigest(now, digest);
      await this.#begin(tx, number, actor, comment);
    });
    this.#deps.rollouts.wake();
  }

  /** What is owed after an expedited change: a third person has read it. */
  review(actor: Actor, number: number, { comment, digest }: Decision): Promise<void> {
    return this.#steps.step(number, "review", actor, async (tx, now) => {
      requireDigest(now, digest);
      await tx.updateTable("changes").set({ review_due_since: null }).where("number", "=", number).execute();
      await this.#steps.note(tx, now.record.row, { actor, kind: "reviewed", text: comment });
    });
  }

  comment(actor: Actor, number: number, text: string): Promise<void> {
    return this.#steps.step(number, "comment", actor, async (tx, { record }) => {
      await this.#steps.note(tx, record.row, { actor, kind: "commented", text });
    });
  }

  /** What decides about a change now. */
  async now(number: number): Promise<ChangeNow | undefined> {
    const record = await loadChange(this.#deps.storage, number);
    return record && this.#steps.now(this.#deps.storage, record);
  }

  /** What somebody may do now, and why not what he may not, whatever the documents say. */
  async verdicts(now: ChangeNow, actor: Actor): Promise<Record<ChangeAction, Verdict>> {
    const { row } = now.record;
    const { storage } = this.#deps;
    const open = row.state === "draft" || row.state === "review" || row.state === "approved";
    const [standing] = open ? await standingAgainst(storage, now) : [];
    const next = nextEnvironment.get(row.environment);
    const onward: Verdict =
      next === undefined
        ? { allowed: false, reason: describeWay(row.environment) }
        : judgeAuthor(next, await this.#steps.reviewed(storage, next), actor);
    const verdict = (action: ChangeAction): Verdict => {
      const judged = judge(action, now.facts, actor);
      if (!judged.allowed) return judged;
      if (action === "promote") return onward;
      const asksForSound = action === "submit" || action === "approve" || action === "start";
      return asksForSound && standing !== undefined ? { allowed: false, reason: standing } : judged;
    };
    return Object.fromEntries(changeActions.map((action) => [action, verdict(action)])) as Record<ChangeAction, Verdict>;
  }

  async plan(number: number): Promise<ChangePlan> {
    const now = await this.now(number);
    if (now?.record.row.state !== "rolling-out")
      return { kind: "refused", reason: `change ${number} is not rolling out`, problems: [] };
    const [standing] = await standingAgainst(this.#deps.storage, now);
    if (standing !== undefined) return { kind: "refused", reason: standing, problems: [] };
    const { release, row } = now.record;
    if (release)
      return {
        kind: "release",
        change: rolling(now.record),
        ...(await planRelease(this.#deps.storage, row.environment, release)),
      };
    const { judge } = this.#deps;
    const judged = await judge.judge(now.record, now.inForce);
    const { problems } = judged;
    if (problems.length > 0) return { kind: "refused", reason: counted(problems), problems };
    return { kind: "planned", change: rolling(now.record), sites: await judge.affected(now.record, judged) };
  }

  async ended(tx: StorageTransaction, number: number, outcome: ChangeOutcome, reason: string | null): Promise<void> {
    await lockChanges(tx);
    const record = await loadChange(tx, number);
    if (record?.row.state !== "rolling-out")
      throw new PlantgateError("INVARIANT", `change ${number} ended as ${outcome} and is ${record?.row.state ?? "not there"}`);
    const { row, documents } = record;
    if (outcome === "done") await this.#deps.documents.putInForce(tx, row.environment, number, documents);
    const due = outcome === "done" || (await wasTold(tx, number)) ? row.review_due_since : null;
    await tx
      .updateTable("changes")
      .set({ state: outcome, reason, updated_at: this.#deps.clock.now(), review_due_since: due })
      .where("number", "=", number)
      .execute();
    await this.#steps.note(tx, row, { actor: central, kind: "ended", text: reason ?? "" }, { outcome });
  }

  /** What a change makes of one site: for a dry run. */
  async candidate(
    number: number,
    site: string,
  ): Promise<{ readonly planned?: Planned; readonly problems: readonly DocumentProblem[] }> {
    const now = await this.now(number);
    if (!now) throw new ChangeRefused("not-found", `there is no change ${number}`);
    const { problems, sites } = await this.#deps.judge.judge(now.record, now.inForce);
    const found = sites.find((each) => each.kind === "rendered" && each.planned.site === site);
    return found?.kind === "rendered" ? { planned: found.planned, problems } : { problems };
  }

  async #begin(tx: StorageTransaction, number: number, actor: Actor, text = ""): Promise<void> {
    const now = await this.#steps.now(tx, await this.#steps.load(tx, number));
    const { record } = now;
    if (now.facts.reviewRequired && now.facts.approvers.length === 0)
      throw new ChangeRefused("not-allowed", `"${record.row.environment}" asks for review, and nobody has approved this`);
    await this.#deps.rollouts.enqueue(tx, { ...rolling(record), startedBy: actor.name });
    // without an approver nobody but the author has read it anyway: the environment asks for no review
    if (record.row.expedited === 1 && now.facts.reviewRequired) {
      const since = this.#deps.clock.now();
      await tx.updateTable("changes").set({ review_due_since: since }).where("number", "=", number).execute();
    }
    await this.#steps.move(tx, now, "start", { actor, kind: "started", text });
  }
}

function requireDigest({ record }: ChangeNow, digest: string | undefined): void {
  if (digest !== undefined && digest !== record.row.digest)
    throw new ChangeRefused("conflict", "it is not what you read any more; read it again");
}

/** Whether any site was given it. */
async function wasTold(tx: StorageTransaction, number: number): Promise<boolean> {
  const site = await tx
    .selectFrom("rollout_sites")
    .innerJoin("rollouts", "rollouts.number", "rollout_sites.rollout")
    .select("site")
    .where("rollouts.change", "=", number)
    .where("rollout_sites.state", "!=", "waiting")
    .limit(1)
    .executeTakeFirst();
  return site !== undefined;
}

function rolling({ row, strategy, events }: ChangeRecord): RollingChange {
  return {
    ...{ number: row.number, title: row.title, environment: row.environment, strategy, expedited: row.expedited === 1 },
    startedBy: events.findLast(({ kind }) => kind === "started")?.actor ?? row.author,
  };
}
