import { backoff, describeError, hasDisposition, PlantgateError, type StatusReport } from "../../protocol/index.ts";
import { Wake } from "../delivery/wake.ts";
import { since, sumOf } from "../flow/tallies.ts";
import { askedToWaitMs } from "../link/pauses.ts";
import type { Logger } from "../telemetry/logger.ts";
import { Bundles, type BundlesDeps, type DesiredRevision, isWanted } from "./bundles.ts";
import type { AgentState } from "./documents.ts";
import { InEffect, type InEffectDeps, type Running, type Trial } from "./in-effect.ts";
import { isSame, NotedState, reportOf, shortened, toStored } from "./noted-state.ts";
import type { Watch } from "./watch.ts";
import { Wish } from "./wish.ts";

/**
 * What the agent is at. What is in effect changes in `activating` alone, and by a rollback.
 *
 *     idle ──→ fetching ──→ staging ──→ activating ──→ watching ──→ idle: committed, it is the last good one
 *              from central, checked,   written that   in effect ──→ rolling back ──→ idle: the last good one runs
 *              or on disk    flushed    it is on trial
 *
 * From each of the first three a refusal leads back to where it began, and a newer wish of central to `fetching`: the watch of a trial goes on until the
 * next revision is activated. What was good once is not watched again. A restart goes on where the state on disk says: with the trial, or the last good one.
 */
type Mode =
  | { readonly kind: "idle" }
  | { readonly kind: "fetching" | "staging" | "activating"; readonly wanted: DesiredRevision; readonly watch: Watch | undefined }
  | { readonly kind: "watching"; readonly watch: Watch }
  | { readonly kind: "rolling-back" };

export interface AgentDeps extends BundlesDeps, InEffectDeps {
  readonly log: Logger;
}

/** Before a bundle that could not be fetched is asked for again, where central does not say. */
const whenDelayed = { baseMs: 1000, capMs: 15_000 };
/** How often a watch looks. */
const lookMs = 1000;
/** A revision on trial whose process ended so often, and not as one stops it, is not started again. */
const mostStarts = 2;
/**
 * Configuration: fetch → check signature and digest → keep on disk → put into effect → watch → report. A bundle that cannot be applied is refused
 * whole; one that does not do well is rolled back (ADR 0087). The last good one goes on, also after a restart without central (P5, P8).
 */
export class Agent {
  readonly #deps: AgentDeps;
  readonly #bundles: Bundles;
  readonly #noted: NotedState;
  readonly #inEffect: InEffect;
  readonly #wish: Wish;
  readonly #wake = new Wake();
  #mode: Mode = { kind: "idle" };
  /** Why what central wants is not here yet, or why not even the last good one runs. */
  #trouble: { readonly kind: "delayed" | "unreadable"; readonly reason: string } | undefined;
  /** A new revision waits, where one runs. */
  #isHeld = false;

  constructor(deps: AgentDeps, state: AgentState) {
    this.#deps = deps;
    this.#bundles = new Bundles(deps);
    this.#noted = new NotedState(deps.documents, deps.log, state);
    this.#inEffect = new InEffect(deps, this.#bundles, this.#noted);
    this.#wish = new Wish(deps.clock, state.desired);
  }

  get report(): StatusReport["configuration"] {
    const running = this.#running;
    const { kind } = this.#mode;
    const report = reportOf(this.#state, running?.stored, {
      isChanging: kind === "activating" || kind === "rolling-back",
      isWatched: this.#watch !== undefined,
      isUnreadable: this.#trouble?.kind === "unreadable",
      trouble: this.#trouble?.reason,
    });
    return running ? { ...report, since: sumOf(since(running.begun.tallies, this.#deps.vitals().tallies)) } : report;
  }

  get #state(): AgentState {
    return this.#noted.current;
  }

  get desired(): number {
    return this.#wish.current.revision;
  }

  get #running(): Running | undefined {
    return this.#inEffect.running;
  }

  /** Applies what ran, from disk; where that cannot be applied any more, what was good before it, until central's is there again. */
  async resume(): Promise<void> {
    await this.#countStart();
    const { good, trial, before, refused } = this.#state;
    const reasons = await this.#inEffect.restoreFirstOf([trial, good, before], refused?.how === "rolled-back");
    if (this.#running) this.#deps.log.info(this.#fields("agent.bundle.resumed"), "last configuration runs");
    if (this.#running && isSame(this.#running.stored, trial)) await this.#beginWatch(this.#running);
    else if (trial) await this.#refuse(trial, reasons[0] ?? "it cannot be applied");
    if (reasons.length > 0) {
      this.#trouble = { kind: "unreadable", reason: shortened(reasons.join("; ")) };
      this.#deps.log.error(
        { ...this.#fields("agent.bundle.refused"), reason: this.#trouble.reason },
        this.#running ? "the last configuration cannot run, one before it does" : "the configuration cannot run, and none does",
      );
    }
    // what could not be applied then may be understood now
    if (reasons.length > 0 || !this.#isDealtWith(this.#state.desired)) this.#wish.forget();
  }

  /** It runs, or ran and was rolled back. */
  #isDealtWith(wanted: DesiredRevision): boolean {
    const { refused } = this.#state;
    if (this.#running && isWanted(this.#running.stored, wanted)) return true;
    return refused?.how === "rolled-back" && isWanted(refused, wanted);
  }

  /** A revision on trial that ends its process is not started for ever. */
  async #countStart(): Promise<void> {
    const { trial } = this.#state;
    if (!trial) return;
    if (trial.starts < mostStarts) return this.#noted.write({ ...this.#state, trial: { ...trial, starts: trial.starts + 1 } });
    await this.#giveBack(trial, `the gateway's process ended ${trial.starts} times while it was watched`);
  }

  /**
   * Changes of the configuration wait until {@link release}: the program itself is on trial. What they spoil would be held against it, and the version
   * before, put back, may know none of what they say (ADR 0114).
   */
  hold(): void {
    this.#isHeld = true;
  }

  release(): void {
    this.#isHeld = false;
    this.#wake.ring();
  }

  get #waits(): boolean {
    return this.#isHeld && this.#running !== undefined;
  }

  /** Central wants this revision, with this content. */
  want(desired: DesiredRevision): void {
    if (this.#wish.become(desired)) this.#wake.ring();
  }

  /** Resolves when the desired revision is in effect or refused, or waits; after half a minute all the same. */
  async settled(signal: AbortSignal): Promise<void> {
    await this.#wish.settled(() => this.#waits, signal);
  }

  async run(signal: AbortSignal): Promise<void> {
    let delays = backoff(whenDelayed);
    while (!signal.aborted) {
      await this.#look();
      const wanted = this.#wish.current;
      if (this.#wish.isDone || wanted.revision === 0 || this.#waits) {
        await this.#rest(signal);
        continue;
      }
      const ending = AbortSignal.any([signal, this.#wish.superseded]);
      try {
        const isDealtWith = await this.#follow(wanted, ending);
        if (!isDealtWith) continue;
        this.#wish.done(wanted);
        this.#trouble = undefined;
        delays = backoff(whenDelayed);
      } catch (error) {
        this.#leave();
        if (signal.aborted) return;
        if (hasDisposition(error, "crash")) throw error;
        if (ending.aborted) continue;
        const reason = describeError(error);
        this.#trouble = { kind: "delayed", reason: `revision ${wanted.revision} is not here yet: ${reason}` };
        this.#deps.log.warn(
          { event: "agent.bundle.delayed", revision: wanted.revision, reason },
          "the new configuration could not be fetched or kept, tried again",
        );
        await this.#deps.clock.sleep(askedToWaitMs(error) ?? delays.next().value, ending);
      }
    }
  }

  /** A process that is stopped as one should is no reason against what was on trial in it. What cannot be noted then counts as if it had not been stopped. */
  async stop(): Promise<void> {
    const { trial, good } = this.#state;
    const running = this.#running?.stored;
    try {
      if (trial && isSame(trial, running))
        await this.#noted.write({ ...this.#state, trial: { ...trial, starts: trial.starts - 1 } });
      // the next one is compared with more than the moments since the start
      else if (isSame(good, running)) await this.#noted.write({ ...this.#state, tallies: this.#inEffect.talliesSoFar() });
    } catch (error) {
      this.#deps.log.warn(
        { event: "agent.stop.unwritten", reason: describeError(error) },
        "that the gateway was stopped could not be noted with its configuration",
      );
    }
  }

  /** Until there is something to do, or to look at. */
  async #rest(signal: AbortSignal): Promise<void> {
    const watch = this.#watch;
    if (!watch && !this.#noted.isUnwritten) return this.#wake.wait(signal);
    const { clock } = this.#deps;
    const over = new AbortController();
    const ending = AbortSignal.any([signal, over.signal]);
    const ms = Math.min(lookMs, watch?.leftMs(clock.monotonic()) || lookMs);
    await Promise.race([clock.sleep(ms, ending), this.#wake.wait(ending)]);
    over.abort();
  }

  /** Writes what could not be written, and judges what is watched. */
  async #look(): Promise<void> {
    const { vitals, clock } = this.#deps;
    if (this.#noted.isUnwritten) await this.#noted.write();
    const watch = this.#watch;
    if (!watch) return;
    const verdict = watch.judge(vitals(), clock.monotonic());
    if (verdict.kind === "well") await this.#commit();
    if (verdict.kind === "unwell") await this.#rollBack(verdict.reason);
  }

  /** @returns false: central wants something else meanwhile, and nothing was changed */
  async #follow(wanted: DesiredRevision, signal: AbortSignal): Promise<boolean> {
    const { trial, good } = this.#state;
    const running = this.#running?.stored;
    // it runs: nothing is restarted, and no queue is touched
    if (running && isWanted(running, wanted) && (isSame(running, trial) || isSame(running, good))) {
      const current = isSame(running, trial) ? trial : undefined;
      await this.#noted.write({ ...this.#state, desired: wanted, trial: current, refused: undefined });
      return true;
    }
    this.#become({ kind: "fetching", wanted, watch: this.#watch });
    try {
      const jws = await this.#bundles.find(wanted, signal);
      if (jws === undefined || signal.aborted) return this.#leave(false);
      this.#become({ kind: "staging", wanted, watch: this.#watch });
      const staged = await this.#bundles.stage(wanted, jws);
      if (signal.aborted) return this.#leave(false);
      this.#become({ kind: "activating", wanted, watch: this.#watch });
      await this.#activate(wanted, staged);
    } catch (error) {
      if (!isRefusal(error)) throw error;
      await this.#refuse(wanted, describeError(error));
    }
    return this.#leave(true);
  }

  #become(mode: Mode): void {
    this.#mode = mode;
  }

  /** Nothing is under way any more; a trial that is in effect is watched on. */
  #leave<Result>(result?: Result): Result {
    const watch = this.#watch;
    this.#become(watch ? { kind: "watching", watch } : { kind: "idle" });
    return result as Result;
  }

  get #watch(): Watch | undefined {
    return "watch" in this.#mode ? this.#mode.watch : undefined;
  }

  /**
   * What the state says is in effect is so from the moment in which that is flushed, whatever becomes of the process: so it is written before.
   * @throws PlantgateError CONFIG_INVALID: the one before is in effect, and the state says so; what the disk throws: nothing was changed
   */
  async #activate(wanted: DesiredRevision, { stored, bundle }: Omit<Running, "begun">): Promise<void> {
    const before = this.#state;
    const { good } = before;
    const rest = { ...before, desired: wanted, refused: undefined };
    const isGood = isSame(stored, good);
    const next = isGood ? { ...rest, trial: undefined } : { ...rest, trial: this.#inEffect.trialOf(stored) };
    await this.#noted.note(next, before.trial);
    let running: Running;
    try {
      running = await this.#inEffect.apply(stored, bundle);
    } catch (error) {
      // the bundle before is in effect again
      if (!hasDisposition(error, "crash")) await this.#noted.write(before);
      throw error;
    }
    this.#become({ kind: "activating", wanted, watch: undefined });
    this.#deps.log.info(this.#fields("agent.bundle.applied"), "new configuration runs");
    if (isGood) return;
    if (isSame(stored, before.before)) return this.#commit();
    await this.#beginWatch(running);
  }

  async #beginWatch(running: Running): Promise<void> {
    const { trial, good } = this.#state;
    if (!trial) return;
    // with none to go back to, one that came into effect is not given up for what ends the process then, be it power cuts: a plant that runs at
    // times is better than none, and central can send another one meanwhile
    if (!good && trial.starts > 0) await this.#noted.write({ ...this.#state, trial: { ...trial, starts: 0 } });
    this.#become({ kind: "watching", watch: await this.#inEffect.watchOf(running, trial) });
  }

  /** What is on trial does well: the way back leads here from now on. */
  async #commit(): Promise<void> {
    const { trial, good } = this.#state;
    if (trial) await this.#noted.write({ ...this.#state, trial: undefined, good: toStored(trial), before: good, tallies: [] });
    this.#become({ kind: "idle" });
    this.#deps.log.info(this.#fields("agent.bundle.committed"), "the new configuration does well, it is the last good one now");
  }

  /** Not tried again until central wants something else: what was unwell would be so again. */
  async #rollBack(reason: string): Promise<void> {
    const { trial, good, before } = this.#state;
    this.#become({ kind: "rolling-back" });
    if (trial) await this.#giveBack(trial, reason);
    const reasons = await this.#inEffect.restoreFirstOf([good, before, trial], true);
    this.#become({ kind: "idle" });
    if (reasons.length > 0) this.#trouble = { kind: "unreadable", reason: shortened(reasons.join("; ")) };
    // a later wish was refused while this one was watched: it is judged anew, from what runs now
    if (!this.#isDealtWith(this.#wish.current)) this.#wish.reopen();
  }

  async #giveBack({ revision, digest }: Trial, why: string): Promise<void> {
    const reason = shortened(`revision ${revision} was rolled back: ${why}`);
    this.#deps.log.error(
      { event: "agent.bundle.rolledBack", revision, good: this.#state.good?.revision ?? 0, reason },
      rolledBack,
    );
    await this.#noted.write({ ...this.#state, trial: undefined, refused: { revision, digest, how: "rolled-back", reason } });
  }

  async #refuse(wanted: DesiredRevision, why: string): Promise<void> {
    const { revision, digest } = wanted;
    const reason = shortened(why);
    const desired = { revision, digest };
    const trial = isSame(this.#running?.stored, this.#state.trial) ? this.#state.trial : undefined;
    await this.#noted.write({ ...this.#state, desired, trial, refused: { revision, digest, how: "refused", reason } });
    this.#deps.log.error(
      { event: "agent.bundle.refused", revision, active: this.#running?.stored.revision ?? 0, reason },
      this.#running ? "the configuration was refused, the last good one goes on" : "the configuration was refused, and none runs",
    );
  }

  #fields(event: string): { event: string; revision: number; digest: string | undefined } {
    return { event, revision: this.#running?.stored.revision ?? 0, digest: this.#running?.stored.digest };
  }
}

const rolledBack =
  "the configuration does not do well: the last good one is put back, and it is not tried again until another is wanted";

/** It is the bundle's fault; anything else may be better the next time. */
function isRefusal(error: unknown): boolean {
  return hasDisposition(error, "reject") || (hasDisposition(error, "deny") && !isOfLink(error));
}

/** Central does not let us in now: that says nothing of the bundle. */
function isOfLink(error: unknown): boolean {
  return error instanceof PlantgateError && (error.code === "LINK_DENIED" || error.code === "LINK_FENCED");
}
