import {
  type Bundle,
  type Clock,
  type CloudEvent,
  durationMs,
  findMessageType,
  type LocalDestination,
  PlantgateError,
} from "../../protocol/index.ts";
import type { Outbound, Outcome } from "../connector/connector.ts";
import type { Changeover } from "../flow/changeover.ts";
import type { Mapping } from "../flow/mapping.ts";
import type { Tally } from "../flow/tallies.ts";
import type { Delivery } from "../queue/change.ts";
import type { Queue } from "../queue/queue.ts";
import type { Logger } from "../telemetry/logger.ts";
import { Asks } from "./asks.ts";
import { judgeDeadline } from "./deadline.ts";
import { Evidence } from "./evidence.ts";
import { asksForAnswer, type Expectations } from "./expectations.ts";
import { Outcomes } from "./outcomes.ts";
import { type FailedPlan, planOf } from "./plan.ts";
import { isUp, nextDelayMs, type Receiver, type Step, type Way } from "./way.ts";

export interface DeliveryDeps {
  readonly site: string;
  readonly queue: Queue;
  readonly mapping: Mapping;
  readonly expectations: Expectations;
  readonly changeover: Changeover;
  readonly clock: Clock;
  readonly log: Logger;
  /** Central's clock; undefined without a link. */
  readonly centralNow: () => number | undefined;
}

/** Why an attempt did not get through. */
type NotDone = Pick<Extract<Outcome, { kind: "retry" }>, "reason" | "afterMs" | "unanswered" | "settlesInMs">;

const noReceiver: Outcome = { kind: "retry", reason: "this kind of connector takes no messages" };
const finished: Step = { kind: "finished" };

/** How often a delivery whose age nobody can tell looks for central's clock. */
const unsureMs = 5000;

/**
 * One attempt of one delivery. Towards a destination whose repeat is not harmless, or is not made past a deadline, an intent is flushed before
 * and the outcome after; an intent without outcome is checked where the receiver can tell, else shown as unknown, holding its key (rule 8).
 */
export class Attempts {
  readonly #deps: DeliveryDeps;
  readonly #outcomes: Outcomes;
  readonly #evidence = new Evidence();
  readonly #asks = new Asks();
  readonly #unsure = new Set<number>();
  #bundle: Bundle | undefined;
  #expired = 0;

  constructor(deps: DeliveryDeps) {
    this.#deps = deps;
    this.#outcomes = new Outcomes(deps);
  }

  configure(bundle: Bundle): void {
    this.#bundle = bundle;
  }

  /** Deliveries with a deadline that nobody can judge until there is a link (rule 10). */
  get ofUnknownAge(): number {
    return this.#unsure.size;
  }

  /** Messages that were too late and were not carried out, since the start; each is a dead letter. */
  get expired(): number {
    return this.#expired;
  }

  /** How the deliveries of each flow ended. */
  get tallies(): readonly Tally[] {
    return this.#outcomes.tallies;
  }

  async run(delivery: Delivery, connector: Receiver, signal: AbortSignal, wakeUp: () => void): Promise<Step> {
    const step = await this.#run(delivery, connector, signal, wakeUp);
    if (step.kind === "finished") {
      this.#evidence.forget(delivery.id);
      this.#asks.forget(delivery.id);
    }
    return step;
  }

  async #run(delivery: Delivery, connector: Receiver, signal: AbortSignal, wakeUp: () => void): Promise<Step> {
    this.#unsure.delete(delivery.id);
    const event = JSON.parse(delivery.line) as CloudEvent;
    if (await this.#isSuperseded(delivery, event)) return finished;
    const { changeover, mapping } = this.#deps;
    const plan = await changeover.undisturbed(() => planOf(delivery, event, this.#bundle, mapping), signal);
    if (plan.kind === "failed") return this.#giveUp(delivery, event, plan);
    const { rendered, to, answer, retry, onExhausted } = plan;
    const asks = asksForAnswer(to);
    const sentBefore = delivery.state === "intent" || delivery.again || (delivery.state === "sent" && !asks);
    // who can be asked was asked before anything is sent again
    const perhapsDone = to.effect === "idempotent" && (sentBefore || delivery.attempts > 0);
    const message: Outbound = {
      ...rendered,
      event,
      key: delivery.key,
      attempt: delivery.attempts + 1,
      ...(perhapsDone ? { perhapsDone } : {}),
    };
    const way: Way = { delivery, message, to, answer, connector, signal, retry, onExhausted };
    if (sentBefore && to.effect !== "idempotent") {
      const known = await this.#checkIntent(way);
      if (known) return known;
    }
    // what was sent before is not undone by being late
    if (delivery.state !== "sent") {
      const late = await this.#judgeDeadline(way, rendered.expiresAt, sentBefore && to.effect === "idempotent");
      if (late) return late;
    }
    if (asks) return this.#sendAndAwait(way, to.accepted.within, wakeUp);
    if (isNotedBefore(to)) await this.#note(way, "intent", { attempts: 1 }, delivery.reason);
    return this.#settle(way, await this.#deliver(way));
  }

  /** It cannot be sent by this configuration. What may have arrived by an earlier one is not said to be refused (rule 8). */
  async #giveUp(delivery: Delivery, event: CloudEvent, { code, reason, isGone }: Omit<FailedPlan, "kind">): Promise<Step> {
    const { state, again } = delivery;
    if (state !== "intent" && state !== "sent" && !again) await this.#outcomes.refuse(delivery, event, code, reason, isGone);
    else await this.#outcomes.hold(delivery, event, "unknown", `it may have arrived, and cannot be sent again: ${reason}`);
    return finished;
  }

  async #deliver({ delivery, message, connector, signal }: Way): Promise<Outcome> {
    this.#evidence.begins(delivery);
    const outcome = (await connector.deliver?.(message, signal)) ?? noReceiver;
    this.#evidence.ended(delivery, outcome);
    return outcome;
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

  /** `perhapsDone`: an attempt was under way when the gateway stopped, and nobody was asked how it ended: it is not said to be missed. */
  async #judgeDeadline(way: Way, expiresAt: number | undefined, perhapsDone: boolean): Promise<Step | undefined> {
    const { delivery, message, to } = way;
    const happenedAt = Date.parse(message.event.time);
    const timing = { happenedAt, ...(expiresAt === undefined ? {} : { expiresAt }) };
    const verdict = judgeDeadline(delivery, to, timing, this.#deps.centralNow());
    if (verdict.kind === "unsure") {
      this.#unsure.add(delivery.id);
      return { kind: "later", afterMs: unsureMs, outage: false };
    }
    if (verdict.kind === "in-time") return undefined;
    if (perhapsDone)
      return this.#hold(way, "unknown", `it may have arrived, and is too late to be sent again: ${verdict.reason}`);
    await this.#outcomes.refuse(delivery, message.event, "EXPIRED", `not carried out: ${verdict.reason}`);
    this.#expired += 1;
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
    if (verdict.kind === "not-done") {
      this.#asks.forget(delivery.id);
      return undefined;
    }
    const { reason, settlesInMs } = verdict;
    const { made, usedUp } = this.#asks.inVain(delivery.id, isUp(connector) && settlesInMs === undefined);
    if (usedUp) return this.#hold(way, "unknown", `${doubt}: ${reason}`);
    await this.#note(way, "intent", { attempts: 1 }, reason);
    return { kind: "later", afterMs: settledOr(settlesInMs, nextDelayMs(way, made)), outage: !isUp(connector) };
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
        return this.#tryAgain(way, outcome);
      case "unknown": {
        if (to.effect === "idempotent") return this.#tryAgain(way, outcome, true);
        await this.#note(way, "intent", { attempts: 1 }, outcome.reason);
        // stopping: the next run begins with the check
        if (signal.aborted) return finished;
        const intent = { ...delivery, state: "intent", attempts: delivery.attempts + 1 } as const;
        const afterMs = nextDelayMs(way, intent.attempts);
        return (
          (await this.#checkIntent({ ...way, delivery: intent })) ?? { kind: "later", afterMs, outage: !isUp(way.connector) }
        );
      }
    }
  }

  /**
   * An attempt that failed while the receiver is up uses one up; an outage uses up none, however long it lasts. `perhapsDone`: by this attempt; what
   * an earlier one may have done is not undone by one that failed, and is remembered where it may become too late to be sent again.
   */
  async #tryAgain(way: Way, { reason, afterMs, unanswered, settlesInMs }: NotDone, perhapsDone = false): Promise<Step> {
    const { delivery, to, connector, retry, onExhausted } = way;
    const before = to.effect === "idempotent" && (delivery.state !== "waiting" || delivery.again);
    const next = (perhapsDone || before) && isNotedBefore(to) ? "intent" : "waiting";
    const settles = settlesInMs !== undefined;
    const counts = !settles && isUp(connector) && (!unanswered || this.#evidence.isToBlame(delivery));
    const failures = delivery.failures + (counts ? 1 : 0);
    if (failures >= retry.attempts && onExhausted === "park")
      return this.#hold({ ...way, delivery: { ...delivery, attempts: delivery.attempts + 1, failures } }, "parked", reason);
    await this.#note(way, next, { attempts: 1, failures: counts ? 1 : 0 }, reason);
    const delayMs = settledOr(settlesInMs, nextDelayMs(way, delivery.attempts + 1));
    return { kind: "later", afterMs: afterMs ?? delayMs, outage: !settles && !counts };
  }

  /** The receiver's yes may come before the transport's acknowledgement, so it is expected before anything is sent. */
  async #sendAndAwait(way: Way, within: string, wakeUp: () => void): Promise<Step> {
    const { expectations, clock, log } = this.#deps;
    const { delivery, message, to, answer: value, signal } = way;
    if (value instanceof PlantgateError)
      return this.#giveUp(delivery, message.event, { code: value.code, reason: value.message });
    if (value === undefined) throw new PlantgateError("INVARIANT", "an answer is awaited that nothing is expected of");
    let over = false;
    let settling: Promise<unknown> | undefined;
    const end = (): void => {
      over = true;
      expectations.forget(delivery, value);
    };
    expectations.expect(
      delivery,
      value,
      durationMs(within),
      async ({ accepted, reason = "the receiver refused it without a reason" }) => {
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
      },
    );
    const answered = async (): Promise<boolean> => {
      await settling?.catch(() => {});
      return over;
    };
    const deadline = clock.monotonic() + durationMs(within);
    if (delivery.state !== "sent") {
      if (isNotedBefore(to)) await this.#note(way, "intent", { attempts: 1 }, delivery.reason);
      expectations.sent(delivery, value);
      const outcome = await this.#deliver(way);
      if (await answered()) return finished;
      if (outcome.kind === "refused" || (outcome.kind === "retry" && !outcome.unanswered)) expectations.sent(delivery, value, -1);
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
      if (to.effect === "idempotent") await this.#tryAgain(way, { reason }, true);
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
}

/** Whether an intent is flushed before an attempt: where a repeat is not harmless, or may come too late to be made. */
function isNotedBefore({ effect, expires }: LocalDestination): boolean {
  return effect !== "idempotent" || expires !== undefined;
}

/** What is settled by then is not waited for longer; it may be there before, and is looked for as often as anything else. */
function settledOr(settlesInMs: number | undefined, delayMs: number): number {
  return Math.min(settlesInMs ?? Number.POSITIVE_INFINITY, delayMs);
}
