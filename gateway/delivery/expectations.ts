import { type Bundle, type LocalDestination, type ToTopic, topicMatches } from "../../protocol/index.ts";
import type { AnswerSink } from "../flow/intake.ts";
import type { Mapping } from "../flow/mapping.ts";
import type { Logger } from "../telemetry/logger.ts";
import { describeDestination } from "./destination.ts";

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
}

interface Asked {
  readonly flow: string;
  /** Its place in the flow's `to`, for this configuration. */
  readonly index: number;
  readonly target: string;
  readonly topic: string;
  readonly connectors: ReadonlySet<string>;
}

/** One delivery that waits; `taken`: an answer settles it just now. */
interface Waiting {
  readonly id: number;
  readonly settle: Settle;
  taken: boolean;
}

/**
 * Deliveries that wait for their receiver's own yes, found by the value that the answer carries. Of several that carry the same value each
 * answer settles one, in the order in which they were sent.
 */
export class Expectations implements AnswerSink {
  readonly #mapping: Mapping;
  readonly #log: Logger;
  readonly #waiting = new Map<string, Waiting[]>();
  #asked: readonly Asked[] = [];
  #ready: Promise<unknown> = Promise.resolve();

  constructor(mapping: Mapping, log: Logger) {
    this.#mapping = mapping;
    this.#log = log;
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
  expect(delivery: Expecting, value: string, settle: Settle): void {
    this.forget(delivery, value);
    const key = keyOf(delivery, value);
    this.#waiting.set(key, [...(this.#waiting.get(key) ?? []), { id: delivery.id, settle, taken: false }]);
  }

  forget(delivery: Expecting, value: string): void {
    const key = keyOf(delivery, value);
    const others = (this.#waiting.get(key) ?? []).filter(({ id }) => id !== delivery.id);
    if (others.length > 0) this.#waiting.set(key, others);
    else this.#waiting.delete(key);
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
      await this.#settle(this.#waiting.get(keyOf({ connector, flow, target }, answer.match)) ?? [], { accepted, reason });
    }
  }

  /** An answer that nobody waits for is a repeat of an earlier one; one that is being noted is waited for, and not noted twice. */
  async #settle(waiting: readonly Waiting[], answer: Parameters<Settle>[0]): Promise<void> {
    const oldest = waiting.find(({ taken }) => !taken) ?? waiting.at(-1);
    if (!oldest) return;
    oldest.taken = true;
    try {
      await oldest.settle(answer);
    } catch (error) {
      oldest.taken = false;
      throw error;
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
