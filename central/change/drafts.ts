import type { Clock, SourceFile } from "../../protocol/index.ts";
import type { Actor } from "../auth/actor.ts";
import type { DocumentRef } from "../document/planned.ts";
import type { Renderer } from "../document/renderer.ts";
import type { WrittenDocument } from "../document/split.ts";
import type { DocumentStore, InForce } from "../document/store.ts";
import { type RolloutStrategy, rolloutStrategy } from "../http/api/changes.ts";
import { type CarriedRelease, carryRelease, parseCarried } from "../release/carried.ts";
import { requireReviewable } from "../release/proven.ts";
import type { Storage, StorageTransaction } from "../storage/storage.ts";
import { judge, judgeAuthor } from "./change-state.ts";
import { describeWay, nextEnvironment } from "./environments.ts";
import { type Carried, carry, lockChanges, nextNumber } from "./record.ts";
import { ChangeRefused } from "./refused.ts";
import { allow, type ChangeSteps, counted, type Said } from "./steps.ts";

/** What a draft is made of. */
export interface Draft {
  readonly title: string;
  readonly description: string;
  readonly environment: string;
  readonly files: readonly SourceFile[];
  readonly removes: readonly Pick<DocumentRef, "kind" | "name">[];
  /** A version of gateways, instead of documents. */
  readonly release?: string | undefined;
  /** Why that goes where it has not run in the environment before. */
  readonly untested?: string | undefined;
  readonly strategy: RolloutStrategy;
  readonly expedited: boolean;
}
export type DraftEdit = { readonly version: number } & {
  readonly [Key in keyof Omit<Draft, "environment" | "release" | "untested">]?: Draft[Key] | undefined;
};

/** Where a change goes next, and how. */
export interface Promotion {
  readonly environment: string;
  readonly strategy?: RolloutStrategy | undefined;
}

/** Writes drafts: from files, anew, and from a change that is done in the environment before. */
export class Drafts {
  readonly #deps: {
    readonly storage: Storage;
    readonly clock: Clock;
    readonly documents: DocumentStore;
    readonly renderer: Renderer;
    readonly steps: ChangeSteps;
  };

  constructor(deps: { storage: Storage; clock: Clock; documents: DocumentStore; renderer: Renderer; steps: ChangeSteps }) {
    this.#deps = deps;
  }

  /** @returns its number. @throws ChangeRefused */
  async create(actor: Actor, draft: Draft): Promise<number> {
    const { environment } = draft;
    const { storage, steps } = this.#deps;
    // before anything is done with what somebody sent who may not
    allow(judgeAuthor(environment, await steps.reviewed(storage, environment), actor));
    if (draft.release !== undefined && (draft.files.length > 0 || draft.removes.length > 0))
      throw new ChangeRefused("invalid", "release: a change carries a version of gateways, or documents, not both");
    if (draft.release === undefined && draft.untested !== undefined)
      throw new ChangeRefused(
        "invalid",
        "untested: only a version of gateways goes by a stated reason; expedite a change of documents",
      );
    const written = await this.#written(draft.files);
    return storage.transaction().execute(async (tx) => {
      await lockChanges(tx);
      const reviewed = await steps.reviewed(tx, environment);
      allow(judgeAuthor(environment, reviewed, actor));
      const release = draft.release === undefined ? null : await carryRelease(tx, draft.release, draft.untested);
      if (release && reviewed) await requireReviewable(tx, environment, release);
      const number = await this.#insert(tx, actor, draft, { promotedFrom: null, release });
      const documents = await this.#carried(tx, actor, { number, environment, before: [] }, written, draft.removes);
      await this.#seal(tx, number, draft, documents, { actor, kind: "created", text: "" });
      return number;
    });
  }

  /** Changes a draft, as it was at `version`, and takes what is in force now as its base. @throws ChangeRefused */
  async edit(actor: Actor, number: number, edit: DraftEdit): Promise<void> {
    const { storage, steps } = this.#deps;
    const { facts } = await steps.now(storage, await steps.load(storage, number));
    allow(judge("edit", facts, actor));
    const { row: edited } = await steps.load(storage, number);
    if (edited.release !== "" && (edit.files || edit.removes))
      throw new ChangeRefused("invalid", "it carries a version of gateways; documents go into a change of their own");
    const written = edit.files && (await this.#written(edit.files));
    await steps.step(number, "edit", actor, async (tx, { record, inForce }) => {
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

  /** A new draft with the same revisions for the next environment. @returns its number. @throws ChangeRefused */
  async promote(actor: Actor, number: number, to: Promotion): Promise<number> {
    const { environment } = to;
    return this.#deps.steps.step(number, "promote", actor, async (tx, { record }) => {
      const { row } = record;
      if (nextEnvironment.get(row.environment) !== environment) throw new ChangeRefused("conflict", describeWay(row.environment));
      const reviewed = await this.#deps.steps.reviewed(tx, environment);
      allow(judgeAuthor(environment, reviewed, actor));
      const carried = record.documents.filter(({ kind }) => kind === "Template" || kind === "Policy");
      if (carried.length === 0 && !record.release)
        throw new ChangeRefused("conflict", "it carries sites and secrets only, and those belong to one environment");
      const draft = {
        title: row.title,
        description: row.description,
        environment,
        strategy: to.strategy ?? rolloutStrategy.parse(undefined),
        expedited: false,
      };
      // a reason to go untested was one for that environment alone
      const release = record.release && { version: record.release.version, packages: record.release.packages };
      if (release && reviewed) await requireReviewable(tx, environment, release);
      const made = await this.#insert(tx, actor, draft, { promotedFrom: number, release });
      const inForce = await this.#deps.documents.inForce(tx, environment);
      await this.#seal(tx, made, draft, rebased(carried, inForce), {
        actor,
        kind: "created",
        text: `carried on from change ${number}, which is done in ${row.environment}`,
      });
      return made;
    });
  }

  async #insert(
    tx: StorageTransaction,
    actor: Actor,
    draft: Omit<Draft, "files" | "removes" | "release" | "untested">,
    { promotedFrom, release }: { readonly promotedFrom: number | null; readonly release: CarriedRelease | null },
  ): Promise<number> {
    const number = await nextNumber(tx);
    const at = this.#deps.clock.now();
    await tx
      .insertInto("changes")
      .values({
        ...{ number, title: draft.title, description: draft.description, environment: draft.environment },
        ...{ state: "draft", author: actor.name, strategy: JSON.stringify(draft.strategy), expedited: draft.expedited ? 1 : 0 },
        ...{
          promoted_from: promotedFrom,
          release: release ? JSON.stringify(release) : "",
          digest: "",
          version: 1,
          created_at: at,
          updated_at: at,
        },
        ...{ reason: null, review_due_since: null },
      })
      .execute();
    return number;
  }

  /** Writes down what a draft carries, and that it was written. */
  async #seal(
    tx: StorageTransaction,
    number: number,
    draft: Omit<Draft, "files" | "removes" | "release" | "untested">,
    documents: readonly Carried[],
    event: Said,
  ): Promise<void> {
    const { title, description, environment, strategy, expedited } = draft;
    await carry(tx, { number, title, description, environment, strategy, expedited }, documents);
    await tx.updateTable("changes").set({ updated_at: this.#deps.clock.now() }).where("number", "=", number).execute();
    const { row } = await this.#deps.steps.load(tx, number);
    const carried = documents.map(({ kind, name, revision }) => `${kind}/${name}@${revision}`);
    const release = parseCarried(row.release);
    const untested = release?.untested === undefined ? {} : { untested: release.untested };
    await this.#deps.steps.note(tx, row, event, release ? { release: release.version, ...untested } : { documents: carried });
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
}

function rebased(documents: readonly Carried[], inForce: readonly InForce[]): Carried[] {
  return documents.map((document) => ({
    ...document,
    base: inForce.find(({ kind, name }) => kind === document.kind && name === document.name)?.revision ?? 0,
  }));
}
