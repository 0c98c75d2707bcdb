import { randomUUID } from "node:crypto";
import { type Clock, describeError } from "../../protocol/index.ts";
import type { Alarms } from "../alert/alarms.ts";
import type { ChangePlan, RollingChange, RollingChanges } from "../change/rolling.ts";
import type { Revisions } from "../document/revisions.ts";
import type { Hints } from "../router/hints.ts";
import { isPostgres, locking } from "../storage/dialect.ts";
import { isOutage, type Storage, type StorageTransaction } from "../storage/storage.ts";
import type { Logger } from "../telemetry/logger.ts";
import { lookAfter } from "./aftermath.ts";
import type { SiteFacts } from "./facts.ts";
import { type AffectedSite, limitsOf, oneWave, planWaves } from "./planner.ts";
import { readSites, toRollout, writeOutcome } from "./records.ts";
import { type Opened, type Rollouts, standsStill } from "./rollouts.ts";
import { type RolloutPlan, type SiteRecord, terminalStates, toSiteRecord } from "./state.ts";
import { step } from "./step.ts";

/** Who drives waits for this; no site has such a name. */
export const rolloutHint = "the rollouts";

export interface EngineDeps {
  readonly storage: Storage;
  readonly clock: Clock;
  readonly log: Logger;
  readonly alarms: Alarms;
  readonly hints: Hints;
  readonly rollouts: Rollouts;
  readonly revisions: Pick<Revisions, "store">;
  readonly changes: Pick<RollingChanges, "plan">;
}

const lookEveryMs = 1000;
/** Pending sites of rollouts that ended. */
const lookAfterEveryMs = 5000;
/** Looks under way at once: as many environments may take long. */
const maxOpenLooks = 16;
/** A replica that drives says so anew with each look; another takes over when it has not for so long. */
const leaseMs = 10_000;
/** Time that nobody looked at counts for no more than this: a gate holds while somebody sees that it does. */
const longestLookMs = 5000;

/**
 * Drives the rollouts of all environments, one of each at a time. Nothing of a rollout is in memory but when it was looked at last: each look is one
 * transaction under the lock of the rollout's row, with what it moves, its events and its audit entries. So central may die anywhere, and
 * whichever process looks next goes on. The lease in the row keeps two replicas from both counting the time that passes.
 */
export class RolloutEngine {
  readonly #deps: EngineDeps;
  readonly #replica = randomUUID();
  /** When this process looked at each of its rollouts, by running time. */
  readonly #lookedAt = new Map<number, number>();
  readonly #failing = new Map<number, string>();
  /** Those that it has driven: of others a process before it may have said that they stand still. */
  readonly #driven = new Set<number>();
  readonly #working = new Set<number>();
  #lookedAfterAt = Number.NEGATIVE_INFINITY;

  constructor(deps: EngineDeps) {
    this.#deps = deps;
  }

  /** Looks until the signal aborts. What takes long at one rollout, such as rendering all of its sites, keeps none of another environment waiting. */
  async run(signal: AbortSignal): Promise<void> {
    const { hints, log } = this.#deps;
    const open = new Set<Promise<void>>();
    while (!signal.aborted) {
      if (open.size < maxOpenLooks) {
        const looking = this.look(signal)
          .catch((err: unknown) => {
            if (signal.aborted) return;
            log[isOutage(err) ? "warn" : "error"]({ event: "rollout.look.failed", err }, "rollouts stand still, tried again");
          })
          .finally(() => open.delete(looking));
        open.add(looking);
      }
      await hints.wait(rolloutHint, lookEveryMs, signal);
    }
    await Promise.all(open);
  }

  /** One look at each environment's rollout, but those that one is at already. */
  async look(signal: AbortSignal): Promise<void> {
    const current = await this.#current();
    const free = current.filter(({ number }) => !this.#working.has(number));
    await Promise.all(free.map((rollout) => (signal.aborted ? undefined : this.#drive(rollout))));
    const now = this.#deps.clock.monotonic();
    if (signal.aborted || now - this.#lookedAfterAt < lookAfterEveryMs) return;
    this.#lookedAfterAt = now;
    await this.#lookAfter();
  }

  async #drive({ number, state }: { readonly number: number; readonly state: string }): Promise<void> {
    this.#working.add(number);
    try {
      if (state === "queued") await this.#begin(number);
      else await this.#step(number);
      await this.#tellMoving(number);
    } catch (error) {
      if (isOutage(error)) throw error;
      await this.#tellFailure(number, error);
    } finally {
      this.#working.delete(number);
    }
  }

  /** It can be looked at, whoever could not before; what another replica drives, that one tells. */
  async #tellMoving(number: number): Promise<void> {
    const { alarms, storage } = this.#deps;
    const failed = this.#failing.has(number);
    if (!failed && (this.#driven.has(number) || !this.#lookedAt.has(number))) return;
    await alarms.end(storage, standsStill(number));
    // not before it is: else nobody would try again
    this.#failing.delete(number);
    this.#driven.add(number);
  }

  /** One rollout cannot be looked at: those of other environments go on, and a person is told. */
  async #tellFailure(number: number, error: unknown): Promise<void> {
    const { alarms, storage, log } = this.#deps;
    const reason = describeError(error);
    if (this.#failing.get(number) === reason) return;
    const alarm = { ...standsStill(number), count: 1, reason: `rollout ${number} stands still: ${reason}`.slice(0, 1000) };
    const raised = await storage.transaction().execute(async (tx) => {
      const asked = tx.selectFrom("rollouts").select("state").where("number", "=", number);
      const row = await locking(tx, asked).executeTakeFirst();
      // whoever ended it meanwhile ended its alarm as well, and nobody would end another one
      if (!row || terminalStates.some((state) => state === row.state)) return undefined;
      log.error({ event: "rollout.step.failed", rollout: number, err: error }, "a rollout stands still, tried again");
      return alarms.raise(tx, [alarm]);
    });
    if (raised === undefined) return;
    alarms.log(raised);
    // told once: not before it is
    this.#failing.set(number, reason);
  }

  /** Of each environment the one that runs, else the one that is next: urgent ones first, then in the order they were started. */
  async #current(): Promise<{ number: number; state: string }[]> {
    const rows = await this.#deps.storage
      .selectFrom("rollouts")
      .innerJoin("changes", "changes.number", "rollouts.change")
      .select(["rollouts.number", "rollouts.environment", "rollouts.state", "changes.expedited"])
      .where("rollouts.state", "not in", [...terminalStates])
      .orderBy("rollouts.number")
      .execute();
    return [...Map.groupBy(rows, ({ environment }) => environment).values()].flatMap((own) => {
      const next = own.find(({ state }) => state !== "queued") ?? own.find(({ expedited }) => expedited === 1) ?? own[0];
      return next ? [next] : [];
    });
  }

  /** Plans a rollout that is next: what its change makes of its environment's sites as they are now. */
  async #begin(number: number): Promise<void> {
    const { storage, rollouts, changes, log } = this.#deps;
    const queued = await storage.selectFrom("rollouts").select("change").where("number", "=", number).executeTakeFirstOrThrow();
    const planned = await changes.plan(queued.change);
    if (planned.kind === "refused") {
      await storage.transaction().execute(async (tx) => {
        const row = await this.#lockNext(tx, number);
        if (row) await rollouts.giveUp(tx, row, planned.reason);
      });
      log.warn({ event: "rollout.begin.refused", rollout: number, reason: planned.reason }, "a rollout cannot begin");
      return;
    }
    const targets = await this.#targets(planned, queued.change);
    await storage.transaction().execute(async (tx) => {
      const row = await this.#lockNext(tx, number);
      if (!row) return;
      const facts = await rollouts.facts(tx, targets);
      const affected = targets.map(({ site }): AffectedSite => ({ site, isReachable: facts.get(site)?.link === "reachable" }));
      const waves = wavesOf(planned.change, affected);
      const plan: RolloutPlan = { limits: limitsOf(planned.change.strategy), waves: waves.map(({ title }) => ({ title })) };
      const before = { row, rollout: toRollout(row), sites: [], facts };
      const sites = waves.flatMap(({ sites: names }, wave) =>
        targets.filter(({ site }) => names.includes(site)).map((each) => toSiteRecord(withFrom(each, facts), wave)),
      );
      const text = `${sites.length} ${sites.length === 1 ? "site" : "sites"} in ${waves.length} ${waves.length === 1 ? "wave" : "waves"}${leftAlone(planned)}`;
      await rollouts.keep(tx, before, {
        rollout: { ...before.rollout, state: "running", plan },
        sites,
        desires: [],
        events: [{ site: "", kind: "began", text }],
        asksForNewcomers: false,
      });
    });
    await this.#step(number);
  }

  /** The rows of an environment are locked together: two replicas begin no two rollouts there. */
  async #lockNext(tx: StorageTransaction, number: number) {
    const { environment } = await tx
      .selectFrom("rollouts")
      .select("environment")
      .where("number", "=", number)
      .executeTakeFirstOrThrow();
    const open = tx
      .selectFrom("rollouts")
      .selectAll()
      .where("environment", "=", environment)
      .where("state", "not in", [...terminalStates])
      .orderBy("number");
    const rows = await locking(tx, open).execute();
    const isFree = rows.every(({ state }) => state === "queued");
    return isFree ? rows.find((row) => row.number === number) : undefined;
  }

  /** What its sites are to run. A revision is given its number; what they run stays. */
  async #targets(plan: Exclude<ChangePlan, { kind: "refused" }>, change: number): Promise<readonly Targeted[]> {
    if (plan.kind === "release") return plan.sites;
    const targets: Targeted[] = [];
    for (const each of plan.sites)
      targets.push({ site: each.site, to: await this.#deps.revisions.store(each.site, each, change) });
    return targets;
  }

  async #step(number: number): Promise<void> {
    const asks = await this.#look(number);
    if (asks === undefined) return;
    // the last wave has passed: who came meanwhile?
    const { storage, changes, rollouts } = this.#deps;
    const { environment } = asks.row;
    const before = await sitesOf(storage, environment);
    const planned = await changes.plan(asks.row.change);
    if (planned.kind === "refused") {
      this.#deps.log.warn(
        { event: "rollout.newcomers.refused", rollout: number, reason: planned.reason },
        "nobody joins a rollout",
      );
    }
    const known = new Set(asks.sites.map(({ site }) => site));
    const targets = planned.kind === "refused" ? [] : await this.#targets(withoutSites(planned, known), asks.row.change);
    const facts = await rollouts.facts(storage, targets);
    const newcomers = targets.map((each) => withFrom(each, facts));
    await this.#look(number, { sites: newcomers, of: before });
  }

  /** @returns what was read, where it asks for newcomers: nothing is kept then */
  async #look(
    number: number,
    newcomers?: { readonly sites: readonly Pick<SiteRecord, "site" | "from" | "to">[]; readonly of: string },
  ): Promise<Opened | undefined> {
    const { storage, rollouts, clock } = this.#deps;
    const now = clock.monotonic();
    const found = await storage.transaction().execute(async (tx) => {
      const opened = await rollouts.open(tx, number);
      if (!opened || !(await this.#isMine(tx, opened))) return "elsewhere";
      const lookedAt = this.#lookedAt.get(number);
      const elapsedMs = lookedAt === undefined ? 0 : Math.min(now - lookedAt, longestLookMs);
      // somebody came between: asked again at the next look
      const isCurrent = newcomers && newcomers.of === (await sitesOf(tx, opened.row.environment));
      const outcome = step({ ...opened, elapsedMs, newcomers: isCurrent ? newcomers.sites : undefined });
      if (outcome.asksForNewcomers) return opened;
      const after = await rollouts.keep(tx, opened, outcome);
      await this.#take(tx, number);
      return after;
    });
    if (found === "elsewhere") {
      this.#lookedAt.delete(number);
      // whoever drives it now may say that it stands still, and be gone before it ends that
      this.#driven.delete(number);
      return undefined;
    }
    if (typeof found !== "function") return found;
    this.#lookedAt.set(number, now);
    found();
    return undefined;
  }

  /** Whether this process may drive it now. */
  async #isMine(tx: StorageTransaction, { row, rollout }: Opened): Promise<boolean> {
    if (terminalStates.includes(rollout.state) || rollout.state === "queued") return false;
    // on SQLite there is no other process: what has another name is this one before its start
    if (row.driver === this.#replica || row.driver === "" || !isPostgres(tx)) return true;
    const left = row.driver_until - (await this.#deps.rollouts.now(tx));
    // a lease that lasts longer than any is none
    return left <= 0 || left > leaseMs * 2;
  }

  async #take(tx: StorageTransaction, number: number): Promise<void> {
    const until = (await this.#deps.rollouts.now(tx)) + leaseMs;
    await tx.updateTable("rollouts").set({ driver: this.#replica, driver_until: until }).where("number", "=", number).execute();
  }

  /** Sites that were left behind by rollouts that ended: what became of them. */
  async #lookAfter(): Promise<void> {
    const { storage, rollouts } = this.#deps;
    const left = await storage
      .selectFrom("rollout_sites as each")
      .innerJoin("rollouts", "rollouts.number", "each.rollout")
      .innerJoin("sites", "sites.name", "each.site")
      .select(["each.rollout", "each.site"])
      .where("rollouts.state", "in", [...terminalStates])
      .where("each.state", "in", ["pending", "putting-back", "failed"])
      .where((eb) =>
        eb.or([
          eb("sites.desired_revision", "=", eb.ref("each.to_revision")),
          eb("sites.desired_revision", "=", eb.ref("each.from_revision")),
          eb("sites.desired_version", "=", eb.ref("each.to_version")),
          eb("sites.desired_version", "=", eb.ref("each.from_version")),
        ]),
      )
      .execute();
    if (left.length === 0) return;
    for (const [number, own] of Map.groupBy(left, ({ rollout }) => rollout)) {
      const facts = await rollouts.facts(storage, own);
      const sites = (await readSites(storage, number)).filter(({ site }) => facts.has(site));
      const { state } = await storage
        .selectFrom("rollouts")
        .select("state")
        .where("number", "=", number)
        .executeTakeFirstOrThrow();
      if (sites.some((site) => look(state, site, facts) !== undefined)) await this.#settle(number);
    }
  }

  async #settle(number: number): Promise<void> {
    const { storage, rollouts, clock, alarms } = this.#deps;
    const raised = await storage.transaction().execute(async (tx) => {
      const opened = await rollouts.open(tx, number);
      if (!opened) return [];
      const left = opened.sites.filter(({ state }) => state === "pending" || state === "putting-back" || state === "failed");
      const facts = await rollouts.facts(tx, left);
      const found = left.flatMap((site) => look(opened.rollout.state, site, facts) ?? []);
      const changed = new Map(found.map(({ site }) => [site.site, site]));
      const sites = opened.sites.map((site) => changed.get(site.site) ?? site);
      const events = found.map(({ event }) => event);
      await writeOutcome(tx, number, opened, { rollout: opened.rollout, sites, events }, clock.now());
      for (const { site, state } of changed.values())
        if (state !== "failed") await alarms.end(tx, { site, kind: "revision-failed", target: `rollout ${number}` });
      const failed = found.filter(({ site }) => site.state === "failed");
      const fresh = await alarms.raise(
        tx,
        failed.map(({ site, event }) => ({
          site: site.site,
          kind: "revision-failed" as const,
          target: `rollout ${number}`,
          count: 1,
          reason: `rollout ${number}: ${event.text}`,
        })),
      );
      await rollouts.note(tx, opened.row, events);
      return fresh;
    });
    alarms.log(raised);
  }
}

function look(state: string, site: SiteRecord, facts: ReadonlyMap<string, Parameters<typeof lookAfter>[2]>) {
  const own = facts.get(site.site);
  return own && lookAfter(state as "done" | "aborted" | "rolled-back", site, own);
}

/** A site, what it is to run, and what it ran before where the plan knows that. */
type Targeted = Pick<SiteRecord, "site" | "to"> & { readonly from?: SiteRecord["from"] };

function withFrom(each: Targeted, facts: ReadonlyMap<string, SiteFacts>): Pick<SiteRecord, "site" | "from" | "to"> {
  return { from: { revision: facts.get(each.site)?.desired ?? 0, digest: null }, ...each };
}

function withoutSites<Plan extends Exclude<ChangePlan, { kind: "refused" }>>(plan: Plan, known: ReadonlySet<string>): Plan {
  return { ...plan, sites: plan.sites.filter(({ site }) => !known.has(site)) };
}

/** Whom a rollout of a version passes over: for a person, a few by name. */
function leftAlone(plan: ChangePlan): string {
  if (plan.kind !== "release" || plan.left.length === 0) return "";
  const shown = plan.left.slice(0, 20);
  const more = plan.left.length > shown.length ? `; and ${plan.left.length - shown.length} more` : "";
  return `; left alone: ${shown.join("; ")}${more}`;
}

function wavesOf({ expedited, strategy }: RollingChange, affected: readonly AffectedSite[]) {
  return expedited ? oneWave(affected) : planWaves(strategy, affected);
}

/** The sites of an environment, as one text: whether others came. */
async function sitesOf(db: Storage | StorageTransaction, environment: string): Promise<string> {
  const rows = await db.selectFrom("sites").select("name").where("environment", "=", environment).orderBy("name").execute();
  return rows.map(({ name }) => name).join("\n");
}
