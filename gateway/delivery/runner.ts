import type { Clock } from "../../protocol/index.ts";
import type { Connector } from "../connector/connector.ts";
import type { Delivery } from "../queue/change.ts";
import type { Queue } from "../queue/queue.ts";
import type { Logger } from "../telemetry/logger.ts";
import type { Attempts } from "./attempt.ts";
import { Wake } from "./wake.ts";

/** Deliveries of one connector that are under way at once; never two of one key. */
const concurrency = 16;
/** Keys looked at in one turn. */
const headLimit = 500;
/** How often a connector that is away is looked at. */
const awayMs = 500;
/** How often one delivery is tried all the same: some receivers are known to be back only by that. */
const probeMs = 5000;

export interface RunnerDeps {
  readonly connector: Connector;
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
  readonly #active = new Set<number>();
  readonly #dueAt = new Map<number, number>();
  readonly #stopping = new AbortController();
  #loaded: Promise<void> | undefined;
  #loop: Promise<void> | undefined;

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
    const { queue, name, connector, clock } = this.#deps;
    const underWay = new Set<Promise<void>>();
    let probeAt = clock.monotonic() + probeMs;
    let wasAway = true;
    while (!signal.aborted) {
      const { state } = connector.report();
      const away = state !== "up" && state !== "degraded";
      if (away && clock.monotonic() < probeAt) {
        wasAway = true;
        await clock.sleep(awayMs, signal);
        continue;
      }
      // it is back: what waits out a delay of its absence is due
      if (!away && wasAway) this.#dueAt.clear();
      wasAway = away;
      probeAt = clock.monotonic() + probeMs;
      const heads = await queue.deliveryHeads(name, headLimit);
      const now = clock.monotonic();
      let nextDue = Number.POSITIVE_INFINITY;
      for (const head of heads) {
        if (this.#active.size >= (away ? 1 : concurrency) + this.#waitingCount(heads)) break;
        if (this.#active.has(head.id)) continue;
        const due = this.#dueAt.get(head.id) ?? 0;
        if (due > now) {
          nextDue = Math.min(nextDue, due);
          continue;
        }
        const attempt = this.#attempt(head).finally(() => underWay.delete(attempt));
        underWay.add(attempt);
      }
      await this.#wake.wait(signal, Number.isFinite(nextDue) ? Math.max(1, nextDue - now) : undefined);
    }
    await Promise.allSettled(underWay);
  }

  /** Deliveries that only wait for an answer do not use up the concurrency. */
  #waitingCount(heads: readonly Delivery[]): number {
    return heads.reduce((count, head) => count + (head.state === "sent" && this.#active.has(head.id) ? 1 : 0), 0);
  }

  async #attempt(head: Delivery): Promise<void> {
    this.#active.add(head.id);
    const release = (): void => {
      this.#active.delete(head.id);
      this.#wake.ring();
    };
    try {
      const step = await this.#deps.attempts.run(head, this.#deps.connector, this.#stopping.signal, release);
      if (step.kind === "awaits") return this.#wake.ring();
      if (step.kind === "later") this.#dueAt.set(head.id, this.#deps.clock.monotonic() + step.afterMs);
      else this.#dueAt.delete(head.id);
      release();
    } catch (err) {
      if (this.#stopping.signal.aborted) return;
      this.#deps.log.error(
        { event: "delivery.attempt.failed", connector: this.#deps.name, messageFlow: head.flow, err },
        "an attempt to deliver failed inside the gateway",
      );
      this.#dueAt.set(head.id, this.#deps.clock.monotonic() + 5000);
      release();
    }
  }
}
