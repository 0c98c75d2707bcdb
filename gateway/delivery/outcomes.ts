import { randomUUID } from "node:crypto";
import { type Clock, type CloudEvent, type ErrorCode, makeEvent, messageTypeOf, toInstant } from "../../protocol/index.ts";
import { Tallies, type Tally } from "../flow/tallies.ts";
import type { Delivery, DeliveryState, NewMessage } from "../queue/change.ts";
import type { Queue } from "../queue/queue.ts";
import type { Logger } from "../telemetry/logger.ts";

export interface OutcomesDeps {
  readonly site: string;
  readonly queue: Pick<Queue, "commit">;
  readonly clock: Clock;
  readonly log: Logger;
}

interface Said {
  readonly detail?: string;
  readonly supersededBy?: string;
}

/**
 * Writes how deliveries end: the row goes, and the message that tells central of it is recorded, in one transaction. A full disk's
 * reserve pays for it, so that what was done is never forgotten for want of room.
 */
export class Outcomes {
  readonly #deps: OutcomesDeps;
  readonly #tallies = new Tallies();

  constructor(deps: OutcomesDeps) {
    this.#deps = deps;
  }

  /** How the deliveries of each flow ended, but for those that came too late or have no destination any more. */
  get tallies(): readonly Tally[] {
    return this.#tallies.all;
  }

  async complete(
    delivery: Delivery,
    event: CloudEvent,
    outcome: "delivered" | "accepted" | "superseded",
    said: Said = {},
  ): Promise<void> {
    await this.#deps.queue.commit({
      doneDeliveries: [delivery.id],
      messages: [this.#message(delivery, event, outcome, said)],
      control: true,
    });
    this.#tallies.add(`out ${delivery.flow}`, 1, 0);
    this.#deps.log.debug({ event: "delivery.message.delivered", ...fields(delivery, event), outcome }, "message delivered");
  }

  /** It cannot succeed any more: kept as a dead letter with its reason. `isMeant`: as the configuration says, and nobody's failure. */
  async refuse(delivery: Delivery, event: CloudEvent, code: ErrorCode, reason: string, isMeant = false): Promise<void> {
    const letter = {
      id: randomUUID(),
      at: this.#deps.clock.now(),
      direction: "out",
      connector: delivery.connector,
      flow: delivery.flow,
      place: delivery.target,
      code,
      reason,
      body: Buffer.from(delivery.line),
      attempts: delivery.attempts + 1,
      type: event.type,
      key: event.partitionkey,
    } as const;
    await this.#deps.queue.commit({
      doneDeliveries: [delivery.id],
      deadLetters: [letter],
      messages: [this.#message(delivery, event, code === "EXPIRED" ? "expired" : "refused", { detail: reason })],
      control: true,
    });
    if (code !== "EXPIRED" && !isMeant) this.#tallies.add(`out ${delivery.flow}`, 0, 1);
    this.#deps.log.warn(
      { event: "delivery.message.deadLettered", ...fields(delivery, event), code, reason, id: letter.id },
      "message cannot be delivered, kept as a dead letter",
    );
  }

  /** A person has to decide; the key is held (rule 9). */
  async hold(delivery: Delivery, event: CloudEvent, state: "unknown" | "parked", reason: string): Promise<void> {
    const { id, attempts, failures } = delivery;
    await this.#deps.queue.commit({
      deliveryUpdates: [{ id, state, attempts, failures, reason }],
      messages: [this.#message(delivery, event, state, { detail: reason })],
      control: true,
    });
    this.#deps.log.error(
      {
        event: state === "unknown" ? "delivery.outcome.unknown" : "delivery.message.parked",
        ...fields(delivery, event),
        key: delivery.key,
        reason,
      },
      state === "unknown"
        ? "a person has to decide whether this message arrived; its key is held"
        : "the attempts of this message are used up, a person has to decide; its key is held",
    );
  }

  async note(
    { id }: Delivery,
    state: DeliveryState,
    { attempts, failures }: { readonly attempts: number; readonly failures: number },
    reason: string | null,
  ): Promise<void> {
    await this.#deps.queue.commit({ deliveryUpdates: [{ id, state, attempts, failures, reason }], control: true });
  }

  #message(delivery: Delivery, event: CloudEvent, outcome: string, { detail, supersededBy }: Said): NewMessage {
    const now = this.#deps.clock.now();
    const data = {
      messageId: event.id,
      messageType: event.type,
      connector: delivery.connector,
      destination: delivery.target,
      outcome,
      ...(supersededBy === undefined ? {} : { supersededBy }),
      attempts: delivery.attempts + 1,
      startedAt: toInstant(delivery.createdAt),
      completedAt: toInstant(now),
      detail: detail?.slice(0, 1000),
      orders: [...(messageTypeOf(event.type).orders?.(event.data) ?? [])],
    };
    const made = makeEvent("delivery.completed", data, {
      id: randomUUID(),
      site: this.#deps.site,
      connector: delivery.connector,
      recordedAt: now,
      causationId: event.id,
    });
    return { lane: "transaction", line: JSON.stringify(made) };
  }
}

function fields(delivery: Delivery, event: CloudEvent): { flow: string; connector: string; messageId: string } {
  return { flow: delivery.flow, connector: delivery.connector, messageId: event.id };
}
