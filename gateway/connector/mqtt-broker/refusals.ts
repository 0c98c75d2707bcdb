import type { Clock } from "../../../protocol/index.ts";
import type { Logger } from "../../telemetry/logger.ts";

const summaryMs = 30_000;
/** Sentences are a closed set; a bound all the same. */
const maxSentences = 100;

/** What clients did wrong, for the log: the first at once, then how many more, at most each 30 s a sentence. */
export class Refusals {
  readonly #clock: Clock;
  readonly #log: Logger;
  readonly #seen = new Map<string, { at: number; suppressed: number }>();

  constructor(clock: Clock, log: Logger) {
    this.#clock = clock;
    this.#log = log;
  }

  note(sentence: string, fields: Record<string, unknown>): void {
    const now = this.#clock.monotonic();
    const seen = this.#seen.get(sentence);
    if (seen && now - seen.at < summaryMs) {
      seen.suppressed += 1;
      return;
    }
    if (this.#seen.size >= maxSentences) this.#seen.clear();
    this.#seen.set(sentence, { at: now, suppressed: 0 });
    this.#log.warn({ event: "mqttBroker.client.refused", ...fields, moreBefore: seen?.suppressed ?? 0 }, sentence);
  }
}
