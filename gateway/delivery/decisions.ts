import { randomUUID } from "node:crypto";
import { z } from "zod";
import type { CloudEvent } from "../../protocol/index.ts";
import type { Delivery } from "../queue/change.ts";
import { Outcomes, type OutcomesDeps } from "./outcomes.ts";

/** What a person says of a delivery that waits for a decision (rules 8 and 9). */
export const decision = z.strictObject({
  /** `retry`: send it, it did not arrive. `done`: it arrived. `discard`: it is not to arrive any more. */
  decision: z.enum(["retry", "done", "discard"]),
  /** Who decided, and why: recorded with the outcome. */
  by: z.string().min(1).max(128),
  reason: z.string().min(1).max(500),
});
export type Decision = z.infer<typeof decision>;

export type DecisionOutcome =
  | { readonly kind: "decided" }
  | { readonly kind: "unknown" }
  | { readonly kind: "not-undecided"; readonly state: string };

/** Carries out what a person decided; the key's later messages go on behind it. */
export class Decisions {
  readonly #deps: OutcomesDeps & { readonly ring: (connectors: ReadonlySet<string>) => void };
  readonly #outcomes: Outcomes;

  constructor(deps: OutcomesDeps & { readonly ring: (connectors: ReadonlySet<string>) => void }) {
    this.#deps = deps;
    this.#outcomes = new Outcomes(deps);
  }

  async decide(id: number, said: Decision): Promise<DecisionOutcome> {
    const { queue, log, ring } = this.#deps;
    const delivery = await queue.delivery(id);
    if (!delivery) return { kind: "unknown" };
    if (delivery.state !== "unknown" && delivery.state !== "parked") return { kind: "not-undecided", state: delivery.state };
    await this.#carryOut(delivery, said);
    log.info(
      {
        event: "delivery.decision.taken",
        id,
        connector: delivery.connector,
        flow: delivery.flow,
        messageId: delivery.messageId,
        ...said,
      },
      "a person decided about a delivery",
    );
    ring(new Set([delivery.connector]));
    return { kind: "decided" };
  }

  async #carryOut(delivery: Delivery, { decision: what, by, reason }: Decision): Promise<void> {
    const why = `${by}: ${reason}`;
    // what cannot be read can only be let go of
    if (delivery.line === "") return this.#letGo(delivery, why);
    const event = JSON.parse(delivery.line) as CloudEvent;
    switch (what) {
      case "retry":
        return this.#outcomes.note(delivery, "waiting", { attempts: delivery.attempts, failures: 0 }, why);
      case "done":
        return this.#outcomes.complete(delivery, event, "delivered", { detail: `said by ${why}` });
      case "discard":
        return this.#outcomes.refuse(delivery, event, "DISCARDED", `discarded by ${why}`);
    }
  }

  async #letGo(delivery: Delivery, why: string): Promise<void> {
    const { connector, flow, target, id, attempts } = delivery;
    const letter = {
      id: randomUUID(),
      at: this.#deps.clock.now(),
      direction: "out",
      connector,
      flow,
      place: target,
      code: "DISCARDED",
      reason: `it could not be read, and was let go of by ${why}`,
      body: new Uint8Array(),
      attempts,
    } as const;
    await this.#deps.queue.commit({ doneDeliveries: [id], deadLetters: [letter], control: true });
  }
}
