import type { Exchange } from "./peer.ts";

/** What deliveries alone say of a peer that nothing else asks. `unclear`: the peer, or the one message that it does not answer. */
export type Reach = "answers" | "unclear" | "away";

/**
 * Judges a peer by its exchanges. A request that it could not even be sent says that it is away. One that was sent and not answered may
 * itself be what breaks the peer: only when a second key is not answered either, and none in between, is it the peer.
 */
export class ReachByKeys {
  readonly #unanswered = new Set<string>();

  judge(exchange: Exchange, key: string): Reach {
    if (exchange.kind === "answer") {
      this.#unanswered.clear();
      return "answers";
    }
    if (!exchange.sent) return "away";
    // two are enough to know; keys of a long outage are not gathered
    if (this.#unanswered.size < 2) this.#unanswered.add(key);
    return this.#unanswered.size > 1 ? "away" : "unclear";
  }
}
