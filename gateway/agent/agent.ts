import { createHash } from "node:crypto";
import {
  type Bundle,
  backoff,
  bundle,
  type Clock,
  describeError,
  describeIssues,
  hasDisposition,
  PlantgateError,
  parseJson,
  type StatusReport,
} from "../../protocol/index.ts";
import { Wake } from "../delivery/wake.ts";
import type { CentralKeys } from "../identity/central-keys.ts";
import { askedToWaitMs } from "../link/pauses.ts";
import type { Session } from "../link/session.ts";
import type { Logger } from "../telemetry/logger.ts";
import type { AgentDocuments, AgentState } from "./documents.ts";

/** Before a bundle that could not be fetched is asked for again, where central does not say. */
const whenDelayed = { baseMs: 1000, capMs: 15_000 };

export interface AgentDeps {
  readonly site: string;
  readonly centralKeys: Pick<CentralKeys, "verify">;
  readonly documents: AgentDocuments;
  readonly session: Session;
  readonly clock: Clock;
  readonly log: Logger;
  /** Puts a bundle into effect, whole or not at all. @throws PlantgateError CONFIG_INVALID, after which the old one still runs */
  readonly apply: (next: Bundle) => Promise<void>;
  /**
   * Puts one into effect that ran before, as far as it can run; `instead` of a newer one, until that can be applied again.
   * @throws PlantgateError CONFIG_INVALID, after which none runs
   */
  readonly restore: (stored: Bundle, instead: boolean) => Promise<void>;
}

/**
 * A revision that central wants. Its number does not name its content for ever: a central that was restored gives the numbers that it lost
 * to something else, and only the digest (of the bundle's JSON, as central signed it) tells them apart.
 */
export interface DesiredRevision {
  readonly revision: number;
  /** Undefined where central did not say, or what was wanted is not on disk. */
  readonly digest?: string | undefined;
}

const settleMs = 30_000;

/**
 * Configuration: fetch → check the signature against the pinned key → validate → keep on disk → apply → report. A bundle that cannot be
 * applied is refused whole; the last good one goes on, also after a restart without central (P5, P8).
 */
export class Agent {
  readonly #deps: AgentDeps;
  readonly #wake = new Wake();
  #state: AgentState;
  #report: StatusReport["configuration"];
  #wanted: DesiredRevision;
  /** The desired revision that was dealt with: in effect, or refused. */
  #done: DesiredRevision;
  /** Until when messages wait for a revision. */
  #patience: { readonly wanted: DesiredRevision; readonly until: number } | undefined;

  constructor(deps: AgentDeps, state: AgentState) {
    this.#deps = deps;
    this.#state = state;
    this.#wanted = { revision: state.desired };
    this.#done = this.#wanted;
    this.#report = { reported: 0, state: "none" };
  }

  get report(): StatusReport["configuration"] {
    return this.#report;
  }

  get desired(): number {
    return this.#wanted.revision;
  }

  /** Applies the last good bundle from disk; where that cannot be applied any more, the one before it, until central's is there again. */
  async resume(): Promise<void> {
    const { active, previous, desired } = this.#state;
    const stored = await this.#deps.documents.bundle(desired);
    this.#dealt({ revision: desired, digest: stored === undefined ? undefined : digestOf(stored) });
    const reasons: string[] = [];
    for (const revision of [active, previous ?? 0]) {
      if (revision === 0) continue;
      const reason = await this.#restore(revision);
      if (reason === undefined) break;
      reasons.push(`revision ${revision}: ${reason}`);
    }
    if (reasons.length === 0) return;
    this.#refuse(active, reasons.join("; "));
    this.#state = { ...this.#state, desired: 0 };
    this.#dealt({ revision: 0 });
  }

  #dealt(known: DesiredRevision): void {
    this.#wanted = known;
    this.#done = known;
  }

  /** Why it does not run; undefined: it does. */
  async #restore(revision: number): Promise<string | undefined> {
    const { documents, log, restore } = this.#deps;
    try {
      const jws = await documents.bundle(revision);
      if (jws === undefined) return "the bundle on disk is missing";
      await restore(await this.#verify(jws, "disk"), revision !== this.#state.active);
    } catch (error) {
      if (hasDisposition(error, "crash")) throw error;
      return describeError(error);
    }
    this.#report = { reported: revision, state: "active" };
    log.info({ event: "agent.bundle.resumed", revision }, "last good configuration runs");
    return undefined;
  }

  /** Central wants this revision, with this content. */
  want({ revision, digest }: DesiredRevision): void {
    const known = this.#wanted;
    if (revision === known.revision && (digest === undefined || digest === known.digest)) return;
    this.#wanted = { revision, digest };
    this.#wake.ring();
  }

  /**
   * Resolves when the desired revision is in effect or refused; after half a minute all the same, as what waits for it must not wait for a
   * central that is out of reach. One half minute for all that waits for one revision: each message's own would hold a lane for hours.
   */
  async settled(signal: AbortSignal): Promise<void> {
    const { clock } = this.#deps;
    for (;;) {
      const wanted = this.#wanted;
      if (isSame(wanted, this.#done)) return;
      if (this.#patience?.wanted !== wanted) this.#patience = { wanted, until: clock.monotonic() + settleMs };
      if (clock.monotonic() >= this.#patience.until) return;
      if (signal.aborted) return;
      await clock.sleep(100, signal);
    }
  }

  async run(signal: AbortSignal): Promise<void> {
    let delays = backoff(whenDelayed);
    while (!signal.aborted) {
      const wanted = this.#wanted;
      const { revision } = wanted;
      if (isSame(wanted, this.#done) || revision === 0) {
        await this.#wake.wait(signal);
        continue;
      }
      try {
        await this.#change(revision, signal);
        this.#done = wanted;
        delays = backoff(whenDelayed);
      } catch (error) {
        if (signal.aborted) return;
        if (error instanceof PlantgateError && error.disposition === "crash") throw error;
        this.#deps.log.warn(
          { event: "agent.bundle.delayed", revision, reason: describeError(error) },
          "the new configuration could not be fetched, tried again",
        );
        await this.#deps.clock.sleep(askedToWaitMs(error) ?? delays.next().value, signal);
      }
    }
  }

  async #change(revision: number, signal: AbortSignal): Promise<void> {
    const { session, site, documents, log, apply } = this.#deps;
    const online = await session.online(signal);
    if (!online) return;
    const path = `/v1/sites/${encodeURIComponent(site)}/bundles/${revision}`;
    const answer = await session.send(online.session, { method: "GET", path, silenceMs: 30_000 }, signal);
    if (answer.kind === "problem") {
      const context = answer.retryAfterMs === undefined ? {} : { waitMs: answer.retryAfterMs };
      throw new PlantgateError("PEER_BUSY", answer.problem.detail ?? answer.problem.title, { context });
    }
    this.#report = { ...this.#report, state: "applying" };
    const jws =
      typeof answer.body === "object" && answer.body !== null && "jws" in answer.body
        ? String(answer.body.jws)
        : answer.text.trim();
    const before = await documents.bundle(revision);
    const keep = [this.#state.active, this.#state.previous ?? 0];
    try {
      const next = await this.#verify(jws, "central");
      if (next.revision !== revision)
        throw new PlantgateError("SIGNATURE_INVALID", `central sent revision ${next.revision} for ${revision}`);
      await documents.saveBundle(revision, jws, keep);
      await apply(next);
    } catch (error) {
      if (!isRefusal(error)) throw error;
      this.#refuse(revision, describeError(error));
      // another content of a number that runs, or ran: that one is what a restart goes on with
      if (before !== undefined && keep.includes(revision)) await documents.saveBundle(revision, before, keep);
      this.#state = { ...this.#state, desired: revision };
      return documents.saveState(this.#state);
    }
    const { reported } = this.#report;
    const previous = reported === revision ? this.#state.previous : reported;
    this.#state = { active: revision, desired: revision, ...(previous ? { previous } : {}) };
    await documents.saveState(this.#state);
    this.#report = { reported: revision, state: "active" };
    log.info({ event: "agent.bundle.applied", revision }, "new configuration runs");
  }

  async #verify(jws: string, from: "central" | "disk"): Promise<Bundle> {
    const payload = await this.#deps.centralKeys.verify(jws, from);
    const parsed = bundle.safeParse(parseJson(Buffer.from(payload).toString("utf8")));
    if (!parsed.success) throw new PlantgateError("CONFIG_INVALID", `the bundle is not valid: ${describeIssues(parsed.error)}`);
    if (parsed.data.site !== this.#deps.site)
      throw new PlantgateError("SIGNATURE_INVALID", `the bundle is for site "${parsed.data.site}"`);
    return parsed.data;
  }

  #refuse(revision: number, reason: string): void {
    const { reported } = this.#report;
    this.#report = { reported, state: "refused", reason: reason.slice(0, 4000) };
    this.#deps.log.error(
      { event: "agent.bundle.refused", revision, active: reported, reason },
      reported === 0
        ? "the configuration was refused, and none runs"
        : "the configuration was refused, the last good one goes on",
    );
  }
}

/** It is the bundle's fault; anything else may be better the next time. */
function isRefusal(error: unknown): boolean {
  return hasDisposition(error, "reject") || hasDisposition(error, "deny");
}

/** As central states it for a bundle that it signed. */
function digestOf(jws: string): string {
  return createHash("sha256")
    .update(Buffer.from(jws.split(".")[1] ?? "", "base64url"))
    .digest("hex");
}

function isSame(a: DesiredRevision, b: DesiredRevision): boolean {
  return a.revision === b.revision && a.digest === b.digest;
}
