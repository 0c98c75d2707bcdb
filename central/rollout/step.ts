import type { RolloutSiteState, RolloutState } from "../http/api/rollouts.ts";
import type { SiteFacts, SiteReport } from "./facts.ts";
import { isInEffect, judgeHealth, type RevisionRef, recall, refusalOf, remember, type SiteMemory } from "./health.ts";
import type { RolloutLimits } from "./planner.ts";

/**
 * One look at a rollout: from what is known of it and of its sites to what is so now. Pure; whoever calls it keeps what it returns, in one
 * transaction, so that the next look goes on from there, in whichever process.
 *
 * A rollout is `running` or `paused` (its sites are watched and put back all the same, but none is told and no gate passes), then `putting-back`, and
 * ends as `done`, `aborted` or `rolled-back`. Of its sites:
 *
 *     waiting → told → watching → healthy        told | watching → pending → told (when it returns)
 *     told | watching | healthy → failed → put-back       all that were told → putting-back → put-back
 */
export interface RolloutRecord {
  readonly state: RolloutState;
  readonly wave: number;
  readonly heldMs: number;
  readonly reason: string | null;
  readonly ending: "aborted" | "rolled-back" | null;
  readonly plan: RolloutPlan;
}
export interface RolloutPlan {
  readonly limits: RolloutLimits;
  /** `waived`: a person let it pass although none of its sites could be watched. */
  readonly waves: readonly { readonly title: string; readonly waived?: true }[];
}
export interface SiteRecord {
  readonly site: string;
  readonly wave: number;
  readonly from: RevisionRef;
  readonly to: RevisionRef;
  readonly state: RolloutSiteState;
  readonly reason: string | null;
  readonly inStateMs: number;
  readonly awayMs: number;
  readonly unwellMs: number;
  readonly memory: SiteMemory | null;
}
export interface RolloutEvent {
  /** Empty: the whole rollout. */
  readonly site: string;
  readonly kind: RolloutEventKind;
  readonly text: string;
}
export type RolloutEventKind =
  | "began"
  | "wave-began"
  | "told"
  | "in-effect"
  | "pending"
  | "returned"
  | "failed"
  | "gate-broke"
  | "wave-passed"
  | "added"
  | "paused"
  | "resumed"
  | "aborted"
  | "putting-back"
  | "put-back"
  | "not-back"
  | "ended";

export interface StepInput {
  readonly rollout: RolloutRecord;
  readonly sites: readonly SiteRecord[];
  readonly facts: ReadonlyMap<string, SiteFacts>;
  /** Running time since the look before; 0 where nobody can tell. */
  readonly elapsedMs: number;
  /** Sites that the change affects by now and that are not in the rollout; undefined: nobody looked. */
  readonly newcomers?: readonly Pick<SiteRecord, "site" | "from" | "to">[] | undefined;
}
export interface StepOutcome {
  readonly rollout: RolloutRecord;
  readonly sites: readonly SiteRecord[];
  /** Where the desired revision moves to. */
  readonly desires: readonly { readonly site: string; readonly revision: number }[];
  readonly events: readonly RolloutEvent[];
  /** It would be done: look for newcomers, and ask again with them. */
  readonly asksForNewcomers: boolean;
}

export const terminalStates: readonly RolloutState[] = ["done", "aborted", "rolled-back"];

const gone: SiteFacts = { desired: 0, link: "absent", fencedAt: null, report: null, isCurrent: false };

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
  readonly #facts: ReadonlyMap<string, SiteFacts>;
  readonly #elapsedMs: number;
  readonly #newcomers: StepInput["newcomers"];
  readonly #limits: RolloutLimits;
  readonly #desires: { site: string; revision: number }[] = [];
  readonly #events: RolloutEvent[] = [];
  /** Whom the look before found well. */
  readonly #wellBefore: ReadonlySet<string>;
  #rollout: RolloutRecord;
  #sites: SiteRecord[];
  #asksForNewcomers = false;

  constructor({ rollout, sites, facts, elapsedMs, newcomers }: StepInput) {
    this.#rollout = rollout;
    this.#sites = [...sites];
    this.#facts = facts;
    this.#elapsedMs = elapsedMs;
    this.#newcomers = newcomers;
    this.#limits = rollout.plan.limits;
    this.#wellBefore = new Set(
      sites.flatMap(({ site, state, memory }) => (state === "watching" && memory?.isWell ? [site] : [])),
    );
  }

  outcome(): StepOutcome {
    return {
      rollout: this.#rollout,
      sites: this.#sites,
      desires: this.#desires,
      events: this.#events,
      asksForNewcomers: this.#asksForNewcomers,
    };
  }

  /** Running or paused. */
  watch(): void {
    if (this.#rollout.state === "running") this.#tellWave();
    const before = this.#sites;
    this.#sites = before.map((site) => this.#look(site));
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
    this.#say(
      "",
      "wave-began",
      `wave ${wave + 1} of ${this.#rollout.plan.waves.length} (${this.#title()}): ${count(fresh.length, "site")}`,
    );
    this.#sites = this.#sites.map((site) => (site.state === "waiting" && site.wave <= wave ? this.#tell(site) : site));
  }

  #tell(site: SiteRecord): SiteRecord {
    const facts = this.#of(site);
    this.#desires.push({ site: site.site, revision: site.to.revision });
    this.#say(site.site, "told", `is to run revision ${site.to.revision}`);
    // since the rollout was planned a person may have pushed: what is desired now is what it goes back to
    const from =
      facts.desired === site.from.revision || facts.desired === site.to.revision
        ? site.from
        : { revision: facts.desired, digest: null };
    const memory = facts.report && { ...remember(facts), isStale: facts.link !== "reachable" };
    return { ...fresh(site, "told", null), from, memory };
  }

  /** What became of one site. */
  #look(site: SiteRecord): SiteRecord {
    const facts = this.#of(site);
    switch (site.state) {
      case "told":
      case "watching":
        return this.#lookAtTold(site, facts);
      case "healthy": {
        if (this.#isMoved(site, facts)) return site;
        const reason = refusalOf(facts.report, site.to, site.memory) ?? this.#lateFailure(site, facts);
        return reason === undefined ? site : this.#fail(site, reason);
      }
      case "pending":
        if (this.#isMoved(site, facts) || facts.link !== "reachable") return site;
        this.#say(site.site, "returned", "is within reach again");
        return { ...fresh(site, "told", null), memory: site.memory && { ...site.memory, isStale: true } };
      case "failed":
        return this.#lookAtReturning(site, facts);
      default:
        return site;
    }
  }

  /** A site that has passed is still held to what cannot be chance. */
  #lateFailure(site: SiteRecord, { report }: SiteFacts): string | undefined {
    if (!isInEffect(report, site.to) || site.memory === null) return undefined;
    const health = judgeHealth(report, { ...site.memory, restarts: 0 }, gone, this.#limits);
    return health.kind === "failed" ? health.reason : undefined;
  }

  #lookAtTold(site: SiteRecord, facts: SiteFacts): SiteRecord {
    if (this.#isMoved(site, facts)) return this.#leave(site, `revision ${facts.desired} was pushed meanwhile`);
    if (facts.link === "revoked") return this.#leave(site, "its access was revoked");
    if (facts.link === "absent") return this.#leave(site, "its gateway was never heard");
    if (facts.link === "silent") {
      const awayMs = site.awayMs + this.#elapsedMs;
      const memory = site.memory && { ...site.memory, isWell: false, isStale: site.memory.isStale || site.state === "told" };
      const away = { ...site, awayMs, reason: "out of reach", memory };
      return awayMs < this.#limits.unreachableAfterMs ? away : this.#giveUpWaiting(away);
    }
    const { report } = facts;
    const memory = recall(site.memory, facts);
    if (memory === undefined) return this.#awaitEffect(site, null);
    const refusal = refusalOf(report, site.to, memory);
    if (refusal !== undefined) return this.#fail(site, refusal);
    if (!isInEffect(report, site.to)) return this.#awaitEffect({ ...site, memory }, report);
    if (site.state === "told") this.#say(site.site, "in-effect", `runs revision ${site.to.revision}`);
    const watched: SiteRecord =
      site.state === "told"
        ? { ...site, state: "watching", inStateMs: 0 }
        : { ...site, inStateMs: site.inStateMs + this.#elapsedMs };
    const health = judgeHealth(report, memory, facts, this.#limits);
    if (health.kind === "failed") return this.#fail(watched, health.reason);
    if (health.kind === "well") return { ...watched, reason: null, memory: { ...memory, isWell: true } };
    const unwellMs = watched.unwellMs + (health.kind === "unwell" && site.state === "watching" ? this.#elapsedMs : 0);
    if (unwellMs >= this.#limits.settleMs) return this.#fail(watched, health.reason);
    return { ...watched, unwellMs, reason: health.reason, memory: { ...memory, isWell: false } };
  }

  #awaitEffect(site: SiteRecord, report: SiteReport | null): SiteRecord {
    if (site.state === "watching")
      return { ...site, state: "told", inStateMs: 0, reason: `says that it runs ${report?.revision ?? 0}` };
    const inStateMs = site.inStateMs + this.#elapsedMs;
    if (inStateMs >= this.#limits.settleMs) {
      const said = report?.reason ? `; it says: ${report.reason}` : "";
      return this.#fail(site, `revision ${site.to.revision} is not in effect after ${seconds(inStateMs)}${said}`);
    }
    return { ...site, inStateMs, reason: null };
  }

  /** Somebody else has said what it should run: the rollout leaves it alone from now on. */
  #isMoved(site: SiteRecord, facts: SiteFacts): boolean {
    const told = this.#desires.findLast((desire) => desire.site === site.site)?.revision ?? facts.desired;
    return told !== site.to.revision;
  }

  #leave(site: SiteRecord, reason: string): SiteRecord {
    this.#say(site.site, "pending", reason);
    return { ...fresh(site, "pending", reason), awayMs: Math.max(site.awayMs, this.#limits.unreachableAfterMs) };
  }

  #giveUpWaiting(site: SiteRecord): SiteRecord {
    const reason = `out of reach for ${seconds(site.awayMs)}; it gets revision ${site.to.revision} when it returns`;
    const left = this.#leave(site, reason);
    if (this.#limits.unreachableThen === "pause" && this.#rollout.state === "running") this.pause(`${site.site} is ${reason}`);
    return left;
  }

  /** This site goes back to what it had before. */
  #fail(site: SiteRecord, why: string): SiteRecord {
    // in part a gateway's own words, which may be long
    const reason = why.slice(0, 1000);
    this.#say(site.site, "failed", `${reason}; it goes back to revision ${site.from.revision}`);
    return this.#sendBack(site, "failed", reason);
  }

  #sendBack(site: SiteRecord, state: "failed" | "putting-back", reason: string | null): SiteRecord {
    const facts = this.#of(site);
    this.#desires.push({ site: site.site, revision: site.from.revision });
    const sent = { ...fresh(site, state, reason), awayMs: site.awayMs, memory: { ...remember(facts), isWell: false } };
    if (site.from.revision > 0) return sent;
    this.#say(site.site, "put-back", "had no configuration before: its gateway goes on with the last that it has");
    return { ...sent, state: "put-back" };
  }

  /** A site whose desired revision is the old one again. */
  #lookAtReturning(site: SiteRecord, facts: SiteFacts): SiteRecord {
    const { report } = facts;
    // what it said before it was told to go back may be from before it took the new one
    const isNews = report !== null && report.at !== site.memory?.at && report.state !== "applying";
    if (isNews && isInEffect(report, site.from)) {
      this.#say(site.site, "put-back", `runs revision ${site.from.revision} again`);
      return { ...site, state: "put-back" };
    }
    if (facts.link !== "reachable") return { ...site, awayMs: site.awayMs + this.#elapsedMs };
    const inStateMs = site.inStateMs + this.#elapsedMs;
    if (site.inStateMs < this.#limits.settleMs && inStateMs >= this.#limits.settleMs)
      this.#say(site.site, "not-back", `revision ${site.from.revision} is not in effect again after ${seconds(inStateMs)}`);
    return { ...site, inStateMs };
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
        this.#say(
          ailing?.site ?? "",
          "gate-broke",
          `the gate held for ${seconds(heldMs)}: ${ailing?.reason ?? "a site is told"}`,
        );
      if (heldMs > 0) this.#rollout = { ...this.#rollout, heldMs: 0 };
      return;
    }
    const held = open.every(({ site }) => this.#wellBefore.has(site)) ? heldMs + this.#elapsedMs : 0;
    this.#rollout = { ...this.#rollout, heldMs: held };
    // what its own gateway still watches may yet be given back
    const isSettled = open.every((site) => this.#of(site).report?.state !== "watching");
    if (held < this.#limits.windowMs || !isSettled) return;
    this.#sites = this.#sites.map((site) =>
      site.state === "watching" ? { ...site, state: "healthy", reason: null, inStateMs: 0 } : site,
    );
    this.#advance(`${passed}: all were healthy for ${seconds(held)}`);
  }

  #advance(text: string): void {
    const { wave, plan } = this.#rollout;
    if (wave + 1 < plan.waves.length) {
      this.#say("", "wave-passed", text);
      this.#rollout = { ...this.#rollout, wave: wave + 1, heldMs: 0 };
      return this.#tellWave();
    }
    if (this.#newcomers === undefined) {
      this.#asksForNewcomers = true;
      return;
    }
    this.#say("", "wave-passed", text);
    if (this.#newcomers.length === 0) return this.#end("done", null);
    const added = plan.waves.length;
    this.#say("", "added", `${count(this.#newcomers.length, "site")} came meanwhile: one more wave`);
    const waves = [...plan.waves, { title: "came meanwhile" }];
    this.#rollout = { ...this.#rollout, wave: added, heldMs: 0, plan: { ...plan, waves } };
    this.#sites.push(...this.#newcomers.map((site) => toSiteRecord(site, added)));
    this.#tellWave();
  }

  pause(text: string): void {
    this.#say("", "paused", text);
    this.#rollout = { ...this.#rollout, state: "paused", reason: text, heldMs: 0 };
  }

  resume(text: string): void {
    this.#say("", "resumed", text);
    const { wave, plan } = this.#rollout;
    const open = this.#sites.some((site) => site.wave <= wave && ["waiting", "told", "watching"].includes(site.state));
    const waves = plan.waves.map((each, index) => (index === wave && !open ? { ...each, waived: true as const } : each));
    this.#rollout = { ...this.#rollout, state: "running", reason: null, heldMs: 0, plan: { ...plan, waves } };
  }

  abort(text: string): void {
    this.#say("", "aborted", text);
    this.#beginPuttingBack("aborted", text);
  }

  #beginPuttingBack(ending: "aborted" | "rolled-back", reason: string): void {
    this.#rollout = { ...this.#rollout, state: "putting-back", ending, reason, heldMs: 0 };
    this.#sites = this.#sites.map((site) => {
      const wasTold = ["told", "watching", "healthy", "pending"].includes(site.state);
      return wasTold && !this.#isMoved(site, this.#of(site)) ? this.#sendBack(site, "putting-back", site.reason) : site;
    });
    const back = this.#sites.filter(({ state }) => state === "putting-back" || state === "failed").length;
    this.#say("", "putting-back", `${count(back, "site")} to go back: ${reason}`);
    if (this.#sites.every((site) => this.#isOver(site))) this.#end(ending, reason);
  }

  putBack(): void {
    this.#sites = this.#sites.map((site) =>
      site.state === "putting-back" || site.state === "failed" ? this.#lookAtReturning(site, this.#of(site)) : site,
    );
    const { ending, reason } = this.#rollout;
    if (this.#sites.every((site) => this.#isOver(site))) this.#end(ending ?? "rolled-back", reason);
  }

  /** Whether nobody waits for this site any more: it went back, was never told, is out of reach, or does not go back. */
  #isOver({ site, state, inStateMs, awayMs }: SiteRecord): boolean {
    if (state !== "putting-back" && state !== "failed") return true;
    const { link } = this.#facts.get(site) ?? gone;
    if (link === "revoked" || link === "absent") return true;
    return inStateMs >= this.#limits.settleMs || (link === "silent" && awayMs >= this.#limits.unreachableAfterMs);
  }

  #end(state: "done" | "aborted" | "rolled-back", reason: string | null): void {
    this.#rollout = { ...this.#rollout, state, reason };
    this.#say("", "ended", `${state}: ${summarize(this.#sites)}`);
  }

  #say(site: string, kind: RolloutEventKind, text: string): void {
    this.#events.push({ site, kind, text });
  }
  #title(): string {
    return this.#rollout.plan.waves[this.#rollout.wave]?.title ?? "";
  }
  #of({ site }: Pick<SiteRecord, "site">): SiteFacts {
    return this.#facts.get(site) ?? gone;
  }
}

/** What became of a site that a rollout left behind when it ended; undefined: nothing new. */
export function lookAfter(
  ended: "done" | "aborted" | "rolled-back",
  site: SiteRecord,
  facts: SiteFacts,
): { readonly site: SiteRecord; readonly event: RolloutEvent } | undefined {
  const { report } = facts;
  const told = (state: RolloutSiteState, reason: string | null, kind: RolloutEventKind, text: string) => ({
    site: { ...site, state, reason },
    event: { site: site.site, kind, text },
  });
  if (report === null) return undefined;
  const goesBack = site.state === "putting-back" || (site.state === "failed" && facts.desired === site.from.revision);
  if (goesBack) {
    if (facts.desired !== site.from.revision || report.at === site.memory?.at || !isInEffect(report, site.from)) return undefined;
    return told("put-back", site.reason, "put-back", `runs revision ${site.from.revision}`);
  }
  if (ended !== "done" || facts.desired !== site.to.revision) return undefined;
  if (isInEffect(report, site.to)) {
    if (report.state !== "active") return undefined;
    return told("healthy", null, "returned", `runs revision ${site.to.revision}`);
  }
  if (site.state !== "pending") return undefined;
  const refusal = refusalOf(report, site.to, site.memory);
  if (refusal === undefined) return undefined;
  return told("failed", refusal, "failed", `${refusal}; the rollout has ended, a person has to look`);
}

export function toSiteRecord(site: Pick<SiteRecord, "site" | "from" | "to">, wave: number): SiteRecord {
  return { ...site, wave, state: "waiting", reason: null, inStateMs: 0, awayMs: 0, unwellMs: 0, memory: null };
}

function fresh(site: SiteRecord, state: RolloutSiteState, reason: string | null): SiteRecord {
  return { ...site, state, reason, inStateMs: 0, awayMs: 0, unwellMs: 0 };
}

const words: readonly (readonly [RolloutSiteState, string])[] = [
  ["healthy", "done"],
  ["told", "told"],
  ["watching", "watched"],
  ["pending", "pending"],
  ["failed", "failed"],
  ["putting-back", "going back"],
  ["put-back", "put back"],
  ["waiting", "waiting"],
];

/** "39 done, 1 pending" */
export function summarize(sites: readonly Pick<SiteRecord, "state">[]): string {
  const parts = words.flatMap(([state, word]) => {
    const many = sites.filter((site) => site.state === state).length;
    return many === 0 ? [] : [`${many.toLocaleString("en-US")} ${word}`];
  });
  return parts.length === 0 ? "no site gets anything else" : parts.join(", ");
}

function seconds(ms: number): string {
  return `${Math.round(ms / 1000)} s`;
}
function count(value: number, noun: string): string {
  return `${value.toLocaleString("en-US")} ${noun}${value === 1 ? "" : "s"}`;
}
