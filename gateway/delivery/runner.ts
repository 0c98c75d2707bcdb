import { type Clock, describeError } from "../../protocol/index.ts";
import type { Delivery } from "../queue/change.ts";
import type { Queue } from "../queue/queue.ts";
import type { Logger } from "../telemetry/logger.ts";
import type { Attempts } from "./attempt.ts";
import { Wake } from "./wake.ts";
import { isUp, type Receiver } from "./way.ts";

/** Deliveries of one connector that are under way at once; never two of one key. */
const concurrency = 16;
/** With those that await their receiver's own answer: each is held in memory. */
const maxOpen = 1000;
/** Keys looked at in one turn. */
const headLimit = 500;
/** How often a connector that is away is looked at. */
const awayMs = 500;
/** How often one delivery is tried all the same: some receivers are known to be back only by that. */
const probeMs = 5000;
/** Before a delivery, or the whole turn, that failed inside the gateway is tried again. */
const failedMs = 5000;

export interface RunnerDeps {
  readonly connector: Receiver;
  readonly name: string;
  readonly queue: Queue;
  readonly attempts: Attempts;
  readonly clock: Clock;
  readonly log: Logger;
}

/**
 * The deliveries of one connector: the first of each key may be tried, later ones of the key wait behind it (P4). Times between
 * attempts are running time, kept in memory: after a restart everything is due at once.
 */
export class Runner {
  readonly #deps: RunnerDeps;
  readonly #wake = new Wake();
  /** Under way, or awaiting their receiver's answer. */
  readonly #active = new Set<number>();
  readonly #awaiting = new Set<number>();
  /** When each that waits out a delay is due; `outage`: it waits for its receiver's return alone. */
  readonly #due = new Map<number, { readonly at: number; readonly outage: boolean }>();
  /** Those that were tried in this absence: a return is found by others before they are tried once more. */
  readonly #probed = new Set<number>();
  readonly #underWay = new Set<Promise<void>>();
  readonly #stopping = new AbortController();
  #loaded: Promise<void> | undefined;
  #loop: Promise<void> | undefined;
  #probeAt = 0;
  #wasAway = true;

  constructor(deps: RunnerDeps) {
    this.#deps = deps;
  }

  ring(): void {
    this.#wake.ring();
  }

  /** Resolves when deliveries that await their receiver's answer since the last run are expected again. */
  async load(): Promise<void> {
    this.#loaded ??= this.#resumeSent();
    await this.#loaded;
  }

  start(): void {
    this.#loop ??= this.#run(this.#stopping.signal);
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#loop;
  }

  async #resumeSent(): Promise<void> {
    const sent = await this.#deps.queue.sentDeliveries(this.#deps.name);
    await Promise.all(sent.map((delivery) => this.#attempt(delivery)));
  }

  async #run(signal: AbortSignal): Promise<void> {
    const { clock, log, name } = this.#deps;
    this.#probeAt = clock.monotonic() + probeMs;
    while (!signal.aborted) {
      try {
        await this.#turn(signal);
      } catch (err) {
        if (signal.aborted) break;
        log.error(
          { event: "delivery.turn.failed", connector: name, err, reason: describeError(err) },
          "deliveries of a connector could not be looked at",
        );
        await clock.sleep(failedMs, signal);
      }
    }
    await Promise.allSettled(this.#underWay);
  }

  /** Starts what may be tried now, and waits until something else may be. */
  async #turn(signal: AbortSignal): Promise<void> {
    const { connector, clock } = this.#deps;
    const away = !isUp(connector);
    if (away && clock.monotonic() < this.#probeAt) {
      this.#wasAway = true;
      // what is under way may show that it is back
      return this.#wake.wait(signal, awayMs);
    }
    if (!away && this.#wasAway) this.#returned();
    this.#wasAway = away;
    this.#probeAt = clock.monotonic() + probeMs;
    const now = clock.monotonic();
    const later = [...this.#due].filter(([, { at }]) => at > now);
    // those that cannot start now leave their places in the look to others
    const skipped = [...later.map(([id]) => id), ...this.#active];
    for (const head of await this.#heads(skipped)) {
      if (this.#active.size - this.#awaiting.size >= (away ? 1 : concurrency) || this.#active.size >= maxOpen) break;
      if (this.#active.has(head.id)) continue;
      if (away) this.#probed.add(head.id);
      const attempt = this.#attempt(head).finally(() => this.#underWay.delete(attempt));
      this.#underWay.add(attempt);
    }
    const nextDue = Math.min(...later.map(([, { at }]) => at));
    // while something waits out a delay, the receiver may come and go: that is looked at as well
    await this.#wake.wait(signal, Number.isFinite(nextDue) ? Math.max(1, Math.min(nextDue - now, awayMs)) : undefined);
  }

  /** The receiver is back: what waits out a delay of its absence is due. What failed while others got through waits on. */
  #returned(): void {
    this.#probed.clear();
    for (const [id, { outage }] of this.#due) if (outage) this.#due.delete(id);
  }

  async #heads(skipped: readonly number[]): Promise<readonly Delivery[]> {
    const { queue, name } = this.#deps;
    if (this.#probed.size >= headLimit) this.#probed.clear();
    const heads = await queue.deliveryHeads(name, headLimit, [...skipped, ...this.#probed]);
    if (heads.length > 0 || this.#probed.size === 0) return heads;
    this.#probed.clear();
    return queue.deliveryHeads(name, headLimit, skipped);
  }

  async #attempt(head: Delivery): Promise<void> {
    this.#active.add(head.id);
    const release = (): void => {
      this.#active.delete(head.id);
      this.#awaiting.delete(head.id);
      this.#wake.ring();
    };
    try {
      const step = await this.#deps.attempts.run(head, this.#deps.connector, this.#stopping.signal, release);
      if (step.kind === "awaits") {
        // answered already where it is released by now
        if (this.#active.has(head.id)) this.#awaiting.add(head.id);
        return this.#wake.ring();
      }
      if (step.kind === "later") this.#due.set(head.id, { at: this.#deps.clock.monotonic() + step.afterMs, outage: step.outage });
      else this.#due.delete(head.id);
      release();
    } catch (err) {
      if (this.#stopping.signal.aborted) return;
      this.#deps.log.error(
        { event: "delivery.attempt.failed", connector: this.#deps.name, messageFlow: head.flow, err },
        "an attempt to deliver failed inside the gateway",
      );
      this.#due.set(head.id, { at: this.#deps.clock.monotonic() + failedMs, outage: false });
      release();
    }
  }
}
