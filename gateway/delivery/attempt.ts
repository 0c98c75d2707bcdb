import { randomUUID } from "node:crypto";
import {
  type Bundle,
  type Clock,
  type CloudEvent,
  delayForAttempt,
  durationMs,
  type Effect,
  type ErrorCode,
  type LocalDestination,
  makeEvent,
  messageTypeOf,
  toInstant,
} from "../../protocol/index.ts";
import type { Connector, Outbound, Outcome } from "../connector/connector.ts";
import type { Mapping } from "../flow/mapping.ts";
import type { Delivery, NewMessage } from "../queue/change.ts";
import type { Queue } from "../queue/queue.ts";
import type { Logger } from "../telemetry/logger.ts";
import { findDestination } from "./destination.ts";
import { asksForAnswer, type Expectations } from "./expectations.ts";

export interface DeliveryDeps {
  readonly site: string;
  readonly queue: Queue;
  readonly mapping: Mapping;
  readonly expectations: Expectations;
  readonly clock: Clock;
  readonly log: Logger;
}

/** What one attempt leads to. `later`: to be tried again after `afterMs`. `awaits`: the receiver's answer, which wakes the runner. */
export type Step =
  | { readonly kind: "finished" }
  | { readonly kind: "later"; readonly afterMs: number }
  | { readonly kind: "awaits" };

const noReceiver: Outcome = { kind: "retry", reason: "this kind of connector takes no messages" };

/** How often a receiver is asked whether it has the effect, before a person has to decide. */
const verifyAttempts = 5;

/**
 * One attempt of one delivery. Towards a destination whose repeat is not harmless an intent is flushed before and the outcome
 * after; an intent without outcome is checked where the receiver can tell, else shown as unknown, holding its key (rule 8).
 */
export class Attempts {
  readonly #deps: DeliveryDeps;
  #bundle: Bundle | undefined;

  constructor(deps: DeliveryDeps) {
    this.#deps = deps;
  }

  configure(bundle: Bundle): void {
    this.#bundle = bundle;
  }

  async run(delivery: Delivery, connector: Connector, signal: AbortSignal, wakeUp: () => void): Promise<Step> {
    const event = JSON.parse(delivery.line) as CloudEvent;
    const found = findDestination(this.#bundle, delivery);
    if (!found)
      return this.#refuse(delivery, event, "DESTINATION_INVALID", "the configuration does not have this destination any more");
    const { to, index } = found;
    const rendered = await this.#deps.mapping.render(delivery.flow, index, event);
    if (rendered.kind === "failed") return this.#refuse(delivery, event, rendered.code, rendered.reason);
    const message: Outbound = { ...rendered, event, key: delivery.key, attempt: delivery.attempts + 1 };

    const sentBefore = delivery.state === "intent" || (delivery.state === "sent" && !asksForAnswer(to));
    if (sentBefore && to.effect !== "idempotent") {
      const known = await this.#checkIntent(delivery, message, to.effect, connector, signal);
      if (known) return known;
    }
    if (asksForAnswer(to)) return this.#sendAndAwait(delivery, message, { to, index }, connector, signal, wakeUp);
    if (to.effect !== "idempotent") await this.#update(delivery, "intent", delivery.attempts + 1, delivery.reason);
    const outcome = (await connector.deliver?.(message, signal)) ?? noReceiver;
    return this.#settle(delivery, message, to.effect, outcome, connector, signal);
  }

  /** Undefined: not done, try again. */
  async #checkIntent(
    delivery: Delivery,
    message: Outbound,
    effect: Effect,
    connector: Connector,
    signal: AbortSignal,
  ): Promise<Step | undefined> {
    const doubt = "it was being sent when the gateway or the link stopped, and nobody can tell whether it arrived";
    if (effect === "once" || !connector.verify) return this.#park(delivery, message.event, doubt);
    const verdict = await connector.verify(message, signal);
    if (signal.aborted) return { kind: "finished" };
    if (verdict.kind === "done")
      return this.#complete(delivery, message.event, "delivered", verdict.detail ?? "found at the receiver");
    if (verdict.kind === "not-done") return undefined;
    const attempts = delivery.attempts + 1;
    if (attempts > verifyAttempts) return this.#park(delivery, message.event, `${doubt}: ${verdict.reason}`);
    await this.#update(delivery, "intent", attempts, verdict.reason);
    return later(attempts);
  }

  async #settle(
    delivery: Delivery,
    message: Outbound,
    effect: Effect,
    outcome: Outcome,
    connector: Connector,
    signal: AbortSignal,
  ): Promise<Step> {
    const attempts = delivery.attempts + 1;
    switch (outcome.kind) {
      case "done":
        return this.#complete(delivery, message.event, "delivered", outcome.detail);
      case "refused":
        return this.#refuse(delivery, message.event, "PEER_REFUSED", outcome.reason);
      case "retry":
        await this.#update(delivery, "waiting", attempts, outcome.reason);
        return outcome.afterMs === undefined ? later(attempts) : { kind: "later", afterMs: outcome.afterMs };
      case "unknown":
        if (effect === "idempotent") {
          await this.#update(delivery, "waiting", attempts, outcome.reason);
          return later(attempts);
        }
        await this.#update(delivery, "intent", attempts, outcome.reason);
        // stopping: the next run begins with the check
        if (signal.aborted) return { kind: "finished" };
        return (
          (await this.#checkIntent({ ...delivery, state: "intent", attempts }, message, effect, connector, signal)) ??
          later(attempts)
        );
    }
  }

  /** The receiver's yes may come before the transport's acknowledgement, so it is expected before anything is sent. */
  async #sendAndAwait(
    delivery: Delivery,
    message: Outbound,
    { to, index }: { to: LocalDestination & { accepted: { within: string } }; index: number },
    connector: Connector,
    signal: AbortSignal,
    wakeUp: () => void,
  ): Promise<Step> {
    const { expectations, mapping, clock } = this.#deps;
    const value = await mapping.expected(delivery.flow, index, message.event);
    let over = false;
    let settling: Promise<unknown> | undefined;
    const end = (): void => {
      over = true;
      expectations.forget(delivery, value);
    };
    expectations.expect(delivery, value, async ({ accepted, reason = "the receiver refused it without a reason" }) => {
      if (over) return;
      settling ??= accepted
        ? this.#complete(delivery, message.event, "accepted")
        : this.#refuse(delivery, message.event, "PEER_REFUSED", reason);
      try {
        await settling;
      } catch (error) {
        settling = undefined;
        throw error;
      }
      end();
      wakeUp();
    });
    const answered = async (): Promise<boolean> => {
      await settling?.catch(() => {});
      return over;
    };
    const deadline = clock.monotonic() + durationMs(to.accepted.within);
    if (delivery.state !== "sent") {
      if (to.effect !== "idempotent") await this.#update(delivery, "intent", delivery.attempts + 1, delivery.reason);
      const outcome = (await connector.deliver?.(message, signal)) ?? noReceiver;
      if (await answered()) return { kind: "finished" };
      if (outcome.kind !== "done") {
        end();
        return this.#settle(delivery, message, to.effect, outcome, connector, signal);
      }
      await this.#update(delivery, "sent", delivery.attempts + 1, null);
      if (await answered()) return { kind: "finished" };
    }
    const expire = async (): Promise<void> => {
      await clock.sleep(deadline - clock.monotonic(), signal);
      if (signal.aborted || (await answered())) return;
      end();
      const reason = `the receiver did not answer within ${to.accepted.within}`;
      const { flow, connector: name } = delivery;
      this.#deps.log.warn(
        { event: "delivery.answer.missed", flow, connector: name, messageId: message.event.id, reason },
        "delivery is tried again",
      );
      await this.#update(delivery, to.effect === "idempotent" ? "waiting" : "intent", delivery.attempts + 1, reason);
    };
    // where the disk is full the row stays `sent`, and the next attempt awaits the answer again
    void expire()
      .catch((err: unknown) =>
        this.#deps.log.warn({ event: "delivery.expiry.notWritten", err }, "an unanswered delivery could not be noted"),
      )
      .finally(() => over && wakeUp());
    return { kind: "awaits" };
  }

  async #complete(delivery: Delivery, event: CloudEvent, outcome: "delivered" | "accepted", detail?: string): Promise<Step> {
    await this.#deps.queue.commit({
      doneDeliveries: [delivery.id],
      messages: [this.#outcomeMessage(delivery, event, outcome, detail)],
    });
    this.#deps.log.debug(
      { event: "delivery.message.delivered", flow: delivery.flow, connector: delivery.connector, messageId: event.id, outcome },
      "message delivered",
    );
    return { kind: "finished" };
  }

  async #refuse(delivery: Delivery, event: CloudEvent, code: ErrorCode, reason: string): Promise<Step> {
    const { queue, clock, log } = this.#deps;
    const letter = {
      id: randomUUID(),
      at: clock.now(),
      direction: "out",
      connector: delivery.connector,
      flow: delivery.flow,
      place: delivery.target,
      code,
      reason,
      body: Buffer.from(delivery.line),
      attempts: delivery.attempts + 1,
    } as const;
    await queue.commit({
      doneDeliveries: [delivery.id],
      deadLetters: [letter],
      messages: [this.#outcomeMessage(delivery, event, "refused", reason)],
    });
    log.warn(
      {
        event: "delivery.message.deadLettered",
        flow: delivery.flow,
        connector: delivery.connector,
        messageId: event.id,
        code,
        reason,
        id: letter.id,
      },
      "message cannot be delivered, kept as a dead letter",
    );
    return { kind: "finished" };
  }

  async #park(delivery: Delivery, event: CloudEvent, reason: string): Promise<Step> {
    await this.#deps.queue.commit({
      deliveryUpdates: [{ id: delivery.id, state: "unknown", attempts: delivery.attempts, reason }],
      messages: [this.#outcomeMessage(delivery, event, "unknown", reason)],
    });
    this.#deps.log.error(
      {
        event: "delivery.outcome.unknown",
        flow: delivery.flow,
        connector: delivery.connector,
        messageId: event.id,
        key: delivery.key,
        reason,
      },
      "a person has to decide whether this message arrived; its key is held",
    );
    return { kind: "finished" };
  }

  async #update(delivery: Delivery, state: Delivery["state"], attempts: number, reason: string | null): Promise<void> {
    await this.#deps.queue.commit({ deliveryUpdates: [{ id: delivery.id, state, attempts, reason }] });
  }

  #outcomeMessage(delivery: Delivery, event: CloudEvent, outcome: string, detail?: string): NewMessage {
    const now = this.#deps.clock.now();
    const data = {
      messageId: event.id,
      messageType: event.type,
      connector: delivery.connector,
      destination: delivery.target,
      outcome,
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

function later(attempts: number): Step {
  return { kind: "later", afterMs: delayForAttempt(attempts, { baseMs: 500, capMs: 30_000 }) };
}
