import { toInstant } from "../../protocol/index.ts";
import type { Actor } from "../auth/actor.ts";
import type { DocumentStore } from "../document/store.ts";
import type { ChangeState, ChangeSummary, ChangeView } from "../http/api/changes.ts";
import { parseCarried } from "../release/carried.ts";
import { ranBefore } from "../release/proven.ts";
import type { Storage } from "../storage/storage.ts";
import type { Changes } from "./changes.ts";
import type { Judge } from "./judged.ts";
import type { ChangeRecord } from "./record.ts";
import type { ChangeNow } from "./steps.ts";

export interface ChangeQuery {
  readonly environment?: string | undefined;
  readonly state?: readonly ChangeState[] | undefined;
  /** Expedited ones that nobody has reviewed afterwards. */
  readonly reviewOwed?: boolean | undefined;
  readonly limit: number;
}

/** Changes as people and their tools read them. */
export class ChangeViews {
  readonly #deps: {
    readonly storage: Storage;
    readonly documents: DocumentStore;
    readonly changes: Changes;
    readonly judge: Judge;
  };

  constructor(deps: { storage: Storage; documents: DocumentStore; changes: Changes; judge: Judge }) {
    this.#deps = deps;
  }

  /** The newest first. */
  async list({ environment, state, reviewOwed, limit }: ChangeQuery): Promise<ChangeSummary[]> {
    const { storage } = this.#deps;
    let query = storage.selectFrom("changes").selectAll().orderBy("number", "desc").limit(limit);
    if (environment !== undefined) query = query.where("environment", "=", environment);
    if (state !== undefined) query = query.where("state", "in", [...state]);
    if (reviewOwed) query = query.where("review_due_since", "is not", null);
    const rows = await query.execute();
    const rollouts = await this.#rollouts(rows.map(({ number }) => number));
    return rows.map((row) => summary(row as ChangeRecord["row"], rollouts.get(row.number) ?? null));
  }

  /** @param actor who asks: what he may do is part of the answer */
  async view(number: number, actor: Actor): Promise<ChangeView | undefined> {
    const { storage, documents, changes } = this.#deps;
    const now = await changes.now(number);
    if (!now) return undefined;
    const { record } = now;
    const texts = new Map(
      (await documents.read(storage, record.documents)).map(({ kind, name, text }) => [`${kind}/${name}`, text]),
    );
    const { release } = record;
    const ran = release ? await ranBefore(storage, record.row.environment, release) : [];
    return {
      ...summary(record.row, (await this.#rollouts([number])).get(number) ?? null),
      description: record.row.description,
      digest: record.row.digest,
      version: record.row.version,
      strategy: record.strategy,
      reason: record.row.reason,
      packages: (release?.packages ?? []).map((each, index) => ({ ...each, ranBefore: ran[index] ?? 0 })),
      untested: release?.untested ?? null,
      documents: record.documents.map((document) => ({
        ...document,
        text: texts.get(`${document.kind}/${document.name}`) ?? "",
      })),
      problems: await this.#problems(now),
      events: record.events.map((event) => ({
        number: event.number,
        at: toInstant(event.at),
        actor: event.actor,
        kind: event.kind,
        text: event.text,
      })),
      may: await changes.verdicts(now, actor),
    };
  }

  /** Of what is still to begin. */
  async #problems({ record, inForce }: ChangeNow): Promise<ChangeView["problems"]> {
    if (!["draft", "review", "approved"].includes(record.row.state) || record.documents.length === 0) return [];
    const { problems } = await this.#deps.judge.judge(record, inForce);
    return [...problems];
  }

  async #rollouts(changes: readonly number[]): Promise<Map<number, number>> {
    if (changes.length === 0) return new Map();
    const rows = await this.#deps.storage
      .selectFrom("rollouts")
      .select(({ fn }) => ["change", fn.max("number").as("number")])
      .where("change", "in", [...changes])
      .groupBy("change")
      .execute();
    return new Map(rows.map(({ change, number }) => [change, number]));
  }
}

function summary(row: ChangeRecord["row"], rollout: number | null): ChangeSummary {
  return {
    number: row.number,
    title: row.title,
    environment: row.environment,
    state: row.state,
    author: row.author,
    expedited: row.expedited === 1,
    reviewDueSince: row.review_due_since === null ? null : toInstant(row.review_due_since),
    promotedFrom: row.promoted_from,
    release: parseCarried(row.release)?.version ?? null,
    createdAt: toInstant(row.created_at),
    updatedAt: toInstant(row.updated_at),
    rollout,
  };
}
