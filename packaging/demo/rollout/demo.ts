import { resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { describeError } from "../../../protocol/index.ts";
import type { SiteView } from "../central-api.ts";
import { type DocumentText, environment, policy, siteDocument, template } from "./configuration.ts";
import { type Caller, signIn } from "./people.ts";
import { openRolloutStage, type RolloutStage } from "./stage.ts";

export interface RolloutDemoOptions {
  readonly agents: number;
  /** How many of them are out of reach while changes are rolled out. */
  readonly offline: number;
  readonly dataDir: string;
  readonly processes: number;
}

/** The last line that is printed. */
export interface RolloutVerdict {
  readonly agents: number;
  readonly converged: number;
  readonly badStoppedAtCanary: boolean;
  /** From the moment the canary said that it ran the bad revision to the moment it said that it ran the old one. */
  readonly rolledBackSeconds: number | null;
  readonly restartsOnIdenticalPush: number;
}

const quick = { window: "5s", settle: "60s" };
const strategy = {
  waves: [{ count: 1 }, { percent: 10 }, { percent: 100 }],
  gate: quick,
  unreachable: { after: "5s" },
};
const longestMs = 300_000;

/**
 * A fleet of whole gateways against one central: a good change goes from a canary over a tenth to all, a bad one is stopped at its canary and put back
 * by no person, some agents are away meanwhile and come to the newest when they return, and the same once more touches nobody. Everything is
 * judged by what passes between agents and central.
 * @returns 0 when all of it was so
 */
export async function runRolloutDemo(
  options: RolloutDemoOptions,
  out: (text: string) => unknown = (text) => process.stdout.write(text),
): Promise<number> {
  const asked = new AbortController();
  const ask = (): void => asked.abort();
  process.on("SIGINT", ask);
  process.on("SIGTERM", ask);
  const since = performance.now();
  const tell = (sentence: string): void => {
    const seconds = Math.round((performance.now() - since) / 1000);
    out(`${String(Math.floor(seconds / 60)).padStart(2, "0")}:${String(seconds % 60).padStart(2, "0")}  ${sentence}\n`);
  };
  let stage: RolloutStage | undefined;
  try {
    stage = await openRolloutStage({ ...options, folder: resolve(options.dataDir), tell }, asked.signal);
    const story = new Story(stage, options, tell, asked.signal);
    const { verdict, complaints } = await Promise.race([story.run(), stage.failed]);
    for (const complaint of complaints) tell(`NOT SO: ${complaint}`);
    out(`${JSON.stringify(verdict)}\n`);
    return complaints.length === 0 ? 0 : 1;
  } catch (error) {
    if (!asked.signal.aborted) out(`The demo ends: ${describeError(error)}\n`);
    return 1;
  } finally {
    asked.abort();
    await stage?.stop();
    process.off("SIGINT", ask);
    process.off("SIGTERM", ask);
  }
}

interface Rolled {
  readonly number: number;
  readonly state: string;
  readonly summary: string;
  readonly reason: string | null;
  readonly plan: readonly {
    readonly title: string;
    readonly sites: readonly { site: string; state: string; fromRevision: number; toRevision: number }[];
  }[];
}

class Story {
  readonly #stage: RolloutStage;
  readonly #options: RolloutDemoOptions;
  readonly #tell: (sentence: string) => void;
  readonly #signal: AbortSignal;
  readonly #complaints: string[] = [];

  constructor(stage: RolloutStage, options: RolloutDemoOptions, tell: (sentence: string) => void, signal: AbortSignal) {
    this.#stage = stage;
    this.#options = options;
    this.#tell = tell;
    this.#signal = signal;
  }

  async run(): Promise<{ readonly verdict: RolloutVerdict; readonly complaints: readonly string[] }> {
    const { agents, url, admin } = this.#stage;
    const sites = agents.map(({ site }) => site);
    const away = sites.slice(sites.length - this.#options.offline);
    const here = sites.slice(0, sites.length - away.length);
    const [author, approver] = [await signIn(url, admin, "ada", ["engineer"]), await signIn(url, admin, "grace", ["approver"])];
    this.#tell(`starting ${sites.length} agents in ${this.#options.processes} processes`);
    await this.#stage.start(sites);

    const siteDocuments = agents.map(({ site, floorPort }) => siteDocument(site, floorPort));
    const first = await this.#roll("the first configuration", author, approver, [template("first"), policy(), ...siteDocuments], {
      waves: [],
      gate: { ...quick, window: "1s", settle: "120s" },
    });
    this.#expect(first.state === "done", `the first configuration ended as ${first.state}: ${first.reason}`);
    await this.#untilRunning(sites, first);

    this.#tell(`${away.length} agents go away: ${away.join(", ")}`);
    await this.#stage.stopAgents(away);
    await this.#until("central to miss them", async () => {
      const known = await this.#stage.sites();
      return away.every((site) => known.get(site)?.condition === "unknown");
    });

    const good = await this.#roll("a good change", author, approver, [template("second")], strategy);
    this.#expect(good.state === "done", `the good change ended as ${good.state}: ${good.reason}`);
    const sizes = good.plan.map((wave) => wave.sites.length);
    const tenth = Math.ceil(sites.length / 10);
    const planned = [1, tenth - 1, sites.length - tenth].filter((size) => size > 0);
    this.#expect(sizes.join() === planned.join(), `waves of ${sizes.join(", ")} instead of ${planned.join(", ")}`);
    await this.#untilRunning(here, good);

    const { badStoppedAtCanary, rolledBackSeconds } = await this.#rollBad(author, approver, sites);

    this.#tell(`${away.length} agents return`);
    await this.#stage.start(away);
    await this.#untilRunning(sites, good);
    const converged = await this.#converged(sites, good);
    this.#expect(converged === sites.length, `${converged} of ${sites.length} agents run the newest approved revision`);

    const restartsOnIdenticalPush = await this.#pushAgain(author, approver, sites);
    const verdict = { agents: sites.length, converged, badStoppedAtCanary, rolledBackSeconds, restartsOnIdenticalPush };
    return { verdict, complaints: this.#complaints };
  }

  /** Written by one, approved by another; rolled out by nobody. */
  async #roll(title: string, author: Caller, approver: Caller, files: readonly DocumentText[], how: object): Promise<Rolled> {
    const body = { title, environment, files, strategy: how };
    const { number } = await author.call<{ number: number }>("POST", "/v1/changes", body);
    await author.call("POST", `/v1/changes/${number}/submit`, {});
    const refused = await author.call("POST", `/v1/changes/${number}/approve`, {}).then(
      () => false,
      () => true,
    );
    this.#expect(refused, `the author of change ${number} could approve it`);
    const { digest } = await approver.call<{ digest: string }>("GET", `/v1/changes/${number}`);
    await approver.call("POST", `/v1/changes/${number}/approve`, { digest });
    this.#tell(`change ${number}, ${title}: written by ada, approved by grace`);
    let shown = "";
    let last: Rolled | undefined;
    await this.#until(`${title} to end`, async () => {
      const { rollout } = await author.call<{ rollout: number | null }>("GET", `/v1/changes/${number}`);
      if (rollout === null) return false;
      last = await author.call<Rolled>("GET", `/v1/rollouts/${rollout}`);
      const line = `rollout ${rollout} ${last.state}: ${last.summary}${last.reason ? ` (${last.reason})` : ""}`;
      if (line !== shown) this.#tell(line);
      shown = line;
      return ["done", "aborted", "rolled-back", "paused"].includes(last.state);
    });
    if (!last) throw new Error(`change ${number} has no rollout`);
    return last;
  }

  async #rollBad(
    author: Caller,
    approver: Caller,
    sites: readonly string[],
  ): Promise<Pick<RolloutVerdict, "badStoppedAtCanary" | "rolledBackSeconds">> {
    const { witness } = this.#stage;
    const bad = await this.#roll("a bad change", author, approver, [template("bad")], strategy);
    const canary = bad.plan[0]?.sites[0];
    if (!canary) throw new Error("the bad change had no canary");
    const { site, fromRevision: old, toRevision } = canary;
    await this.#until(`${site} to run revision ${old} again`, async () => witness.said(site).at(-1)?.revision === old);
    const said = witness.said(site);
    const ranAt = said.findIndex(({ revision }) => revision === toRevision);
    const backAt = said.findIndex(({ revision }, index) => index > ranAt && revision === old);
    const [ran, back] = [said[ranAt], said[backAt]];
    const others = bad.plan.flatMap((wave) => wave.sites).filter((each) => each.site !== site);
    const fetchedIt = others.filter((each) => witness.fetched(each.site).includes(each.toRevision));
    this.#expect(bad.state === "rolled-back", `the bad change ended as ${bad.state}`);
    this.#expect(others.length === sites.length - 1, `the bad change was for ${others.length + 1} sites`);
    this.#expect(witness.fetched(site).includes(toRevision), `${site} never fetched the bad revision`);
    this.#expect(ran !== undefined && back !== undefined, `${site} did not say that it ran ${toRevision} and then ${old}`);
    this.#expect(fetchedIt.length === 0, `others fetched the bad revision: ${fetchedIt.map((each) => each.site).join(", ")}`);
    this.#tell(
      `${site} said: ${said
        .slice(-6)
        .map(({ revision, state }) => `${revision} ${state}`)
        .join(", ")}`,
    );
    const rolledBackSeconds = ran && back ? Math.round((back.atMs - ran.atMs) / 100) / 10 : null;
    const badStoppedAtCanary = bad.state === "rolled-back" && ran !== undefined && back !== undefined && fetchedIt.length === 0;
    return { badStoppedAtCanary, rolledBackSeconds };
  }

  /** The very same documents once more: nobody fetches, connects or begins anything anew. */
  async #pushAgain(author: Caller, approver: Caller, sites: readonly string[]): Promise<number> {
    const before = await this.#traces(sites);
    const again = await this.#roll("the same once more", author, approver, [template("second"), policy()], strategy);
    this.#expect(again.state === "done", `the same once more ended as ${again.state}: ${again.reason}`);
    // each of them has reported since
    const endedAt = Date.now();
    await this.#until("everybody to report", async () => {
      const known = await this.#stage.sites();
      return sites.every((site) => Date.parse(known.get(site)?.lastHeardAt ?? "") > endedAt + 4000);
    });
    const after = await this.#traces(sites);
    const restarted = sites.filter((site) => before.get(site) !== after.get(site));
    for (const site of restarted) this.#expect(false, `${site} was ${before.get(site)} and is ${after.get(site)}`);
    return restarted.length;
  }

  /** What would be another if anything had been begun anew: process, connects of connectors, sessions, connects of terminals, bundles fetched. */
  async #traces(sites: readonly string[]): Promise<Map<string, string>> {
    const { witness } = this.#stage;
    const [known, counted] = [await this.#stage.sites(), await this.#stage.count()];
    return new Map(
      sites.map((site) => {
        const view = known.get(site);
        const connects = view?.connectors.map((connector) => [connector.name, connector.connects, connector.since]);
        const trace = {
          ...{ startedAt: view?.startedAt, revision: view?.reportedRevision, connects },
          sessions: witness.sessions(site),
          terminal: counted.get(site)?.terminalConnects,
          fetched: witness.fetched(site),
        };
        return [site, JSON.stringify(trace)];
      }),
    );
  }

  async #converged(sites: readonly string[], rolled: Rolled): Promise<number> {
    const known = await this.#stage.sites();
    return sites.filter((site) => runs(known.get(site), wantedOf(rolled, site))).length;
  }

  async #untilRunning(sites: readonly string[], rolled: Rolled): Promise<void> {
    await this.#until("the agents to run it", async () => (await this.#converged(sites, rolled)) === sites.length);
    this.#tell(`${sites.length} agents run what rollout ${rolled.number} gave them`);
  }

  #expect(is: boolean, complaint: string): void {
    if (!is) this.#complaints.push(complaint);
  }

  async #until(what: string, is: () => Promise<boolean>): Promise<void> {
    const end = performance.now() + longestMs;
    while (!(await is())) {
      if (performance.now() > end) throw new Error(`waited ${longestMs / 1000} s for ${what}`);
      await sleep(1000, undefined, { signal: this.#signal });
    }
  }
}

function wantedOf(rolled: Rolled, site: string): number | undefined {
  return rolled.plan.flatMap((wave) => wave.sites).find((each) => each.site === site)?.toRevision;
}

function runs(view: SiteView | undefined, revision: number | undefined): boolean {
  if (view === undefined || revision === undefined || view.condition === "unknown") return false;
  return view.desiredRevision === revision && view.reportedRevision === revision && view.configurationState === "active";
}
