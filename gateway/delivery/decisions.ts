import { randomUUID } from "node:crypto";
import { z } from "zod";
import { type CloudEvent, PlantgateError } from "../../protocol/index.ts";
import type { Change, Delivery, DeliveryState } from "../queue/change.ts";
import type { Queue } from "../queue/queue.ts";
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

export interface DecisionsDeps extends OutcomesDeps {
  readonly queue: Queue;
  readonly ring: (connectors: ReadonlySet<string>) => void;
}

const undecided: readonly DeliveryState[] = ["unknown", "parked"];

/** Carries out what a person decided; the key's later messages go on behind it. */
export class Decisions {
  readonly #deps: DecisionsDeps;

  constructor(deps: DecisionsDeps) {
    this.#deps = deps;
  }

  async decide(id: number, said: Decision): Promise<DecisionOutcome> {
    const { queue, log, ring } = this.#deps;
    const delivery = await queue.delivery(id);
    if (!delivery) return { kind: "unknown" };
    if (!undecided.includes(delivery.state)) return { kind: "not-undecided", state: delivery.state };
    try {
      await this.#carryOut(delivery, said);
    } catch (error) {
      // another decision, or the receiver's late answer, was written in between
      if (error instanceof PlantgateError && error.code === "DELIVERY_DECIDED")
        return { kind: "not-undecided", state: (await queue.delivery(id))?.state ?? "decided already" };
      throw error;
    }
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
    // of two who decide at once, one does: it is looked at in the transaction that writes it
    const provided = { delivery: delivery.id, states: undecided };
    const commit = (change: Change) => this.#deps.queue.commit({ ...change, provided });
    const outcomes = new Outcomes({ ...this.#deps, queue: { commit } });
    // what cannot be read can only be let go of
    if (delivery.line === "") return this.#letGo(delivery, why, commit);
    const event = JSON.parse(delivery.line) as CloudEvent;
    switch (what) {
      case "retry":
        return outcomes.note(delivery, "waiting", { attempts: delivery.attempts, failures: 0 }, why);
      case "done":
        return outcomes.complete(delivery, event, "delivered", { detail: `said by ${why}` });
      case "discard":
        return outcomes.refuse(delivery, event, "DISCARDED", `discarded by ${why}`);
    }
  }

  async #letGo(delivery: Delivery, why: string, commit: Queue["commit"]): Promise<void> {
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
    await commit({ doneDeliveries: [id], deadLetters: [letter], control: true });
  }
}
