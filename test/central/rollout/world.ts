import type { SiteFacts, SiteReport } from "../../../central/rollout/facts.ts";
import type { RolloutLimits } from "../../../central/rollout/planner.ts";
import { type RolloutRecord, type SiteRecord, toSiteRecord } from "../../../central/rollout/state.ts";
import { type StepOutcome, step } from "../../../central/rollout/step.ts";

/** How a simulated gateway takes a new revision. */
export type Behaviour =
  | "good"
  | "refuses"
  | "gives-back"
  | "dead-letters"
  | "connector-down"
  | "crashes"
  | "never"
  | "falls-silent";

export interface Plant {
  readonly site: string;
  online: boolean;
  behaviour: Behaviour;
  desired: number;
  running: number;
  startedAt: number;
  deadLetters: number;
  refused: number | null;
  link: "reachable" | "silent" | "absent" | "revoked";
  reportAt: number;
  extra: Partial<SiteReport>;
  report: SiteReport | null;
  /** It calls, and reports no more. */
  mute: boolean;
}

export const limits: RolloutLimits = {
  windowMs: 10_000,
  settleMs: 20_000,
  maxDeadLetters: 0,
  maxLagMs: 60_000,
  maxRestarts: 0,
  unreachableAfterMs: 30_000,
  unreachableThen: "continue",
  maxFailures: 0,
};

/** A fleet that runs revision 1 and is to run 2, with one rollout over it; time is what a test says. */
export class World {
  readonly plants = new Map<string, Plant>();
  rollout: RolloutRecord;
  sites: readonly SiteRecord[];
  readonly events: { site: string; kind: string; text: string }[] = [];
  newcomers: Pick<SiteRecord, "site" | "from" | "to">[] = [];

  constructor(waves: readonly (readonly string[])[], own: Partial<RolloutLimits> = {}) {
    for (const site of waves.flat()) this.add(site);
    this.sites = waves.flatMap((wave, index) => wave.map((site) => toSiteRecord({ site, ...revisions }, index)));
    this.rollout = {
      state: "running",
      wave: 0,
      heldMs: 0,
      reason: null,
      ending: null,
      plan: { limits: { ...limits, ...own }, waves: waves.map((_, index) => ({ title: `wave ${index}` })) },
    };
  }

  add(site: string): Plant {
    const plant: Plant = {
      site,
      online: true,
      behaviour: "good",
      desired: 1,
      running: 1,
      startedAt: 0,
      deadLetters: 7,
      refused: null,
      link: "reachable",
      reportAt: 0,
      extra: {},
      report: null,
      mute: false,
    };
    this.plants.set(site, plant);
    say(plant);
    return plant;
  }

  plant(site: string): Plant {
    const plant = this.plants.get(site);
    if (!plant) throw new Error(`no plant ${site}`);
    return plant;
  }
  site(site: string): SiteRecord {
    const found = this.sites.find((each) => each.site === site);
    if (!found) throw new Error(`${site} is not in the rollout`);
    return found;
  }
  states(): string {
    return this.sites.map(({ state }) => state).join(" ");
  }

  facts(): Map<string, SiteFacts> {
    return new Map(
      [...this.plants.values()].map((plant) => [
        plant.site,
        {
          desired: plant.desired,
          desiredVersion: "",
          link: plant.link,
          fencedAt: null,
          report: plant.link === "absent" ? null : plant.report,
          isCurrent: !plant.mute,
        },
      ]),
    );
  }

  /** Gateways do what they are told, so much time passes, central looks once. */
  look(elapsedMs = 1000): StepOutcome {
    for (const plant of this.plants.values()) act(plant);
    const input = { rollout: this.rollout, sites: this.sites, facts: this.facts(), elapsedMs };
    const first = step(input);
    const outcome = first.asksForNewcomers ? step({ ...input, newcomers: this.newcomers }) : first;
    this.newcomers = first.asksForNewcomers ? [] : this.newcomers;
    this.take(outcome);
    return outcome;
  }

  take(outcome: StepOutcome): void {
    this.rollout = outcome.rollout;
    this.sites = outcome.sites;
    this.events.push(...outcome.events);
    for (const { site, to } of outcome.desires) if ("revision" in to) this.plant(site).desired = to.revision;
  }

  /** Looks until the rollout ends or stands still for a person. */
  run(most = 500): number {
    for (let looks = 1; looks <= most; looks++) {
      this.look();
      if (["done", "aborted", "rolled-back", "paused"].includes(this.rollout.state)) return looks;
    }
    throw new Error(`not over after ${most} looks: ${this.rollout.state} ${this.states()}`);
  }
}

export const revisions = { from: { revision: 1, digest: "d1" }, to: { revision: 2, digest: "d2" } } as const;

/** One turn of a gateway that is within reach: it takes what is desired, in its way, and reports. */
function act(plant: Plant): void {
  if (!plant.online || plant.link === "revoked" || plant.link === "absent") {
    if (plant.link === "reachable") plant.link = "silent";
    return;
  }
  plant.link = "reachable";
  const { desired, behaviour } = plant;
  if (desired !== plant.running && desired !== plant.refused && desired > 0) {
    if (desired !== 2 || ["good", "dead-letters", "connector-down", "crashes", "falls-silent"].includes(behaviour)) {
      plant.running = desired;
      plant.refused = null;
      plant.extra = {};
    }
    if (desired === 2 && (behaviour === "refuses" || behaviour === "gives-back")) plant.refused = 2;
    if (desired === 2 && behaviour === "falls-silent") plant.online = false;
  } else if (plant.running === 2) {
    if (behaviour === "dead-letters") plant.deadLetters += 1;
    if (behaviour === "crashes") plant.startedAt += 1;
    if (behaviour === "connector-down") plant.extra = { connectors: [{ name: "wms", state: "down", reason: "refused" }] };
  }
  say(plant);
}

function say(plant: Plant): void {
  if (plant.mute) return;
  plant.reportAt += 1;
  const { refused, behaviour } = plant;
  plant.report = {
    at: plant.reportAt,
    version: "0.1.0",
    upgrade: null,
    revision: plant.running,
    digest: `d${plant.running}`,
    state: refused === null ? "active" : behaviour === "gives-back" ? "rolled-back" : "refused",
    reason: refused === null ? null : "it does not work",
    refused: refused === null ? null : { revision: refused },
    deadLetters: plant.deadLetters,
    deadLettersSince: null,
    startedAt: String(plant.startedAt),
    connectors: [{ name: "wms", state: "up" }],
    uplinkLagMs: 0,
    deliveryLagMs: 0,
    ...plant.extra,
  };
}
