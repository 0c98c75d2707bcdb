import { type Clock, type DocumentProblem, PlantgateError, type SourceFile } from "../../protocol/index.ts";
import type { Audit } from "../audit/audit.ts";
import type { Actor } from "../auth/actor.ts";
import type { DocumentRef, Planned } from "../document/planned.ts";
import type { Renderer } from "../document/renderer.ts";
import type { WrittenDocument } from "../document/split.ts";
import type { DocumentStore, InForce } from "../document/store.ts";
import { type RolloutStrategy, rolloutStrategy } from "../http/api/changes.ts";
import type { Storage, StorageTransaction } from "../storage/storage.ts";
import {
  type ChangeAction,
  type ChangeFacts,
  changeActions,
  judge,
  judgeAuthor,
  nextState,
  type Verdict,
} from "./change-state.ts";
import { nextEnvironment, standingAgainst, unreadFrom } from "./checks.ts";
import { fingerprint, type Judge } from "./judged.ts";
import {
  addEvent,
  approversOf,
  type Carried,
  type ChangeEventKind,
  type ChangeRecord,
  carry,
  loadChange,
  lockChanges,
  nextNumber,
  writersOf,
} from "./record.ts";
import { ChangeRefused } from "./refused.ts";
import { reviewRule } from "./review-rule.ts";
import type { ChangeOutcome, ChangePlan, RollingChange, RollingChanges, RolloutQueue } from "./rolling.ts";

export interface ChangesDeps {
  readonly storage: Storage;
  readonly clock: Clock;
  readonly audit: Audit;
  readonly documents: DocumentStore;
  readonly renderer: Renderer;
  readonly judge: Judge;
  readonly rollouts: RolloutQueue;
}

/** What a draft is made of. */
export interface Draft {
  readonly title: string;
  readonly description: string;
  readonly environment: string;
  readonly files: readonly SourceFile[];
  readonly removes: readonly Pick<DocumentRef, "kind" | "name">[];
  readonly strategy: RolloutStrategy;
  readonly expedited: boolean;
}
export type DraftEdit = { readonly version: number } & {
  readonly [Key in keyof Omit<Draft, "environment">]?: Draft[Key] | undefined;
};

export interface Decision {
  readonly comment: string;
  /** Of the change, as it was read. */
  readonly digest?: string | undefined;
}

/** A change, and what decides about it now. */
export interface ChangeNow {
  readonly record: ChangeRecord;
  readonly facts: ChangeFacts;
  readonly inForce: readonly InForce[];
}

/** Something else moves while a change is judged: judged anew so often. */
const attempts = 5;

/**
 * Changes: written as drafts, read by others, approved, carried on from environment to environment, handed to rollouts. Each step is one
 * transaction with its entry of the audit log; what takes long (judging, rendering) is done before it and holds only if nothing moved.
 */
export class Changes implements RollingChanges {
  readonly #deps: ChangesDeps;

  constructor(deps: ChangesDeps) {
    this.#deps = deps;
  }

  /** @returns its number. @throws ChangeRefused */
  async create(actor: Actor, draft: Draft): Promise<number> {
    const written = await this.#written(draft.files);
    return this.#deps.storage.transaction().execute(async (tx) => {
      await lockChanges(tx);
      const { environment } = draft;
      allow(judgeAuthor(environment, await this.#reviewed(tx, environment), actor));
      const number = await this.#insert(tx, actor, draft, null);
      const documents = await this.#carried(tx, actor, { number, environment, before: [] }, written, draft.removes);
      await this.#seal(tx, number, draft, documents, { actor, kind: "created", text: "" });
      return number;
    });
  }

  /** Changes a draft, as it was at `version`, and takes what is in force now as its base. @throws ChangeRefused */
  async edit(actor: Actor, number: number, edit: DraftEdit): Promise<void> {
    const written = edit.files && (await this.#written(edit.files));
    await this.#step(number, "edit", actor, async (tx, { record, inForce }) => {
      const { row } = record;
      if (row.version !== edit.version) {
        const last = record.events.findLast(({ kind }) => kind === "edited" || kind === "created")?.actor ?? row.author;
        throw new ChangeRefused(
          "conflict",
          `it was edited meanwhile by ${last} (version ${row.version}); read it again, then edit that`,
        );
      }
      const says = {
        title: edit.title ?? row.title,
        description: edit.description ?? row.description,
        environment: row.environment,
        strategy: edit.strategy ?? record.strategy,
        expedited: edit.expedited ?? row.expedited === 1,
      };
      await tx
        .updateTable("changes")
        .set({
          title: says.title,
          description: says.description,
          strategy: JSON.stringify(says.strategy),
          expedited: says.expedited ? 1 : 0,
          version: row.version + 1,
        })
        .where("number", "=", number)
        .execute();
      const removed = record.documents.filter(({ revision }) => revision === 0);
      const documents =
        written || edit.removes
          ? await this.#carried(
              tx,
              actor,
              { number, environment: row.environment, before: record.documents },
              written ?? record.documents.filter(({ revision }) => revision > 0),
              edit.removes ?? removed,
            )
          : rebased(record.documents, inForce);
      await this.#seal(tx, number, says, documents, { actor, kind: "edited", text: "" });
    });
  }

  /** Hands a draft to others to read; where nobody has to, it is approved by that. Judged whole. @throws ChangeRefused */
  async submit(actor: Actor, number: number, { comment, digest }: Decision): Promise<void> {
    await this.#soundStep(number, "submit", actor, async (tx, now) => {
      requireDigest(now, digest);
      const state = await this.#move(tx, now, "submit", { actor, kind: "submitted", text: comment });
      if (state === "approved" && now.record.strategy.start === "auto") await this.#begin(tx, number, actor);
      return undefined;
    });
  }

  withdraw(actor: Actor, number: number, { comment }: Decision): Promise<void> {
    return this.#step(number, "withdraw", actor, async (tx, now) => {
      await this.#move(tx, now, "withdraw", { actor, kind: "withdrawn", text: comment });
    });
  }

  reject(actor: Actor, number: number, { comment }: Decision): Promise<void> {
    return this.#step(number, "reject", actor, async (tx, now) => {
      await this.#move(tx, now, "reject", { actor, kind: "rejected", text: comment });
    });
  }

  abandon(actor: Actor, number: number, { comment }: Decision): Promise<void> {
    return this.#step(number, "abandon", actor, async (tx, now) => {
      await this.#move(tx, now, "abandon", { actor, kind: "abandoned", text: comment }, comment === "" ? null : comment);
    });
  }

  /** Approves what was read: its digest has to be named. Starts it where its strategy says so. @throws ChangeRefused */
  async approve(actor: Actor, number: number, { comment, digest }: Decision): Promise<void> {
    if (digest === undefined)
      throw new ChangeRefused("invalid", "an approval names the digest of the change that was read; read it, then approve that");
    await this.#soundStep(number, "approve", actor, async (tx, now) => {
      requireDigest(now, digest);
      await this.#move(tx, now, "approve", { actor, kind: "approved", text: comment });
      if (now.record.strategy.start === "auto") await this.#begin(tx, number, actor);
    });
  }

  /** Hands an approved change to its rollout. @throws ChangeRefused */
  async start(actor: Actor, number: number, { comment, digest }: Decision): Promise<void> {
    await this.#soundStep(number, "start", actor, async (tx, now) => {
      requireDigest(now, digest);
      await this.#begin(tx, number, actor, comment);
    });
  }

  /** What is owed after an expedited change: a third person has read it. */
  review(actor: Actor, number: number, { comment, digest }: Decision): Promise<void> {
    return this.#step(number, "review", actor, async (tx, now) => {
      requireDigest(now, digest);
      await tx.updateTable("changes").set({ review_due_since: null }).where("number", "=", number).execute();
      await this.#note(tx, now.record.row, { actor, kind: "reviewed", text: comment });
    });
  }

  comment(actor: Actor, number: number, text: string): Promise<void> {
    return this.#step(number, "comment", actor, async (tx, { record }) => {
      await this.#note(tx, record.row, { actor, kind: "commented", text });
    });
  }

  /** A new draft with the same revisions for the next environment. @returns its number. @throws ChangeRefused */
  async promote(
    actor: Actor,
    number: number,
    to: { readonly environment: string; readonly strategy?: RolloutStrategy | undefined },
  ): Promise<number> {
    const { environment } = to;
    return this.#step(number, "promote", actor, async (tx, { record }) => {
      const { row } = record;
      if (nextEnvironment[row.environment] !== environment) {
        const next = nextEnvironment[row.environment];
        const way =
          next === undefined ? `"${row.environment}" is the last one` : `from "${row.environment}" it goes to "${next}"`;
        throw new ChangeRefused("conflict", `a change is carried on from dev to test and from test to prod: ${way}`);
      }
      allow(judgeAuthor(environment, await this.#reviewed(tx, environment), actor));
      const carried = record.documents.filter(({ kind }) => kind === "Template" || kind === "Policy");
      if (carried.length === 0)
        throw new ChangeRefused("conflict", "it carries sites and secrets only, and those belong to one environment");
      const draft = {
        title: row.title,
        description: row.description,
        environment,
        strategy: to.strategy ?? rolloutStrategy.parse(undefined),
        expedited: false,
      };
      const made = await this.#insert(tx, actor, draft, number);
      const inForce = await this.#deps.documents.inForce(tx, environment);
      await this.#seal(tx, made, draft, rebased(carried, inForce), {
        actor,
        kind: "created",
        text: `carried on from change ${number}, which is done in ${row.environment}`,
      });
      return made;
    });
  }

  /** What decides about a change now. */
  async now(number: number): Promise<ChangeNow | undefined> {
    const record = await loadChange(this.#deps.storage, number);
    return record && this.#now(this.#deps.storage, record);
  }

  /** What somebody may do now, and why not what he may not, whatever the documents say. */
  async verdicts(now: ChangeNow, actor: Actor): Promise<Record<ChangeAction, Verdict>> {
    const { row } = now.record;
    const { storage } = this.#deps;
    const open = row.state === "draft" || row.state === "review" || row.state === "approved";
    const [standing] = open ? await standingAgainst(storage, now.record, now.inForce) : [];
    const next = nextEnvironment[row.environment];
    const onward: Verdict =
      next === undefined
        ? { allowed: false, reason: `"${row.environment}" is the last environment` }
        : judgeAuthor(next, await this.#reviewed(storage, next), actor);
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
    const [standing] = await standingAgainst(this.#deps.storage, now.record, now.inForce);
    if (standing !== undefined) return { kind: "refused", reason: standing, problems: [] };
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
    await tx
      .updateTable("changes")
      .set({ state: outcome, reason, updated_at: this.#deps.clock.now() })
      .where("number", "=", number)
      .execute();
    await this.#note(tx, row, { actor: central, kind: "ended", text: reason ?? "" }, { outcome });
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

  /** One step of one change: judged and made under the lock. */
  async #step<Value>(
    number: number,
    action: ChangeAction,
    actor: Actor,
    make: (tx: StorageTransaction, now: ChangeNow) => Promise<Value>,
  ): Promise<Value> {
    return this.#deps.storage.transaction().execute(async (tx) => {
      await lockChanges(tx);
      const now = await this.#now(tx, await this.#load(tx, number));
      allow(judge(action, now.facts, actor));
      return make(tx, now);
    });
  }

  /** A step that asks for a sound change: judged as a whole before, and made only if nothing that counted has moved since. */
  async #soundStep(
    number: number,
    action: ChangeAction,
    actor: Actor,
    make: (tx: StorageTransaction, now: ChangeNow) => Promise<void>,
  ): Promise<void> {
    for (let attempt = 0; attempt < attempts; attempt++) {
      const { storage } = this.#deps;
      const before = await this.#now(storage, await this.#load(storage, number));
      allow(judge(action, before.facts, actor));
      await this.#requireStanding(storage, before);
      const { problems } = await this.#deps.judge.judge(before.record, before.inForce);
      if (problems.length > 0) throw new ChangeRefused("invalid", counted(problems), problems);
      const made = await this.#step(number, action, actor, async (tx, now) => {
        const moved =
          now.record.row.digest !== before.record.row.digest || fingerprint(now.inForce) !== fingerprint(before.inForce);
        if (moved) return false;
        await this.#requireStanding(tx, now);
        await make(tx, now);
        return true;
      });
      if (!made) continue;
      this.#deps.rollouts.wake();
      return;
    }
    throw new ChangeRefused("conflict", "what is in force moves while this is judged; try again in a moment");
  }

  async #begin(tx: StorageTransaction, number: number, actor: Actor, text = ""): Promise<void> {
    const now = await this.#now(tx, await this.#load(tx, number));
    const { record } = now;
    if (now.facts.reviewRequired && now.facts.approvers.length === 0)
      throw new ChangeRefused("not-allowed", `"${record.row.environment}" asks for review, and nobody has approved this`);
    await this.#deps.rollouts.enqueue(tx, { ...rolling(record), startedBy: actor.name });
    // without an approver nobody but the author has read it anyway: the environment asks for no review
    if (record.row.expedited === 1 && now.facts.reviewRequired) {
      const since = this.#deps.clock.now();
      await tx.updateTable("changes").set({ review_due_since: since }).where("number", "=", number).execute();
    }
    await this.#move(tx, now, "start", { actor, kind: "started", text });
  }

  async #move(
    tx: StorageTransaction,
    { record, facts }: ChangeNow,
    action: ChangeAction,
    event: { readonly actor: Actor; readonly kind: ChangeEventKind; readonly text: string },
    reason: string | null = null,
  ): Promise<string> {
    const state = nextState(action, facts);
    await tx
      .updateTable("changes")
      .set({ state, reason, updated_at: this.#deps.clock.now() })
      .where("number", "=", record.row.number)
      .execute();
    await this.#note(tx, record.row, event, { state });
    return state;
  }

  /** An event of the change, and its entry of the audit log. */
  async #note(
    tx: StorageTransaction,
    { number, digest, environment }: ChangeRecord["row"],
    { actor, kind, text }: { readonly actor: Actor | typeof central; readonly kind: ChangeEventKind; readonly text: string },
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

  async #insert(
    tx: StorageTransaction,
    actor: Actor,
    draft: Omit<Draft, "files" | "removes">,
    promotedFrom: number | null,
  ): Promise<number> {
    const number = await nextNumber(tx);
    const at = this.#deps.clock.now();
    await tx
      .insertInto("changes")
      .values({
        ...{ number, title: draft.title, description: draft.description, environment: draft.environment },
        ...{ state: "draft", author: actor.name, strategy: JSON.stringify(draft.strategy), expedited: draft.expedited ? 1 : 0 },
        ...{ promoted_from: promotedFrom, digest: "", version: 1, created_at: at, updated_at: at },
        ...{ reason: null, review_due_since: null },
      })
      .execute();
    return number;
  }

  /** Writes down what a draft carries, and that it was written. */
  async #seal(
    tx: StorageTransaction,
    number: number,
    draft: Omit<Draft, "files" | "removes">,
    documents: readonly Carried[],
    event: { readonly actor: Actor; readonly kind: ChangeEventKind; readonly text: string },
  ): Promise<void> {
    const { title, description, environment, strategy, expedited } = draft;
    await carry(tx, { number, title, description, environment, strategy, expedited }, documents);
    await tx.updateTable("changes").set({ updated_at: this.#deps.clock.now() }).where("number", "=", number).execute();
    const { row } = await this.#load(tx, number);
    const carried = documents.map(({ kind, name, revision }) => `${kind}/${name}@${revision}`);
    await this.#note(tx, row, event, { documents: carried });
  }

  /** Writes documents as revisions. */
  async #carried(
    tx: StorageTransaction,
    actor: Actor,
    change: { readonly number: number; readonly environment: string; readonly before: readonly Carried[] },
    written: readonly (WrittenDocument | Carried)[],
    removes: Draft["removes"],
  ): Promise<Carried[]> {
    const { documents } = this.#deps;
    const inForce = await documents.inForce(tx, change.environment);
    const find = (refs: readonly DocumentRef[], { kind, name }: Pick<DocumentRef, "kind" | "name">): number =>
      refs.find((each) => each.kind === kind && each.name === name)?.revision ?? 0;
    const carried: Carried[] = [];
    for (const document of written) {
      const { kind, name } = document;
      const base = find(inForce, document);
      const revision =
        "revision" in document
          ? document.revision
          : await documents.write(tx, document, {
              actor: actor.name,
              change: change.number,
              before: find(change.before, document) || base,
            });
      carried.push({ kind, name, revision, base });
    }
    for (const { kind, name } of removes) {
      if (carried.some((each) => each.kind === kind && each.name === name))
        throw new ChangeRefused("invalid", `${kind}/${name} is among the files and among what is removed`);
      carried.push({ kind, name, revision: 0, base: find(inForce, { kind, name }) });
    }
    return carried;
  }

  /** What was handed in, document by document. @throws ChangeRefused for what cannot be kept */
  async #written(files: readonly SourceFile[]): Promise<readonly WrittenDocument[]> {
    if (files.length === 0) return [];
    const { documents, problems } = await this.#deps.renderer.run({ kind: "split", files });
    if (problems.length > 0) throw new ChangeRefused("invalid", `nothing was saved: ${counted(problems)}`, problems);
    return documents;
  }

  async #load(db: Storage | StorageTransaction, number: number): Promise<ChangeRecord> {
    const record = await loadChange(db, number);
    if (!record) throw new ChangeRefused("not-found", `there is no change ${number}`);
    return record;
  }

  async #now(db: Storage | StorageTransaction, record: ChangeRecord): Promise<ChangeNow> {
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
        approvers: approversOf(record),
        reviewRequired: await this.#reviewed(db, row.environment),
        reviewOwed: row.review_due_since !== null,
      },
    };
  }

  async #reviewed(db: Storage | StorageTransaction, environment: string): Promise<boolean> {
    const { required } = await reviewRule(db, this.#deps.documents, environment);
    return required;
  }

  async #requireStanding(db: Storage | StorageTransaction, now: ChangeNow): Promise<void> {
    const [standing] = await standingAgainst(db, now.record, now.inForce);
    if (standing !== undefined) throw new ChangeRefused("conflict", standing);
  }
}

/** Who does what nobody asked for. */
const central = "central";

function allow(verdict: Verdict): void {
  if (!verdict.allowed) throw new ChangeRefused("not-allowed", verdict.reason);
}

function requireDigest({ record }: ChangeNow, digest: string | undefined): void {
  if (digest !== undefined && digest !== record.row.digest)
    throw new ChangeRefused("conflict", "it is not what you read any more; read it again");
}

function rebased(documents: readonly Carried[], inForce: readonly InForce[]): Carried[] {
  return documents.map((document) => ({
    ...document,
    base: inForce.find(({ kind, name }) => kind === document.kind && name === document.name)?.revision ?? 0,
  }));
}

function rolling({ row, strategy, events }: ChangeRecord): RollingChange {
  return {
    ...{ number: row.number, title: row.title, environment: row.environment, strategy, expedited: row.expedited === 1 },
    startedBy: events.findLast(({ kind }) => kind === "started")?.actor ?? row.author,
  };
}

function counted({ length }: readonly DocumentProblem[]): string {
  return `the documents have ${length} ${length === 1 ? "problem" : "problems"}`;
}
