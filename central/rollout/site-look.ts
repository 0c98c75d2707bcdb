import { compareVersions } from "../../protocol/index.ts";
import type { SiteFacts, SiteReport } from "./facts.ts";
import { forgiveRestart, judgeHealth, recall, remember } from "./health.ts";
import type { RolloutLimits } from "./planner.ts";
import { type Desire, entering, type RolloutEvent, type RolloutEventKind, type SiteRecord } from "./state.ts";
import {
  describeDesired,
  describeRunning,
  isDesired,
  isInEffect,
  isMoving,
  isOnTrial,
  isSameTarget,
  isVersion,
  nameOf,
  refusalOf,
  type Target,
} from "./target.ts";
import { seconds } from "./wording.ts";

export interface SiteLookDeps {
  readonly facts: ReadonlyMap<string, SiteFacts>;
  readonly limits: RolloutLimits;
  /** Running time since the previous look. */
  readonly elapsedMs: number;
  /** Called for a site that is out of reach for so long that nobody waits for it any more. */
  readonly onGivenUp: (words: string) => void;
}

const gone: SiteFacts = { desired: 0, desiredVersion: "", link: "absent", fencedAt: null, report: null, isCurrent: false };

/** A version may take this many times as long as a configuration. */
const versionPatience = 5;
/** The smallest piece of a download that gateways keep: one that gains less than this in its time does not arrive. */
const leastProgressBytes = 16 * 1024;

/**
 * One look at the sites of a rollout, each by itself: what it is to run, and what its gateway reports. Collects what that changes and what is to be
 * told, in order. Knows nothing of waves and gates.
 */
export class SiteLook {
  readonly desires: Desire[] = [];
  readonly events: RolloutEvent[] = [];
  readonly #facts: ReadonlyMap<string, SiteFacts>;
  readonly #limits: RolloutLimits;
  readonly #elapsedMs: number;
  readonly #onGivenUp: SiteLookDeps["onGivenUp"];

  constructor({ facts, limits, elapsedMs, onGivenUp }: SiteLookDeps) {
    this.#facts = facts;
    this.#limits = limits;
    this.#elapsedMs = elapsedMs;
    this.#onGivenUp = onGivenUp;
  }

  say(site: string, kind: RolloutEventKind, text: string): void {
    this.events.push({ site, kind, text });
  }

  tell(site: SiteRecord): SiteRecord {
    const facts = this.#of(site);
    if (isAhead(site, facts.report)) return this.#leave(site, aheadWords(facts.report, site.to));
    this.desires.push({ site: site.site, to: site.to });
    this.say(site.site, "told", `is to run ${nameOf(site.to)}`);
    // since the rollout was planned a person may have pushed: what is desired now is what it goes back to
    const isPushed = !isVersion(site.to) && !isDesired(facts, site.from) && !isDesired(facts, site.to);
    const from = isPushed ? { revision: facts.desired, digest: null } : site.from;
    const memory = facts.report && { ...remember(facts, site.to), isStale: facts.link !== "reachable" };
    return { ...entering(site, "told", null), from, memory };
  }

  /** What became of one site. */
  look(site: SiteRecord): SiteRecord {
    const facts = this.#of(site);
    switch (site.state) {
      case "told":
      case "watching":
        return this.#lookAtTold(site, facts);
      case "healthy": {
        if (this.isMoved(site)) return site;
        const reason = refusalOf(facts.report, site.to, site.memory?.refusal) ?? this.#lateFailure(site, facts);
        return reason === undefined ? site : this.#fail(site, reason);
      }
      case "pending": {
        if (this.isMoved(site) || facts.link !== "reachable") return site;
        if (isAhead(site, facts.report)) {
          const words = aheadWords(facts.report, site.to);
          return site.reason === words ? site : this.#leave(site, words);
        }
        this.say(site.site, "returned", "is within reach again");
        return { ...entering(site, "told", null), memory: site.memory && { ...site.memory, isStale: true } };
      }
      case "failed":
        return this.lookAtReturning(site);
      default:
        return site;
    }
  }

  /** A site that has passed its gate still fails for what cannot be chance. */
  #lateFailure(site: SiteRecord, { report }: SiteFacts): string | undefined {
    if (!isInEffect(report, site.to) || site.memory === null) return undefined;
    const health = judgeHealth(report, { ...site.memory, restarts: 0 }, gone, this.#limits);
    return health.kind === "failed" ? health.reason : undefined;
  }

  #lookAtTold(site: SiteRecord, facts: SiteFacts): SiteRecord {
    if (this.isMoved(site)) return this.#leave(site, movedWords(facts, site.to));
    if (facts.link === "revoked") return this.#leave(site, "its access was revoked");
    if (facts.link === "absent") return this.#leave(site, "its gateway was never heard");
    if (facts.link === "silent") {
      const awayMs = site.awayMs + this.#elapsedMs;
      // an upgrade begins with a silence: the site is compared with how it was before that
      const isStale = site.memory?.isStale || (site.state === "told" && !isVersion(site.to));
      const memory = site.memory && { ...site.memory, isWell: false, isStale };
      const away = { ...site, awayMs, reason: "out of reach", memory };
      return awayMs < this.#limits.unreachableAfterMs ? away : this.#giveUpWaiting(away);
    }
    const { report } = facts;
    const recalled = recall(site.memory, facts, site.to);
    if (recalled === undefined) return this.#awaitEffect(site, null);
    const memory = site.state === "told" ? forgiveRestart(recalled, site.to) : recalled;
    const refusal = refusalOf(report, site.to, memory.refusal);
    if (refusal !== undefined) return this.#fail(site, refusal);
    if (!isInEffect(report, site.to)) return this.#awaitEffect({ ...site, memory }, report);
    if (site.state === "told") this.say(site.site, "in-effect", `runs ${nameOf(site.to)}`);
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

  /** A version is put in place, checked and watched by the machine before it counts as kept: that takes longer than a configuration. */
  #patienceMs({ to }: SiteRecord): number {
    return this.#limits.settleMs * (isVersion(to) ? versionPatience : 1);
  }

  #awaitEffect(site: SiteRecord, report: SiteReport | null): SiteRecord {
    if (site.state === "watching")
      return { ...site, state: "told", inStateMs: 0, reason: `says that it runs ${describeRunning(report, site.to)}` };
    const bytes = isVersion(site.to) && report?.upgrade?.state === "downloading" ? report.upgrade.bytes : 0;
    if (site.memory && bytes >= (site.memory.bytes ?? 0) + leastProgressBytes)
      return { ...site, inStateMs: 0, reason: "its package is on the way", memory: { ...site.memory, bytes } };
    const inStateMs = site.inStateMs + this.#elapsedMs;
    if (inStateMs >= this.#patienceMs(site)) {
      const words = isVersion(site.to) ? report?.upgrade?.reason : report?.reason;
      const said = words ? `; it says: ${words}` : "";
      return this.#fail(site, `${nameOf(site.to)} is not in effect after ${seconds(inStateMs)}${said}`);
    }
    return { ...site, inStateMs, reason: null };
  }

  /** Somebody else has said what it should run: the rollout leaves it alone from now on. */
  isMoved(site: SiteRecord): boolean {
    const told = this.desires.findLast((desire) => desire.site === site.site)?.to;
    return told === undefined ? !isDesired(this.#of(site), site.to) : !isSameTarget(told, site.to);
  }

  #leave(site: SiteRecord, reason: string): SiteRecord {
    this.say(site.site, "pending", reason);
    return { ...entering(site, "pending", reason), awayMs: Math.max(site.awayMs, this.#limits.unreachableAfterMs) };
  }

  #giveUpWaiting(site: SiteRecord): SiteRecord {
    const reason = `out of reach for ${seconds(site.awayMs)}; it gets ${nameOf(site.to)} when it returns`;
    const left = this.#leave(site, reason);
    this.#onGivenUp(`${site.site} is ${reason}`);
    return left;
  }

  /** This site goes back to what it had before. */
  #fail(site: SiteRecord, why: string): SiteRecord {
    // in part a gateway's own words, which may be long
    const reason = why.slice(0, 1000);
    this.say(site.site, "failed", `${reason}; it goes back to ${nameOf(site.from)}`);
    return this.sendBack(site, "failed", reason);
  }

  sendBack(site: SiteRecord, state: "failed" | "putting-back", reason: string | null): SiteRecord {
    const facts = this.#of(site);
    this.desires.push({ site: site.site, to: site.from, ...(isVersion(site.from) ? { isBack: true as const } : {}) });
    const sent = {
      ...entering(site, state, reason),
      awayMs: site.awayMs,
      memory: { ...remember(facts, site.to), isWell: false },
    };
    if (isVersion(site.from) || site.from.revision > 0) return sent;
    this.say(site.site, "put-back", "had no configuration before: its gateway goes on with the last that it has");
    return { ...sent, state: "put-back" };
  }

  /** A site whose desired revision is the old one again. */
  lookAtReturning(site: SiteRecord): SiteRecord {
    const facts = this.#of(site);
    const { report } = facts;
    // what it said before it was told to go back may be from before it took the new one
    const isNews = report !== null && report.at !== site.memory?.at && !isMoving(report, site.from);
    if (isNews && isInEffect(report, site.from)) {
      this.say(site.site, "put-back", `runs ${nameOf(site.from)} again`);
      return { ...site, state: "put-back" };
    }
    if (facts.link !== "reachable") return { ...site, awayMs: site.awayMs + this.#elapsedMs };
    const inStateMs = site.inStateMs + this.#elapsedMs;
    const patienceMs = this.#patienceMs(site);
    if (site.inStateMs < patienceMs && inStateMs >= patienceMs)
      this.say(site.site, "not-back", notBackWords(site, report, inStateMs));
    return { ...site, inStateMs };
  }

  /** Whether its gateway, or its machine, still watches the change and may yet take it back. */
  isOnTrial(site: SiteRecord): boolean {
    return isOnTrial(this.#of(site).report, site.to);
  }

  /** Whether nobody waits for this site any more: it went back, was never told, is out of reach, or does not go back. */
  isOver(site: SiteRecord): boolean {
    const { state, inStateMs, awayMs } = site;
    if (state !== "putting-back" && state !== "failed") return true;
    const { link } = this.#of(site);
    if (link === "revoked" || link === "absent") return true;
    return inStateMs >= this.#patienceMs(site) || (link === "silent" && awayMs >= this.#limits.unreachableAfterMs);
  }

  #of({ site }: SiteRecord): SiteFacts {
    return this.#facts.get(site) ?? gone;
  }
}

/** Whether a machine runs a later version than it is to get, and another one than the rollout was planned with: it would refuse to go back (ADR 0157). */
function isAhead({ from, to }: SiteRecord, report: SiteReport | null): boolean {
  if (report === null || !isVersion(to) || !isVersion(from)) return false;
  return report.version !== from.version && compareVersions(report.version, to.version) > 0;
}

function aheadWords(report: SiteReport | null, to: Target): string {
  return `runs ${describeRunning(report, to)}, which is newer: somebody upgraded it meanwhile`;
}

function movedWords(facts: SiteFacts, to: Target): string {
  const now = describeDesired(facts, to);
  return isVersion(to) ? `${now} is wanted there meanwhile` : `${now} was pushed meanwhile`;
}

function notBackWords({ from }: SiteRecord, report: SiteReport | null, afterMs: number): string {
  const why =
    isVersion(from) && from.package === null && !isInEffect(report, from)
      ? "; central has no package of it for this site: install it there"
      : "";
  return `${nameOf(from)} is not in effect again after ${seconds(afterMs)}${why}`;
}
