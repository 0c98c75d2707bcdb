import { randomUUID } from "node:crypto";
import {
  type Clock,
  type DryRunAnswer,
  type DryRunCandidate,
  dryRunResult,
  dryRunType,
  toInstant,
} from "../../protocol/index.ts";
import type { Audit } from "../audit/audit.ts";
import type { Actor } from "../auth/actor.ts";
import type { Planned } from "../document/planned.ts";
import type { DryRunView } from "../http/api/sites.ts";
import type { Identity } from "../storage/folder.ts";
import { sign } from "../storage/signing-key.ts";
import type { Storage, StorageTransaction } from "../storage/storage.ts";

export interface DryRunsDeps {
  readonly storage: Storage;
  readonly clock: Clock;
  readonly audit: Audit;
  readonly signing: Identity["signing"];
}

export type DryRunSummary = Omit<DryRunView, "result">;

/** For so long a site may not answer. */
const patienceMs = 10 * 60_000;
/** A poll that stands is answered with the same ask no sooner. */
const againMs = 10_000;
const lookEveryMs = 1000;
const sweepEveryMs = 3_600_000;
const keptMs = 30 * 86_400_000;
const keptPerSite = 50;
/** Of one site, at once. */
const maxOpen = 5;

/**
 * Questions to gateways: what a candidate makes of the inputs that they recorded. One stands until it is answered, or until its site was out of
 * reach for ten minutes, by the running time of each replica. Results may hold data of messages: they go after 30 days, or with 50 newer ones of
 * their site.
 */
export class DryRuns {
  readonly #deps: DryRunsDeps;
  /** Not answered, by site, as of the last look; and since when this process knows of each. */
  #open = new Map<string, string[]>();
  readonly #knownSince = new Map<string, number>();
  readonly #fetched = new Set<string>();
  /** When a session was last answered with an ask. */
  readonly #told = new Map<string, number>();
  #lookedAt = Number.NEGATIVE_INFINITY;
  #sweptAt = Number.NEGATIVE_INFINITY;
  #looking: Promise<void> | undefined;

  constructor(deps: DryRunsDeps) {
    this.#deps = deps;
  }

  /** Asks the site's gateway, which hears of it with its next poll; durable on return. Undefined: as many as a site may have are open. */
  async ask(site: string, change: number, planned: Planned, messages: number, actor: Actor): Promise<DryRunSummary | undefined> {
    const { storage, clock, audit } = this.#deps;
    await this.#look(true);
    if ((this.#open.get(site) ?? []).length >= maxOpen) return undefined;
    const id = randomUUID();
    const jws = await this.#signed({ kind: "DryRun", id, site, messages, bundle: planned.bundle });
    const row = {
      ...{ id, site, change, jws, messages },
      state: "asked",
      asked_at: clock.now(),
      asked_by: actor.name,
      ended_at: null,
      result: null,
    };
    await storage.transaction().execute(async (tx) => {
      await tx.insertInto("dry_runs").values(row).execute();
      await this.#forgetOld(tx, site);
      await audit.append(tx, {
        actor: actor.name,
        action: "dry-run.asked",
        subject: `site/${site}`,
        detail: { id, change, messages },
      });
    });
    await this.#look(true);
    return toSummary(row);
  }

  async find(site: string, id: string): Promise<DryRunView | undefined> {
    await this.#look();
    const row = await this.#deps.storage
      .selectFrom("dry_runs")
      .selectAll()
      .where("site", "=", site)
      .where("id", "=", id)
      .executeTakeFirst();
    return (
      row && { ...toSummary(row), result: row.state === "done" ? dryRunResult.parse(JSON.parse(row.result ?? "null")) : null }
    );
  }

  /** The newest first. */
  async list(site: string): Promise<DryRunSummary[]> {
    await this.#look();
    const rows = await this.#deps.storage
      .selectFrom("dry_runs")
      .selectAll()
      .where("site", "=", site)
      .orderBy("asked_at", "desc")
      .orderBy("id")
      .limit(keptPerSite)
      .execute();
    return rows.map(toSummary);
  }

  /**
   * What a poll of the site is answered with besides. `news`: it is worth an answer by itself, as this session was not told of it lately; a
   * gateway that does not understand it would else be answered for ever.
   */
  async asks(site: string, session: string): Promise<{ readonly ids: readonly string[]; readonly news: boolean }> {
    await this.#look();
    const ids = this.#open.get(site) ?? [];
    const now = this.#deps.clock.monotonic();
    const news = ids.some((id) => (this.#told.get(`${session} ${id}`) ?? Number.NEGATIVE_INFINITY) <= now - againMs);
    return { ids, news };
  }

  /** The answer with these is on its way to the session. */
  told(session: string, ids: readonly string[]): void {
    for (const id of ids) this.#told.set(`${session} ${id}`, this.#deps.clock.monotonic());
  }

  /** The candidate as its gateway fetches it, as long as it is not answered. */
  async candidate(site: string, id: string): Promise<{ readonly jws: string } | undefined> {
    const row = await this.#deps.storage
      .selectFrom("dry_runs")
      .select("jws")
      .where("site", "=", site)
      .where("id", "=", id)
      .where("state", "=", "asked")
      .executeTakeFirst();
    if (row) this.#fetched.add(id);
    return row;
  }

  /** What the gateway found; durable on return. The first answer counts. */
  async answer(site: string, id: string, answer: DryRunAnswer): Promise<"taken" | "unknown" | "answered"> {
    const { storage, clock } = this.#deps;
    const taken = await storage
      .updateTable("dry_runs")
      .set({
        state: answer.state,
        ended_at: clock.now(),
        result: JSON.stringify(answer.state === "done" ? answer.result : answer.reason),
      })
      .where("site", "=", site)
      .where("id", "=", id)
      .where("state", "=", "asked")
      .executeTakeFirst();
    await this.#look(true);
    if (Number(taken.numUpdatedRows) > 0) return "taken";
    return (await this.find(site, id)) ? "answered" : "unknown";
  }

  /** One look for all polls of this process, at most once a second; gives up what was not answered. */
  async #look(now = false): Promise<void> {
    const { clock } = this.#deps;
    if (!now && clock.monotonic() - this.#lookedAt < lookEveryMs) return;
    if (now) await this.#looking;
    this.#looking ??= this.#lookNow().finally(() => {
      this.#looking = undefined;
    });
    await this.#looking;
  }

  async #lookNow(): Promise<void> {
    const { storage, clock } = this.#deps;
    const at = clock.monotonic();
    const rows = await storage
      .selectFrom("dry_runs")
      .select(["id", "site"])
      .where("state", "=", "asked")
      .orderBy("asked_at")
      .execute();
    const given = new Set<string>();
    for (const { id } of rows) {
      const since = this.#knownSince.get(id) ?? at;
      this.#knownSince.set(id, since);
      if (at - since >= patienceMs) {
        given.add(id);
        await this.#giveUp(id);
      }
    }
    const open = rows.filter(({ id }) => !given.has(id));
    this.#open = new Map([...Map.groupBy(open, ({ site }) => site)].map(([site, own]) => [site, own.map(({ id }) => id)]));
    this.#lookedAt = at;
    const ids = new Set(open.map(({ id }) => id));
    for (const id of this.#knownSince.keys()) if (!ids.has(id)) this.#knownSince.delete(id);
    for (const id of this.#fetched) if (!ids.has(id)) this.#fetched.delete(id);
    for (const key of this.#told.keys()) if (!ids.has(key.slice(key.indexOf(" ") + 1))) this.#told.delete(key);
    if (at - this.#sweptAt < sweepEveryMs) return;
    this.#sweptAt = at;
    await storage
      .deleteFrom("dry_runs")
      .where("ended_at", "<", clock.now() - keptMs)
      .execute();
  }

  async #giveUp(id: string): Promise<void> {
    const reason = this.#fetched.has(id)
      ? "the site's gateway began, and did not answer within 10 min"
      : "the site was out of reach for 10 min";
    await this.#deps.storage
      .updateTable("dry_runs")
      .set({ state: "failed", ended_at: this.#deps.clock.now(), result: JSON.stringify(reason) })
      .where("id", "=", id)
      .where("state", "=", "asked")
      .execute();
  }

  async #forgetOld(tx: StorageTransaction, site: string): Promise<void> {
    const rows = await tx
      .selectFrom("dry_runs")
      .select("id")
      .where("site", "=", site)
      .where("state", "!=", "asked")
      .orderBy("asked_at", "desc")
      .offset(keptPerSite - 1)
      .limit(1000)
      .execute();
    if (rows.length === 0) return;
    await tx
      .deleteFrom("dry_runs")
      .where(
        "id",
        "in",
        rows.map(({ id }) => id),
      )
      .execute();
  }

  #signed(candidate: DryRunCandidate): Promise<string> {
    return sign(this.#deps.signing, candidate, dryRunType);
  }
}

interface Row {
  readonly id: string;
  readonly site: string;
  readonly change: number | null;
  readonly state: string;
  readonly asked_at: number;
  readonly asked_by: string;
  readonly ended_at: number | null;
  readonly result: string | null;
}

function toSummary({ id, site, change, state, asked_at, asked_by, ended_at, result }: Row): DryRunSummary {
  return {
    ...{ id, site, change },
    state: state as DryRunSummary["state"],
    askedAt: toInstant(asked_at),
    askedBy: asked_by,
    endedAt: ended_at === null ? null : toInstant(ended_at),
    reason: state === "failed" ? (JSON.parse(result ?? "null") as string | null) : null,
  };
}
