import type { SiteFacts } from "./facts.ts";
import type { RolloutLimits } from "./planner.ts";
import { SiteLook } from "./site-look.ts";
import { type Desire, type RolloutEvent, type RolloutRecord, type SiteRecord, summarize, toSiteRecord } from "./state.ts";
import { count, seconds } from "./wording.ts";

export interface StepInput {
  readonly rollout: RolloutRecord;
  readonly sites: readonly SiteRecord[];
  readonly facts: ReadonlyMap<string, SiteFacts>;
  /** Running time since the previous look; 0 where it is not known. */
  readonly elapsedMs: number;
  /** Sites that the change affects by now and that are not in the rollout; undefined: nobody looked. */
  readonly newcomers?: readonly Pick<SiteRecord, "site" | "from" | "to">[] | undefined;
}
export interface StepOutcome {
  readonly rollout: RolloutRecord;
  readonly sites: readonly SiteRecord[];
  /** What sites are to run from now on, where that changes. */
  readonly desires: readonly Desire[];
  readonly events: readonly RolloutEvent[];
  /** The rollout would be done: look for newcomers, and call again with them. */
  readonly asksForNewcomers: boolean;
}

/**
 * One look at a rollout: from what was known of it and its sites to what is so now. Pure: the caller keeps the outcome in one transaction, and the
 * next look goes on from there, in any process.
 */
export function step(input: StepInput): StepOutcome {
  const work = new Work(input);
  const { state } = input.rollout;
  if (state === "running" || state === "paused") work.watch();
  else if (state === "putting-back") work.putBack();
  return work.outcome();
}

/** A person's decision. `abort` puts back what was told. @returns undefined where it does not fit the rollout's state */
export function decide(
  decision: "pause" | "resume" | "abort",
  { text, ...input }: Omit<StepInput, "elapsedMs" | "newcomers"> & { readonly text: string },
): StepOutcome | undefined {
  const work = new Work({ ...input, elapsedMs: 0 });
  const { state } = input.rollout;
  if (decision === "pause" && state === "running") work.pause(text);
  else if (decision === "resume" && state === "paused") work.resume(text);
  else if (decision === "abort" && (state === "queued" || state === "running" || state === "paused")) work.abort(text);
  else return undefined;
  return work.outcome();
}

class Work {
  readonly #look: SiteLook;
  readonly #elapsedMs: number;
  readonly #newcomers: StepInput["newcomers"];
  readonly #limits: RolloutLimits;
  /** Sites that the previous look found well. */
  readonly #wellBefore: ReadonlySet<string>;
  #rollout: RolloutRecord;
  #sites: SiteRecord[];
  #asksForNewcomers = false;

  constructor({ rollout, sites, facts, elapsedMs, newcomers }: StepInput) {
    this.#rollout = rollout;
    this.#sites = [...sites];
    this.#elapsedMs = elapsedMs;
    this.#newcomers = newcomers;
    this.#limits = rollout.plan.limits;
    this.#look = new SiteLook({ facts, limits: this.#limits, elapsedMs, onGivenUp: (words) => this.#givenUp(words) });
    this.#wellBefore = new Set(
      sites.flatMap(({ site, state, memory }) => (state === "watching" && memory?.isWell ? [site] : [])),
    );
  }

  outcome(): StepOutcome {
    return {
      rollout: this.#rollout,
      sites: this.#sites,
      desires: this.#look.desires,
      events: this.#look.events,
      asksForNewcomers: this.#asksForNewcomers,
    };
  }

  /** Running or paused. */
  watch(): void {
    if (this.#rollout.state === "running") this.#tellWave();
    const before = this.#sites;
    this.#sites = before.map((site) => this.#look.look(site));
    const failed = this.#sites.filter(({ state }) => state === "failed" || state === "put-back");
    if (failed.length > this.#limits.maxFailures) {
      const first = this.#sites.find((site, index) => site.state === "failed" && before[index]?.state !== "failed") ?? failed[0];
      return this.#beginPuttingBack("rolled-back", `${first?.site}: ${first?.reason ?? "failed"}`);
    }
    if (this.#rollout.state === "running") this.#judgeGate();
  }

  #tellWave(): void {
    const { wave } = this.#rollout;
    const fresh = this.#sites.filter((site) => site.state === "waiting" && site.wave <= wave);
    if (fresh.length === 0) return;
    this.#look.say(
      "",
      "wave-began",
      `wave ${wave + 1} of ${this.#rollout.plan.waves.length} (${this.#title()}): ${count(fresh.length, "site")}`,
    );
    this.#sites = this.#sites.map((site) => (site.state === "waiting" && site.wave <= wave ? this.#look.tell(site) : site));
  }

  #judgeGate(): void {
    const { wave, heldMs, plan } = this.#rollout;
    const reached = this.#sites.filter((site) => site.wave <= wave);
    const open = reached.filter(({ state }) => state === "told" || state === "watching");
    const passed = `wave ${wave + 1} (${this.#title()})`;
    if (open.length === 0) {
      const ofWave = reached.filter((site) => site.wave === wave);
      const isProven = ofWave.some(({ state }) => state === "healthy") || plan.waves[wave]?.waived;
      const hasMore = this.#sites.some(({ state }) => state === "waiting");
      if (hasMore && ofWave.length > 0 && !isProven)
        return this.pause(`${passed} proves nothing: none of its sites held its gate; resume to go on all the same`);
      return this.#advance(`${passed} has nobody left to wait for`);
    }
    const isWell = open.every(({ state, memory }) => state === "watching" && memory?.isWell);
    if (!isWell) {
      const ailing = open.find(({ state, memory }) => state === "watching" && !memory?.isWell);
      if (heldMs > 0)
        this.#look.say(
          ailing?.site ?? "",
          "gate-broke",
          `the gate held for ${seconds(heldMs)}: ${ailing?.reason ?? "a site is told"}`,
        );
      if (heldMs > 0) this.#rollout = { ...this.#rollout, heldMs: 0 };
      return;
    }
    const held = open.every(({ site }) => this.#wellBefore.has(site)) ? heldMs + this.#elapsedMs : 0;
    this.#rollout = { ...this.#rollout, heldMs: held };
    const isSettled = open.every((site) => !this.#look.isOnTrial(site));
    if (held < this.#limits.windowMs || !isSettled) return;
    this.#sites = this.#sites.map((site) =>
      site.state === "watching" ? { ...site, state: "healthy", reason: null, inStateMs: 0 } : site,
    );
    this.#advance(`${passed}: all were healthy for ${seconds(held)}`);
  }

  #advance(text: string): void {
    const { wave, plan } = this.#rollout;
    if (wave + 1 < plan.waves.length) {
      this.#look.say("", "wave-passed", text);
      this.#rollout = { ...this.#rollout, wave: wave + 1, heldMs: 0 };
      return this.#tellWave();
    }
    if (this.#newcomers === undefined) {
      this.#asksForNewcomers = true;
      return;
    }
    this.#look.say("", "wave-passed", text);
    if (this.#newcomers.length === 0) return this.#end("done", null);
    const added = plan.waves.length;
    this.#look.say("", "added", `${count(this.#newcomers.length, "site")} came meanwhile: one more wave`);
    const waves = [...plan.waves, { title: "came meanwhile" }];
    this.#rollout = { ...this.#rollout, wave: added, heldMs: 0, plan: { ...plan, waves } };
    this.#sites.push(...this.#newcomers.map((site) => toSiteRecord(site, added)));
    this.#tellWave();
  }

  #givenUp(words: string): void {
    if (this.#limits.unreachableThen === "pause" && this.#rollout.state === "running") this.pause(words);
  }

  pause(text: string): void {
    this.#look.say("", "paused", text);
    this.#rollout = { ...this.#rollout, state: "paused", reason: text, heldMs: 0 };
  }

  resume(text: string): void {
    this.#look.say("", "resumed", text);
    const { wave, plan } = this.#rollout;
    const open = this.#sites.some((site) => site.wave <= wave && ["waiting", "told", "watching"].includes(site.state));
    const waves = plan.waves.map((each, index) => (index === wave && !open ? { ...each, waived: true as const } : each));
    this.#rollout = { ...this.#rollout, state: "running", reason: null, heldMs: 0, plan: { ...plan, waves } };
  }

  abort(text: string): void {
    this.#look.say("", "aborted", text);
    this.#beginPuttingBack("aborted", text);
  }

  #beginPuttingBack(ending: "aborted" | "rolled-back", reason: string): void {
    this.#rollout = { ...this.#rollout, state: "putting-back", ending, reason, heldMs: 0 };
    this.#sites = this.#sites.map((site) => {
      const wasTold = ["told", "watching", "healthy", "pending"].includes(site.state);
      return wasTold && !this.#look.isMoved(site) ? this.#look.sendBack(site, "putting-back", site.reason) : site;
    });
    const back = this.#sites.filter(({ state }) => state === "putting-back" || state === "failed").length;
    this.#look.say("", "putting-back", `${count(back, "site")} to go back: ${reason}`);
    if (this.#sites.every((site) => this.#look.isOver(site))) this.#end(ending, reason);
  }

  putBack(): void {
    this.#sites = this.#sites.map((site) =>
      site.state === "putting-back" || site.state === "failed" ? this.#look.lookAtReturning(site) : site,
    );
    const { ending, reason } = this.#rollout;
    if (this.#sites.every((site) => this.#look.isOver(site))) this.#end(ending ?? "rolled-back", reason);
  }

  #end(state: "done" | "aborted" | "rolled-back", reason: string | null): void {
    this.#rollout = { ...this.#rollout, state, reason };
    this.#look.say("", "ended", `${state}: ${summarize(this.#sites, true)}`);
  }

  #title(): string {
    return this.#rollout.plan.waves[this.#rollout.wave]?.title ?? "";
  }
}
