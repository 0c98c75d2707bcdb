import { sql } from "kysely";
import { type Clock, PlantgateError } from "../../protocol/index.ts";
import type { Alarm, Alarms } from "../alert/alarms.ts";
import type { Audit } from "../audit/audit.ts";
import { lockChanges } from "../change/record.ts";
import type { ChangeOutcome, RollingChange, RollingChanges, RolloutQueue } from "../change/rolling.ts";
import type { Revisions } from "../document/revisions.ts";
import { desireVersion } from "../release/desire.ts";
import { configurationChanged } from "../router/routes.ts";
import type { Presence } from "../site/presence.ts";
import { isPostgres, locking } from "../storage/dialect.ts";
import type { Storage, StorageTransaction } from "../storage/storage.ts";
import { type SiteFacts, toFacts } from "./facts.ts";
import { type RolloutRow, readSites, toRollout, writeEvents, writeOutcome } from "./records.ts";
import { type RolloutEvent, type RolloutRecord, type SiteRecord, terminalStates } from "./state.ts";
import { decide, type StepOutcome } from "./step.ts";
import { isVersion } from "./target.ts";

export interface RolloutDeps {
  readonly storage: Storage;
  readonly clock: Clock;
  readonly audit: Audit;
  readonly alarms: Alarms;
  readonly presence: Presence;
  readonly revisions: Pick<Revisions, "store" | "desire">;
  readonly changes: Pick<RollingChanges, "plan" | "ended">;
  readonly leaseSeconds: number;
  /** Told with the site after what it should run has moved. */
  readonly siteChanged: (site: string) => void;
  /** Told after something is to be looked at. */
  readonly wake: () => void;
}

/** All that one look needs, read under the rollout's lock. */
export interface Opened {
  readonly row: RolloutRow;
  readonly rollout: RolloutRecord;
  readonly sites: readonly SiteRecord[];
  readonly facts: ReadonlyMap<string, SiteFacts>;
}

/** Who does what nobody asked for. */
const central = "central";

export type Decision = "pause" | "resume" | "abort";
export type DecisionOutcome = { readonly kind: "done" | "unknown" } | { readonly kind: "refused"; readonly state: string };

/** Rollouts as rows: made, looked at under a lock, decided upon, kept. Whoever moves one holds its row's lock to the end of the transaction. */
export class Rollouts implements RolloutQueue {
  readonly #deps: RolloutDeps;

  constructor(deps: RolloutDeps) {
    this.#deps = deps;
  }

  async enqueue(tx: StorageTransaction, change: RollingChange): Promise<number> {
    const { clock, audit } = this.#deps;
    const now = clock.now();
    const { value: number } = await tx
      .updateTable("counters")
      .set((eb) => ({ value: eb("value", "+", 1) }))
      .where("name", "=", "rollout")
      .returning("value")
      .executeTakeFirstOrThrow();
    await tx
      .insertInto("rollouts")
      .values({
        ...{ number, change: change.number, environment: change.environment, state: "queued", plan: "", wave: 0, held_ms: 0 },
        ...{ reason: null, ending: null, created_at: now, updated_at: now, ended_at: null, driver: "", driver_until: 0 },
      })
      .execute();
    const detail = { change: change.number, environment: change.environment, expedited: change.expedited };
    await audit.append(tx, { actor: change.startedBy, action: "rollout.queued", subject: `rollout/${number}`, detail });
    return number;
  }

  wake(): void {
    this.#deps.wake();
  }

  /** Locks a rollout and reads what a look needs; undefined: there is none. */
  async open(tx: StorageTransaction, number: number): Promise<Opened | undefined> {
    const row = await locking(tx, tx.selectFrom("rollouts").selectAll().where("number", "=", number)).executeTakeFirst();
    if (!row) return undefined;
    const rollout = toRollout(row);
    const sites = await readSites(tx, number);
    return {
      row,
      rollout,
      sites,
      facts: await this.facts(
        tx,
        sites.filter((site) => isLookedAt(site, rollout)),
      ),
    };
  }

  async facts(db: Storage | StorageTransaction, sites: readonly { readonly site: string }[]): Promise<Map<string, SiteFacts>> {
    const { clock, presence, leaseSeconds } = this.#deps;
    const names = sites.map(({ site }) => site);
    const facts = new Map<string, SiteFacts>();
    // a statement holds so many values and no more
    for (let from = 0; from < names.length; from += 500) {
      const rows = await db
        .selectFrom("sites")
        .select([
          "name",
          "desired_revision",
          "desired_version",
          "revoked_at",
          "fenced_at",
          "status",
          "status_at",
          "last_heard_at",
        ])
        .where("name", "in", names.slice(from, from + 500))
        .execute();
      const now = clock.now();
      for (const row of rows)
        facts.set(row.name, toFacts(row, presence.lastHeardAt(row.name, row.last_heard_at), now, leaseSeconds * 1000));
    }
    return facts;
  }

  /**
   * Keeps what a look or a decision found: the rollout and its sites, what they are to run, events, audit entries and alarms, all of them or none.
   * @returns what to do once the transaction is committed
   */
  async keep(tx: StorageTransaction, opened: Opened, outcome: StepOutcome, actor = central): Promise<() => void> {
    const { clock, changes, alarms } = this.#deps;
    const { row } = opened;
    const now = clock.now();
    const { state, reason } = outcome.rollout;
    const outcomeOfChange = state !== opened.rollout.state && isOutcome(state) ? state : undefined;
    // one order for all that lock: changes, configuration, sites, alarms, and the audit log last, which others wait for
    if (outcomeOfChange) await lockChanges(tx);
    await writeOutcome(tx, row.number, opened, outcome, now);
    await this.#desire(tx, row.number, outcome.desires);
    const raised = [...(await alarms.raise(tx, alarmsOf(row, outcome)))];
    const waits: Alarm = { site: "", kind: "rollout-waits", target: `rollout ${row.number}`, count: 1, reason: reason ?? "" };
    if (state === "paused" && row.state !== "paused" && actor === central) raised.push(...(await alarms.raise(tx, [waits])));
    if (state !== "paused" && row.state === "paused") await alarms.end(tx, waits);
    // nobody looks at it any more, who would see that it moves
    if (outcomeOfChange) await alarms.end(tx, standsStill(row.number));
    if (outcomeOfChange) await changes.ended(tx, row.change, outcomeOfChange, reason);
    await this.note(tx, row, outcome.events, actor);
    return () => {
      alarms.log(raised);
      for (const site of new Set(outcome.desires.map((desire) => desire.site))) this.#deps.siteChanged(site);
    };
  }

  /** What happened, as entries of the audit log: at the end of the transaction. */
  async note(
    tx: StorageTransaction,
    row: Pick<RolloutRow, "number" | "change">,
    events: readonly RolloutEvent[],
    actor = central,
  ): Promise<void> {
    const told = events.filter(({ kind }) => kind === "told").map(({ site }) => site);
    for (const event of events) {
      const action = audited[event.kind];
      if (action === undefined) continue;
      const sites = event.kind === "wave-began" ? told : undefined;
      const detail = {
        change: row.change,
        text: event.text,
        ...(event.site === "" ? {} : { site: event.site }),
        ...(sites ? { sites } : {}),
      };
      await this.#deps.audit.append(tx, { actor, action, subject: `rollout/${row.number}`, detail });
    }
  }

  async #desire(tx: StorageTransaction, rollout: number, desires: StepOutcome["desires"]): Promise<void> {
    const { revisions } = this.#deps;
    // one order for all that lock sites' rows
    const last = new Map(desires.map((desire) => [desire.site, desire]));
    for (const [site, { to, isBack = false }] of [...last].sort(([a], [b]) => (a < b ? -1 : 1))) {
      if (isVersion(to)) {
        await desireVersion(tx, site, to, { rollout, isBack });
        continue;
      }
      if (to.revision > 0) {
        await revisions.desire(tx, site, to.revision);
        continue;
      }
      await configurationChanged(tx);
      await tx.updateTable("sites").set({ desired_revision: 0 }).where("name", "=", site).execute();
    }
  }

  async decide(
    number: number,
    decision: Decision,
    { actor, reason }: { actor: string; reason: string },
  ): Promise<DecisionOutcome> {
    const { storage, wake } = this.#deps;
    let after = (): void => {};
    const outcome = await storage.transaction().execute(async (tx): Promise<DecisionOutcome> => {
      const opened = await this.open(tx, number);
      if (!opened) return { kind: "unknown" };
      const text = reason === "" ? `by ${actor}` : `${reason} (${actor})`;
      const decided = decide(decision, { ...opened, text });
      if (!decided) return { kind: "refused", state: opened.rollout.state };
      after = await this.keep(tx, opened, decided, actor);
      return { kind: "done" };
    });
    after();
    wake();
    return outcome;
  }

  /** Ends one that cannot begin. */
  async giveUp(tx: StorageTransaction, row: RolloutRow, reason: string): Promise<void> {
    const { changes, audit, alarms, clock } = this.#deps;
    const now = clock.now();
    await lockChanges(tx);
    await tx
      .updateTable("rollouts")
      .set({ state: "aborted", reason, updated_at: now, ended_at: now })
      .where("number", "=", row.number)
      .execute();
    await writeEvents(tx, row.number, [{ site: "", kind: "ended", text: `aborted: ${reason}` }], now);
    const target = `rollout ${row.number}`;
    await alarms.raise(tx, [
      { site: "", kind: "rollout-refused", target, count: 1, reason: `${target} (change ${row.change}): ${reason}` },
    ]);
    await alarms.end(tx, standsStill(row.number));
    await changes.ended(tx, row.change, "aborted", reason);
    await audit.append(tx, {
      actor: central,
      action: "rollout.ended",
      subject: `rollout/${row.number}`,
      detail: { change: row.change, text: reason },
    });
  }

  /** The clock that all replicas share; on SQLite there is one process, and its own is enough. */
  async now(db: Storage | StorageTransaction): Promise<number> {
    if (!isPostgres(db)) return this.#deps.clock.now();
    const { rows } = await sql<{ now: number }>`SELECT (extract(epoch from clock_timestamp()) * 1000)::bigint AS now`.execute(db);
    const now = rows[0]?.now;
    if (now === undefined) throw new PlantgateError("INVARIANT", "the database told no time");
    return Number(now);
  }
}

/** The alarm of a rollout that cannot be looked at. */
export function standsStill(number: number) {
  return { site: "", kind: "rollout-waits", target: `rollout ${number} stands still` } as const;
}

function isOutcome(state: RolloutRecord["state"]): state is ChangeOutcome {
  return state === "done" || state === "aborted" || state === "rolled-back";
}

/** Sites that a look may say something about. */
function isLookedAt({ state, wave }: SiteRecord, rollout: RolloutRecord): boolean {
  if (terminalStates.includes(rollout.state) || state === "put-back") return false;
  return state !== "waiting" || wave <= rollout.wave + 1;
}

/** What is worth an entry of the audit log: a rollout's steps, not each second of them. */
const audited: Partial<Record<RolloutEvent["kind"], string>> = {
  began: "rollout.began",
  "wave-began": "rollout.waveBegan",
  failed: "rollout.siteFailed",
  added: "rollout.sitesAdded",
  paused: "rollout.paused",
  resumed: "rollout.resumed",
  aborted: "rollout.aborted",
  "putting-back": "rollout.putBack",
  "not-back": "rollout.siteNotBack",
  ended: "rollout.ended",
};

function alarmsOf({ number, change }: RolloutRow, { rollout, events }: StepOutcome): Alarm[] {
  const target = `rollout ${number}`;
  const ofSites = events
    .filter(({ site, kind }) => site !== "" && (kind === "failed" || kind === "not-back"))
    .map(({ site, text }): Alarm => ({ site, kind: "revision-failed", target, count: 1, reason: `${target}: ${text}` }));
  if (!events.some(({ kind }) => kind === "putting-back") || rollout.ending !== "rolled-back") return ofSites;
  const reason = `${target} (change ${change}) is put back: ${rollout.reason ?? ""}`;
  return [...ofSites, { site: "", kind: "rolled-back", target, count: 1, reason }];
}
