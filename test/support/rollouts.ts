import { createHash } from "node:crypto";
import { Alarms } from "../../central/alert/alarms.ts";
import { Audit } from "../../central/audit/audit.ts";
import type { RollingChange, RollingChanges } from "../../central/change/rolling.ts";
import type { Planned } from "../../central/document/planned.ts";
import { rolloutStrategy } from "../../central/http/api/changes.ts";
import { RolloutEngine } from "../../central/rollout/engine.ts";
import { Rollouts } from "../../central/rollout/rollouts.ts";
import { Hints } from "../../central/router/hints.ts";
import { Presence } from "../../central/site/presence.ts";
import { SiteRegistry } from "../../central/site/registry.ts";
import { SharedCommits } from "../../central/storage/shared-commits.ts";
import { openStorage, type Storage, type StorageTarget } from "../../central/storage/storage.ts";
import { openLogger } from "../../central/telemetry/logger.ts";
import type { StatusReport } from "../../protocol/index.ts";
import { type SettableClock, settableClock } from "./clock.ts";
import { generateGatewayKey } from "./gateway-client.ts";
import { openRevisions } from "./ledger.ts";

export const leaseSeconds = 15;

/** The engine with what it stands on, without HTTP and without its loop: a test has it look. */
export async function openRollouts(target: StorageTarget, options: { clock?: SettableClock; storage?: Storage } = {}) {
  const clock = options.clock ?? settableClock();
  const storage = options.storage ?? (await openStorage(target));
  const log = openLogger({ level: process.env.PLANTGATE_TEST_LOG ?? "silent" });
  const alarms = new Alarms({ clock, log });
  const presence = new Presence({ storage, commits: new SharedCommits(storage), clock, alarms });
  const revisions = await openRevisions({ storage, clock });
  const changes = new ScriptedChanges(storage);
  const woken: string[] = [];
  const hints = new Hints();
  const rollouts = new Rollouts({
    ...{ storage, clock, audit: new Audit(clock), alarms, presence, revisions, changes, leaseSeconds },
    siteChanged: (site) => woken.push(site),
    wake: () => {},
  });
  const engine = new RolloutEngine({ storage, clock, log, alarms, hints, rollouts, revisions, changes });
  const registry = new SiteRegistry({ storage, clock });
  return {
    ...{ storage, clock, alarms, presence, revisions, changes, rollouts, engine, registry, woken },
    look: () => engine.look(new AbortController().signal),
    [Symbol.asyncDispose]: () => storage.destroy(),
  };
}
export type TestRollouts = Awaited<ReturnType<typeof openRollouts>>;

/** Changes whose whole content is their title: each site of the environment is to run it. All of it is in the database. */
class ScriptedChanges implements RollingChanges {
  readonly #storage: Storage;
  /** Why it cannot be planned. */
  refused: string | undefined;
  /** By environment: how long planning takes. */
  readonly slow = new Map<string, Promise<void>>();

  constructor(storage: Storage) {
    this.#storage = storage;
  }

  async plan(number: number): ReturnType<RollingChanges["plan"]> {
    if (this.refused !== undefined) return { kind: "refused", reason: this.refused, problems: [] };
    const row = await this.#storage.selectFrom("changes").selectAll().where("number", "=", number).executeTakeFirstOrThrow();
    await this.slow.get(row.environment);
    const sites = await this.#storage
      .selectFrom("sites")
      .leftJoin("revisions", (join) =>
        join.onRef("revisions.site", "=", "sites.name").onRef("revisions.revision", "=", "sites.desired_revision"),
      )
      .select(["sites.name", "revisions.content"])
      .where("environment", "=", row.environment)
      .orderBy("sites.name")
      .execute();
    const planned = sites.map(({ name }) => plannedOf(name, row.environment, row.title));
    const changed = planned.filter(({ site, content }) => sites.find(({ name }) => name === site)?.content !== content);
    return { kind: "planned", change: rollingOf(row), sites: changed };
  }

  async ended(...[tx, change, outcome, reason]: Parameters<RollingChanges["ended"]>): Promise<void> {
    await tx.updateTable("changes").set({ state: outcome, reason }).where("number", "=", change).execute();
  }
}

function rollingOf(row: {
  number: number;
  title: string;
  environment: string;
  strategy: string;
  expedited: number;
}): RollingChange {
  const { number, title, environment } = row;
  const strategy = rolloutStrategy.parse(JSON.parse(row.strategy));
  return { number, title, environment, strategy, expedited: row.expedited === 1, startedBy: "ada" };
}

function plannedOf(site: string, environment: string, version: string): Planned {
  return {
    site,
    bundle: {
      apiVersion: "plantgate/v1",
      kind: "Bundle",
      site,
      grants: { send: [], receive: [] },
      codes: { version: { is: version } },
      connectors: {},
      flows: {},
    },
    content: createHash("sha256").update(`${site} ${version}`).digest("hex"),
    labels: { environment },
    origins: [],
    documents: [],
    files: [],
  };
}

/** Adds sites that run and desire revision 1 and were just heard. */
export async function addSites(test: TestRollouts, names: readonly string[], environment = "prod"): Promise<void> {
  for (const name of names) {
    await test.registry.add(name, (await generateGatewayKey()).publicKey);
    await test.storage.updateTable("sites").set({ environment }).where("name", "=", name).execute();
    const { revision } = await test.revisions.store(name, plannedOf(name, environment, "first"), 0);
    await test.storage.transaction().execute((tx) => test.revisions.desire(tx, name, revision));
  }
}

let lastChange = 0;

/** A change that has been approved, on its way. @returns its number and its rollout's */
export async function start(
  test: TestRollouts,
  version: string,
  options: { environment?: string; strategy?: object; expedited?: boolean; change?: number } = {},
): Promise<{ change: number; rollout: number }> {
  const { environment = "prod", strategy = {}, expedited = false } = options;
  const number = options.change ?? ++lastChange;
  const row = {
    ...{ number, title: version, description: "", environment, state: "rolling-out", author: "ada" },
    ...{ strategy: JSON.stringify(strategy), expedited: expedited ? 1 : 0, promoted_from: null, digest: "", version: 1 },
    ...{ created_at: 0, updated_at: 0, reason: null, review_due_since: null },
  };
  const rollout = await test.storage.transaction().execute(async (tx) => {
    await tx.insertInto("changes").values(row).execute();
    return test.rollouts.enqueue(tx, rollingOf(row));
  });
  return { change: number, rollout };
}

export type Manner = "good" | "refuses" | "dead-letters";

/** Gateways as central sees them: each takes what it is to run, in its manner, and reports. */
export class Fleet {
  readonly #test: Pick<TestRollouts, "storage" | "presence" | "clock">;
  readonly silent = new Set<string>();
  /** By site: what it does with a revision that says this. */
  readonly manners = new Map<string, Manner>();
  readonly #dead = new Map<string, number>();
  /** Which revisions each site ran, in order. */
  readonly ran = new Map<string, number[]>();

  constructor(test: Pick<TestRollouts, "storage" | "presence" | "clock">) {
    this.#test = test;
  }

  async turn(): Promise<void> {
    const { storage, presence, clock } = this.#test;
    const rows = await storage.selectFrom("sites").selectAll().orderBy("name").execute();
    for (const row of rows) {
      if (this.silent.has(row.name) || row.revoked_at !== null) continue;
      const wanted = await storage
        .selectFrom("revisions")
        .select(["digest", "bundle"])
        .where("site", "=", row.name)
        .where("revision", "=", row.desired_revision)
        .executeTakeFirst();
      const version =
        wanted === undefined ? "" : (JSON.parse(wanted.bundle) as { codes: { version: { is: string } } }).codes.version.is;
      const manner = version.startsWith("bad") ? (this.manners.get(row.name) ?? "refuses") : "good";
      const refuses = manner === "refuses";
      const reported = refuses || wanted === undefined ? row.reported_revision : row.desired_revision;
      if (reported !== row.reported_revision) this.ran.set(row.name, [...(this.ran.get(row.name) ?? []), reported]);
      const dead = this.#dead.get(row.name) ?? 0;
      if (manner === "dead-letters" && reported === row.reported_revision) this.#dead.set(row.name, dead + 1);
      presence.heard(row.name);
      const report: StatusReport = {
        ...{ session: "s", pid: 1, gatewayVersion: "test", lanes: [], connectors: [], repeats: 0 },
        sentAt: new Date(clock.now()).toISOString(),
        startedAt: "2026-01-31T08:00:00.000Z",
        disk: { state: "ok", freeBytes: 1e9 },
        deliveries: { waiting: 0, unknown: 0, parked: 0, stale: 0 },
        deadLetters: this.#dead.get(row.name) ?? 0,
        configuration: refuses
          ? { reported, state: "refused", reason: "no", refused: { revision: row.desired_revision } }
          : { reported, state: reported === 0 ? "none" : "active", ...(wanted ? { digest: wanted.digest } : {}) },
      };
      await presence.report(row, report);
    }
  }
}

/** Gateways act, a second passes, central looks; until `done` holds. */
export async function until(test: TestRollouts, fleet: Fleet, done: () => Promise<boolean>, most = 300): Promise<void> {
  for (let second = 0; second < most; second++) {
    await fleet.turn();
    test.clock.pass(1000);
    await test.look();
    if (await done()) return;
  }
  throw new Error(`not so after ${most} looks: ${JSON.stringify(await snapshot(test))}`);
}

/** Gateways and central go on until every rollout has ended. */
export async function driveAll(test: TestRollouts, looking: (is: boolean) => void = () => {}): Promise<void> {
  const fleet = new Fleet(test);
  for (let second = 0; second < 200; second++) {
    await fleet.turn();
    test.clock.pass(1000);
    looking(true);
    await test.look();
    looking(false);
    const { rollouts } = await snapshot(test);
    if (rollouts.every(({ state }) => ["done", "aborted", "rolled-back"].includes(state))) return fleet.turn();
  }
  throw new Error(`not over: ${JSON.stringify(await snapshot(test))}`);
}

export async function stateOf({ storage }: Pick<TestRollouts, "storage">, rollout: number): Promise<string> {
  return (await storage.selectFrom("rollouts").select("state").where("number", "=", rollout).executeTakeFirstOrThrow()).state;
}

export async function snapshot({ storage }: Pick<TestRollouts, "storage">) {
  const [rollouts, sites] = [
    await storage.selectFrom("rollouts").select(["number", "state", "wave", "held_ms", "reason"]).orderBy("number").execute(),
    await storage.selectFrom("rollout_sites").select(["rollout", "site", "wave", "state", "reason"]).orderBy("site").execute(),
  ];
  return { rollouts, sites };
}
