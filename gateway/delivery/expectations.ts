import {
  type Bundle,
  type Clock,
  describeDestination,
  type LocalDestination,
  type ToTopic,
  topicMatches,
} from "../../protocol/index.ts";
import type { AnswerSink } from "../flow/intake.ts";
import type { Mapping } from "../flow/mapping.ts";
import type { DeliveryState } from "../queue/change.ts";
import type { Logger } from "../telemetry/logger.ts";

/** What a receiver said about one delivery; resolves when that is flushed. */
export type Settle = (answer: { accepted: boolean; reason?: string }) => Promise<void>;

/** Which deliveries an answer may belong to. */
interface AnswerPlace {
  readonly connector: string;
  readonly flow: string;
  readonly target: string;
}

/** The delivery that expects one. */
export interface Expecting extends AnswerPlace {
  readonly id: number;
  readonly state: DeliveryState;
}

interface Asked {
  readonly flow: string;
  /** Its place in the flow's `to`, for this configuration. */
  readonly index: number;
  readonly target: string;
  readonly topic: string;
  readonly connectors: ReadonlySet<string>;
}

/** One delivery that waits; `taken`: an answer settles it just now; `unanswered`: how often it was sent without one. */
interface Waiting {
  readonly id: number;
  readonly withinMs: number;
  readonly settle: Settle;
  taken: boolean;
  unanswered: number;
}

/** Answers to a delivery that does not wait any more, which may still come. */
interface Owed {
  readonly id: number;
  readonly until: number;
  count: number;
}

/** An answer may be late by so many times the time that it has. */
const lateTimes = 3;
/** Values of which answers are owed, at most; past that the oldest are forgotten. */
const maxOwed = 10_000;

/**
 * Deliveries that wait for their receiver's own yes, found by the value that the answer carries. Of several that carry the same value each
 * answer settles one, in the order in which they were sent. A message that was sent more often than it was answered is owed an answer: the next
 * of that value is taken for it and settles no other message, which at worst is sent once more (ADR 0041).
 */
export class Expectations implements AnswerSink {
  readonly #mapping: Mapping;
  readonly #log: Logger;
  readonly #clock: Clock;
  readonly #waiting = new Map<string, Waiting[]>();
  readonly #owed = new Map<string, Owed[]>();
  #asked: readonly Asked[] = [];
  #ready: Promise<unknown> = Promise.resolve();

  constructor(mapping: Mapping, log: Logger, clock: Clock) {
    this.#mapping = mapping;
    this.#log = log;
    this.#clock = clock;
  }

  configure(bundle: Bundle): void {
    this.#asked = Object.entries(bundle.flows).flatMap(([flow, config]) =>
      config.to.flatMap((to, index) => {
        if (!asksForAnswer(to)) return [];
        const connectors = new Set(
          Object.entries(bundle.connectors).flatMap(([name, { group }]) =>
            name === to.connector || group === to.connector ? [name] : [],
          ),
        );
        return [{ flow, index, target: describeDestination(to), topic: to.accepted.topic, connectors }];
      }),
    );
  }

  /** Answers that come before the deliveries of the last run are known again have to wait for them. */
  readyAfter(loaded: Promise<unknown>): void {
    this.#ready = loaded;
  }

  /** A settle that throws stays expected: the answer is offered again. */
  expect(delivery: Expecting, value: string, withinMs: number, settle: Settle): void {
    this.forget(delivery, value);
    const key = keyOf(delivery, value);
    const { id, state } = delivery;
    const owed = this.#owedOf(key);
    const own = owed.find((each) => each.id === id)?.count ?? 0;
    this.#setOwed(
      key,
      owed.filter((each) => each.id !== id),
    );
    const unanswered = state === "sent" ? Math.max(1, own) : own;
    this.#waiting.set(key, [...(this.#waiting.get(key) ?? []), { id, withinMs, settle, taken: false, unanswered }]);
  }

  /** It is sent now; `-1`: it was not. */
  sent(delivery: Expecting, value: string, times: 1 | -1 = 1): void {
    const waiting = this.#waiting.get(keyOf(delivery, value))?.find(({ id }) => id === delivery.id);
    if (waiting) waiting.unanswered = Math.max(0, waiting.unanswered + times);
  }

  forget(delivery: Expecting, value: string): void {
    const key = keyOf(delivery, value);
    const waiting = this.#waiting.get(key) ?? [];
    const others = waiting.filter(({ id }) => id !== delivery.id);
    if (others.length > 0) this.#waiting.set(key, others);
    else this.#waiting.delete(key);
    for (const { id, unanswered, withinMs } of waiting) {
      if (id !== delivery.id || unanswered === 0) continue;
      const until = this.#clock.monotonic() + lateTimes * withinMs;
      this.#setOwed(key, [...this.#owedOf(key), { id, until, count: unanswered }]);
    }
  }

  expects(connector: string, topic: string): boolean {
    return this.#asked.some((asked) => asked.connectors.has(connector) && topicMatches(asked.topic, topic));
  }

  async take(connector: string, topic: string, body: Uint8Array): Promise<void> {
    await this.#ready;
    for (const { flow, index, target, topic: filter, connectors } of this.#asked) {
      if (!connectors.has(connector) || !topicMatches(filter, topic)) continue;
      const answer = await this.#mapping.answer(flow, index, body);
      if (answer.kind === "failed") {
        this.#log.warn(
          { event: "delivery.answer.notUnderstood", connector, topic, flow, reason: answer.reason },
          "a receiver's answer was not understood",
        );
        continue;
      }
      const { accepted, reason } = answer;
      await this.#settle(keyOf({ connector, flow, target }, answer.match), { accepted, reason });
    }
  }

  /** An answer that nobody waits for is a repeat of an earlier one; one that is being noted is waited for, and not noted twice. */
  async #settle(key: string, answer: Parameters<Settle>[0]): Promise<void> {
    if (this.#payOwed(key)) return;
    const waiting = this.#waiting.get(key) ?? [];
    const oldest = waiting.find(({ taken }) => !taken) ?? waiting.at(-1);
    if (!oldest) return;
    const first = !oldest.taken;
    oldest.taken = true;
    oldest.unanswered = Math.max(0, oldest.unanswered - 1);
    try {
      await oldest.settle(answer);
    } catch (error) {
      oldest.taken = false;
      if (first) oldest.unanswered += 1;
      throw error;
    }
  }

  /** Whether an earlier message is owed an answer of this value: then it was this one. */
  #payOwed(key: string): boolean {
    const [oldest, ...others] = this.#owedOf(key);
    if (!oldest) return false;
    oldest.count -= 1;
    this.#setOwed(key, oldest.count > 0 ? [oldest, ...others] : others);
    this.#log.info(
      { event: "delivery.answer.late", key },
      "a receiver's answer came late, and is taken for one to an earlier message",
    );
    return true;
  }

  #owedOf(key: string): readonly Owed[] {
    const now = this.#clock.monotonic();
    return (this.#owed.get(key) ?? []).filter(({ until }) => until > now);
  }

  #setOwed(key: string, owed: readonly Owed[]): void {
    this.#owed.delete(key);
    if (owed.length > 0) this.#owed.set(key, [...owed]);
    for (const oldest of this.#owed.keys()) {
      if (this.#owed.size <= maxOwed && this.#owedOf(oldest).length > 0) break;
      this.#owed.delete(oldest);
    }
  }
}

export function asksForAnswer(
  to: LocalDestination | { readonly [key: string]: unknown },
): to is ToTopic & { accepted: NonNullable<ToTopic["accepted"]> } {
  return "accepted" in to && to.accepted !== undefined;
}

function keyOf({ connector, flow, target }: AnswerPlace, value: string): string {
  return JSON.stringify([connector, flow, target, value]);
}
