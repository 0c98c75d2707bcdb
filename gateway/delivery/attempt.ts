import {
  type Bundle,
  type Clock,
  type CloudEvent,
  delayForAttempt,
  durationMs,
  type FlowConfig,
  findMessageType,
  type LocalDestination,
  PlantgateError,
} from "../../protocol/index.ts";
import type { Connector, Outbound, Outcome } from "../connector/connector.ts";
import type { Mapping } from "../flow/mapping.ts";
import type { Delivery } from "../queue/change.ts";
import type { Queue } from "../queue/queue.ts";
import type { Logger } from "../telemetry/logger.ts";
import { judgeDeadline } from "./deadline.ts";
import { findDestination } from "./destination.ts";
import { asksForAnswer, type Expectations } from "./expectations.ts";
import { Outcomes } from "./outcomes.ts";

export interface DeliveryDeps {
  readonly site: string;
  readonly queue: Queue;
  readonly mapping: Mapping;
  readonly expectations: Expectations;
  readonly clock: Clock;
  readonly log: Logger;
  /** Central's clock; undefined without a link. */
  readonly centralNow: () => number | undefined;
}

/** What one attempt leads to. `later`: to be tried again after `afterMs`. `awaits`: the receiver's answer, which wakes the runner. */
export type Step =
  | { readonly kind: "finished" }
  | { readonly kind: "later"; readonly afterMs: number }
  | { readonly kind: "awaits" };

const noReceiver: Outcome = { kind: "retry", reason: "this kind of connector takes no messages" };
const finished: Step = { kind: "finished" };

/** How often a receiver is asked whether it has the effect, before a person has to decide. */
const verifyAttempts = 5;
/** How often a delivery whose age nobody can tell looks for central's clock. */
const unsureMs = 5000;

/** One delivery on its way: what it is, where it goes, and by which rules. */
interface Way {
  readonly delivery: Delivery;
  readonly message: Outbound;
  readonly to: LocalDestination;
  readonly index: number;
  readonly connector: Connector;
  readonly signal: AbortSignal;
  readonly retry: FlowConfig["retry"];
  readonly onExhausted: FlowConfig["onExhausted"];
}

/**
 * One attempt of one delivery. Towards a destination whose repeat is not harmless an intent is flushed before and the outcome
 * after; an intent without outcome is checked where the receiver can tell, else shown as unknown, holding its key (rule 8).
 */
export class Attempts {
  readonly #deps: DeliveryDeps;
  readonly #outcomes: Outcomes;
  readonly #unsure = new Set<number>();
  #bundle: Bundle | undefined;

  constructor(deps: DeliveryDeps) {
    this.#deps = deps;
    this.#outcomes = new Outcomes(deps);
  }

  configure(bundle: Bundle): void {
    this.#bundle = bundle;
  }

  /** Deliveries with a deadline that nobody can judge until there is a link (rule 10). */
  get stale(): number {
    return this.#unsure.size;
  }

  async run(delivery: Delivery, connector: Connector, signal: AbortSignal, wakeUp: () => void): Promise<Step> {
    this.#unsure.delete(delivery.id);
    const event = JSON.parse(delivery.line) as CloudEvent;
    if (await this.#isSuperseded(delivery, event)) return finished;
    const found = findDestination(this.#bundle, delivery);
    const flow = this.#bundle?.flows[delivery.flow];
    if (!found || !flow) {
      const reason = "the configuration does not have this destination any more";
      await this.#outcomes.refuse(delivery, event, "DESTINATION_INVALID", reason);
      return finished;
    }
    const { to, index } = found;
    const rendered = await this.#deps.mapping.render(delivery.flow, index, event);
    if (rendered.kind === "failed") {
      await this.#outcomes.refuse(delivery, event, rendered.code, rendered.reason);
      return finished;
    }
    const { retry, onExhausted } = flow;
    const message: Outbound = { ...rendered, event, key: delivery.key, attempt: delivery.attempts + 1 };
    const way: Way = { delivery, message, to, index, connector, signal, retry, onExhausted };

    const asks = asksForAnswer(to);
    const sentBefore = delivery.state === "intent" || delivery.again || (delivery.state === "sent" && !asks);
    if (sentBefore && to.effect !== "idempotent") {
      const known = await this.#checkIntent(way);
      if (known) return known;
    }
    // what was sent before is not undone by being late
    if (delivery.state !== "sent") {
      const late = await this.#judgeDeadline(way, rendered.expiresAt);
      if (late) return late;
    }
    if (asks) return this.#sendAndAwait(way, to.accepted.within, wakeUp);
    if (to.effect !== "idempotent") await this.#note(way, "intent", { attempts: 1 }, delivery.reason);
    const outcome = (await connector.deliver?.(message, signal)) ?? noReceiver;
    return this.#settle(way, outcome);
  }

  /** A state that a newer one of its key waits behind is not sent any more (rule 14); facts always are. */
  async #isSuperseded(delivery: Delivery, event: CloudEvent): Promise<boolean> {
    if (delivery.state !== "waiting" || findMessageType(delivery.type)?.state !== true) return false;
    const newer = await this.#deps.queue.newerDelivery(delivery);
    if (!newer) return false;
    const detail = "a newer state of the same key waits behind it";
    await this.#outcomes.complete(delivery, event, "superseded", { detail, supersededBy: newer.messageId });
    return true;
  }

  async #judgeDeadline({ delivery, message, to }: Way, expiresAt: number | undefined): Promise<Step | undefined> {
    const happenedAt = Date.parse(message.event.time);
    const timing = { happenedAt, ...(expiresAt === undefined ? {} : { expiresAt }) };
    const verdict = judgeDeadline(delivery, to, timing, this.#deps.centralNow());
    if (verdict.kind === "unsure") {
      this.#unsure.add(delivery.id);
      return { kind: "later", afterMs: unsureMs };
    }
    if (verdict.kind === "in-time") return undefined;
    await this.#outcomes.refuse(delivery, message.event, "EXPIRED", `not carried out: ${verdict.reason}`);
    return finished;
  }

  /** Undefined: not done, try again. */
  async #checkIntent(way: Way): Promise<Step | undefined> {
    const { delivery, message, to, connector, signal } = way;
    const doubt = "it was being sent when the gateway or the link stopped, and nobody can tell whether it arrived";
    if (to.effect === "once" || !connector.verify) return this.#hold(way, "unknown", doubt);
    const verdict = await connector.verify(message, signal);
    if (signal.aborted) return finished;
    if (verdict.kind === "done") {
      await this.#outcomes.complete(delivery, message.event, "delivered", {
        detail: verdict.detail ?? "found at the receiver",
      });
      return finished;
    }
    if (verdict.kind === "not-done") return undefined;
    const attempts = delivery.attempts + 1;
    if (attempts > verifyAttempts) return this.#hold(way, "unknown", `${doubt}: ${verdict.reason}`);
    await this.#note(way, "intent", { attempts: 1 }, verdict.reason);
    return this.#later(way, attempts);
  }

  async #settle(way: Way, outcome: Outcome): Promise<Step> {
    const { delivery, message, to, signal } = way;
    switch (outcome.kind) {
      case "done":
        await this.#outcomes.complete(delivery, message.event, "delivered", { detail: outcome.detail });
        return finished;
      case "refused":
        await this.#outcomes.refuse(delivery, message.event, "PEER_REFUSED", outcome.reason);
        return finished;
      case "retry":
        return this.#tryAgain(way, outcome.reason, outcome.afterMs);
      case "unknown": {
        if (to.effect === "idempotent") return this.#tryAgain(way, outcome.reason);
        await this.#note(way, "intent", { attempts: 1 }, outcome.reason);
        // stopping: the next run begins with the check
        if (signal.aborted) return finished;
        const intent = { ...delivery, state: "intent", attempts: delivery.attempts + 1 } as const;
        return (await this.#checkIntent({ ...way, delivery: intent })) ?? this.#later(way, intent.attempts);
      }
    }
  }

  /** An attempt that failed while the receiver is up uses one up; an outage uses up none, however long it lasts. */
  async #tryAgain(way: Way, reason: string, afterMs?: number): Promise<Step> {
    const { delivery, connector, retry, onExhausted } = way;
    const { state } = connector.report();
    const counts = state === "up" || state === "degraded";
    const failures = delivery.failures + (counts ? 1 : 0);
    if (failures >= retry.attempts && onExhausted === "park")
      return this.#hold({ ...way, delivery: { ...delivery, attempts: delivery.attempts + 1, failures } }, "parked", reason);
    await this.#note(way, "waiting", { attempts: 1, failures: counts ? 1 : 0 }, reason);
    return afterMs === undefined ? this.#later(way, delivery.attempts + 1) : { kind: "later", afterMs };
  }

  /** The receiver's yes may come before the transport's acknowledgement, so it is expected before anything is sent. */
  async #sendAndAwait(way: Way, within: string, wakeUp: () => void): Promise<Step> {
    const { expectations, mapping, clock, log } = this.#deps;
    const { delivery, message, to, index, connector, signal } = way;
    const value = await expectedAnswer(mapping.expected(delivery.flow, index, message.event));
    if (value instanceof PlantgateError) {
      await this.#outcomes.refuse(delivery, message.event, value.code, value.message);
      return finished;
    }
    let over = false;
    let settling: Promise<unknown> | undefined;
    const end = (): void => {
      over = true;
      expectations.forget(delivery, value);
    };
    expectations.expect(delivery, value, async ({ accepted, reason = "the receiver refused it without a reason" }) => {
      if (over) return;
      settling ??= accepted
        ? this.#outcomes.complete(delivery, message.event, "accepted")
        : this.#outcomes.refuse(delivery, message.event, "PEER_REFUSED", reason);
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
    const deadline = clock.monotonic() + durationMs(within);
    if (delivery.state !== "sent") {
      if (to.effect !== "idempotent") await this.#note(way, "intent", { attempts: 1 }, delivery.reason);
      const outcome = (await connector.deliver?.(message, signal)) ?? noReceiver;
      if (await answered()) return finished;
      if (outcome.kind !== "done") {
        end();
        return this.#settle(way, outcome);
      }
      await this.#note(way, "sent", { attempts: 1 }, null);
      if (await answered()) return finished;
    }
    const expire = async (): Promise<void> => {
      await clock.sleep(deadline - clock.monotonic(), signal);
      if (signal.aborted || (await answered())) return;
      end();
      const reason = `the receiver did not answer within ${within}`;
      const { flow, connector: name } = delivery;
      log.warn(
        { event: "delivery.answer.missed", flow, connector: name, messageId: message.event.id, reason },
        "delivery is tried again",
      );
      if (to.effect === "idempotent") await this.#tryAgain(way, reason);
      else await this.#note(way, "intent", { attempts: 1 }, reason);
    };
    // where the disk is full the row stays `sent`, and the next attempt awaits the answer again
    void expire()
      .catch((err: unknown) =>
        log.warn({ event: "delivery.expiry.notWritten", err }, "an unanswered delivery could not be noted"),
      )
      .finally(() => over && wakeUp());
    return { kind: "awaits" };
  }

  async #hold({ delivery, message }: Way, state: "unknown" | "parked", reason: string): Promise<Step> {
    await this.#outcomes.hold(delivery, message.event, state, reason);
    return finished;
  }

  #note(
    { delivery }: Way,
    state: Delivery["state"],
    more: { readonly attempts: number; readonly failures?: number },
    reason: string | null,
  ): Promise<void> {
    const attempts = delivery.attempts + more.attempts;
    return this.#outcomes.note(delivery, state, { attempts, failures: delivery.failures + (more.failures ?? 0) }, reason);
  }

  #later({ retry }: Way, attempts: number): Step {
    return {
      kind: "later",
      afterMs: delayForAttempt(attempts, { baseMs: durationMs(retry.base), capMs: durationMs(retry.cap) }),
    };
  }
}

/** The value that an answer has to match, or why it cannot be told of this message. */
async function expectedAnswer(expected: Promise<string>): Promise<string | PlantgateError> {
  try {
    return await expected;
  } catch (error) {
    if (error instanceof PlantgateError && error.disposition === "reject") return error;
    throw error;
  }
}
