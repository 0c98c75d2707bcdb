import { type Bundle, type LocalDestination, type ToTopic, topicMatches } from "../../protocol/index.ts";
import type { AnswerSink } from "../flow/intake.ts";
import type { Mapping } from "../flow/mapping.ts";
import type { Logger } from "../telemetry/logger.ts";
import { describeDestination } from "./destination.ts";

/** What a receiver said about one delivery; resolves when that is flushed. */
export type Settle = (answer: { accepted: boolean; reason?: string }) => Promise<void>;

/** Which deliveries an answer may belong to. */
export interface AnswerPlace {
  readonly connector: string;
  readonly flow: string;
  readonly target: string;
}

interface Asked {
  readonly flow: string;
  /** Its place in the flow's `to`, for this configuration. */
  readonly index: number;
  readonly target: string;
  readonly topic: string;
  readonly connectors: ReadonlySet<string>;
}

/** Deliveries that wait for their receiver's own yes, found by the value that the answer carries. */
export class Expectations implements AnswerSink {
  readonly #mapping: Mapping;
  readonly #log: Logger;
  readonly #waiting = new Map<string, Settle>();
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
  expect(place: AnswerPlace, value: string, settle: Settle): void {
    this.#waiting.set(keyOf(place, value), settle);
  }

  forget(place: AnswerPlace, value: string): void {
    this.#waiting.delete(keyOf(place, value));
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
      // an answer that nobody waits for is a repeat of an earlier one
      await this.#waiting.get(keyOf({ connector, flow, target }, answer.match))?.({
        accepted: answer.accepted,
        reason: answer.reason,
      });
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
