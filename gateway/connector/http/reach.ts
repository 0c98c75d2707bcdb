import type { Exchange } from "./peer.ts";
import { denialOf } from "./post.ts";

/** What deliveries alone say of a peer that nothing else asks. `unclear`: the peer, or the one message that it does not answer. */
export type Reach = "answers" | "unclear" | "away";

/**
 * Judges a peer by its exchanges. A request that it could not even be sent, or whose token it does not take, says that it is away. One that was sent and
 * not answered, or forbidden, may itself be the reason: only when a second key fares no better, and none in between, is it the peer.
 */
export class ReachByKeys {
  readonly #unanswered = new Set<string>();

  judge(exchange: Exchange, key: string): Reach {
    const denial = denialOf(exchange);
    if (exchange.kind === "answer" && !denial) {
      this.#unanswered.clear();
      return "answers";
    }
    if (denial === "peer" || (exchange.kind === "failed" && !exchange.sent)) return "away";
    // two are enough to know; keys of a long outage are not gathered
    if (this.#unanswered.size < 2) this.#unanswered.add(key);
    return this.#unanswered.size > 1 ? "away" : "unclear";
  }
}
