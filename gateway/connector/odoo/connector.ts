import {
  backoff,
  type ConnectorReport,
  describeError,
  durationMs,
  hasDisposition,
  type OdooConnectorConfig,
} from "../../../protocol/index.ts";
import { Condition } from "../condition.ts";
import type { Connector, ConnectorDeps, Outbound, Outcome, Verdict } from "../connector.ts";
import { OdooClient, OdooError } from "./client.ts";
import { KeyedLock } from "./keyed-lock.ts";
import { materialConsume } from "./material-consume.ts";
import { type Desk, type Found, type Operation, outcomeOf } from "./operation.ts";
import { productionReport } from "./production-report.ts";
import type { Measures } from "./quantities.ts";
import { ReleasedOrders, releaseCursor } from "./released-orders.ts";
import { scrapBook } from "./scrap-book.ts";
import { shortageNote } from "./shortage-note.ts";
import { transferConfirm } from "./transfer-confirm.ts";

const operations: Readonly<Record<string, Operation>> = {
  "transfer.confirm": transferConfirm,
  "material.consume": materialConsume,
  "production.report": productionReport,
  "scrap.book": scrapBook,
  "shortage.note": shortageNote,
};

/** Odoo's own default for "Product Unit". */
const defaultDigits = 2;
const atWork = "Odoo may still be at work on an earlier call, whose answer was lost";

/**
 * Odoo 19 over JSON-2: releases orders, books what the plants report. `deliver` resumes from any point of an earlier attempt, and
 * `verify` asks Odoo whether a message has its effect, so nothing is kept here between calls but what saves a look-up.
 */
export class OdooConnector implements Connector {
  readonly #deps: ConnectorDeps<OdooConnectorConfig>;
  readonly #condition: Condition;
  readonly #client: OdooClient;
  readonly #locks = new KeyedLock();
  readonly #abort = new AbortController();
  readonly #createdAt: number;
  readonly #settleMs: number;
  /** The write of each order that was last left without an answer: by which message, and when. */
  readonly #lost = new Map<string, { readonly messageId: string; readonly at: number }>();
  #running: Promise<void> | undefined;
  #measures: Measures | undefined;
  #unreleasable: readonly string[] = [];

  constructor(deps: ConnectorDeps<OdooConnectorConfig>) {
    this.#deps = deps;
    this.#condition = new Condition(deps.name, "odoo", deps.clock);
    this.#createdAt = deps.clock.monotonic();
    this.#settleMs = durationMs(deps.config.settle);
    this.#client = new OdooClient({
      url: deps.config.url,
      database: deps.config.database,
      apiKey: () => deps.secret(deps.config.apiKey),
      timeoutMs: durationMs(deps.config.timeout),
    });
  }

  async start(signal: AbortSignal): Promise<void> {
    signal.addEventListener("abort", () => this.#abort.abort(), { once: true });
    if (signal.aborted) this.#abort.abort();
    this.#running ??= this.#run(this.#abort.signal);
  }

  async stop(): Promise<void> {
    this.#abort.abort();
    await this.#running;
    this.#condition.stopped();
  }

  report(): ConnectorReport {
    return this.#condition.report();
  }

  async deliver(message: Outbound, signal: AbortSignal): Promise<Outcome> {
    const operation = message.kind === "operation" ? operations[message.operation] : undefined;
    if (!operation) return { kind: "refused", reason: "Odoo takes named operations only" };
    return this.#inTurn(message, async (order) => {
      try {
        const desk = await this.#desk(signal);
        const settlesInMs = this.#settlesInMs(order, message.perhapsDone === true);
        const found = await this.#find(operation, desk, message, order);
        if (found.kind === "done") return found;
        if (settlesInMs > 0) return { kind: "retry", reason: atWork, settlesInMs };
        return await operation.book(desk, message.event);
      } catch (error) {
        const outcome = outcomeOf(error);
        if (outcome.kind === "unknown") this.#lose(order, message);
        return outcome;
      }
    });
  }

  async verify(message: Outbound, signal: AbortSignal): Promise<Verdict> {
    const operation = message.kind === "operation" ? operations[message.operation] : undefined;
    if (!operation) return { kind: "cannot-tell", reason: "Odoo takes named operations only" };
    return this.#inTurn(message, async (order) => {
      const settlesInMs = this.#settlesInMs(order, true);
      const waits = settlesInMs > 0 ? { settlesInMs } : {};
      try {
        const found = await this.#find(operation, await this.#desk(signal), message, order);
        return found.kind === "done" || settlesInMs <= 0 ? found : { kind: "cannot-tell", reason: atWork, ...waits };
      } catch (error) {
        return { kind: "cannot-tell", reason: describeError(error), ...waits };
      }
    });
  }

  /** One write at a time per order: its picking, components and backorders change together. */
  #inTurn<T>(message: Outbound, work: (order: string) => Promise<T>): Promise<T> {
    const { moId } = message.event.data;
    const order = typeof moId === "string" ? moId : message.key;
    return this.#locks.run(order, () => work(order));
  }

  /**
   * For how long an earlier call of the order may still commit: a "no" of `find` counts only if this was over before it was asked. `perhapsDone`: the
   * call may have been made by a process that is gone, at the latest when this one began.
   */
  #settlesInMs(order: string, perhapsDone: boolean): number {
    const madeAt = perhapsDone ? this.#createdAt : Number.NEGATIVE_INFINITY;
    const lostAt = this.#lost.get(order)?.at ?? Number.NEGATIVE_INFINITY;
    return Math.max(madeAt, lostAt) + this.#settleMs - this.#deps.clock.monotonic();
  }

  async #find(operation: Operation, desk: Desk, message: Outbound, order: string): Promise<Found> {
    const found = await operation.find(desk, message.event);
    // the call that was lost is the last one that this message made: it has committed
    if (found.kind === "done" && this.#lost.get(order)?.messageId === message.event.id) this.#lost.delete(order);
    return found;
  }

  #lose(order: string, { event }: Outbound): void {
    const { clock, log } = this.#deps;
    const at = clock.monotonic();
    for (const [other, lost] of this.#lost) if (lost.at + this.#settleMs <= at) this.#lost.delete(other);
    this.#lost.set(order, { messageId: event.id, at });
    log.info(
      { event: "odoo.answer.lost", messageId: event.id, order, settlesInMs: this.#settleMs },
      "a call was left without an answer, and is not made again while Odoo may be at work on it",
    );
  }

  async #desk(signal: AbortSignal): Promise<Desk> {
    const own = AbortSignal.any([signal, this.#abort.signal]);
    return {
      client: this.#client,
      erp: this.#deps.config.erp,
      measures: await this.#readMeasures(own),
      wasReleased: this.#wasReleased,
      signal: own,
    };
  }

  readonly #wasReleased = async (moId: string): Promise<boolean> =>
    (await this.#deps.inlet.cursor(releaseCursor(moId))) !== undefined;

  async #readMeasures(signal: AbortSignal): Promise<Measures> {
    this.#measures ??= { digits: await this.#readDigits(signal), units: this.#deps.config.units };
    return this.#measures;
  }

  async #readDigits(signal: AbortSignal): Promise<number> {
    try {
      const digits = await this.#client.call("decimal.precision", "precision_get", { application: "Product Unit" }, signal);
      return typeof digits === "number" && Number.isInteger(digits) && digits >= 0 && digits <= 12 ? digits : defaultDigits;
    } catch (error) {
      if (error instanceof OdooError && error.failure === "fault") return defaultDigits;
      throw error;
    }
  }

  async #run(signal: AbortSignal): Promise<void> {
    const { clock, config, wiring, inlet, log } = this.#deps;
    const sources = wiring.sources.filter((source) => source.source === "production-order.released");
    const released = new ReleasedOrders({
      client: this.#client,
      inlet,
      erp: config.erp,
      warehouses: config.warehouses,
      flows: sources.map((source) => source.flow),
      overlapMs: Math.max(0, ...sources.map((source) => durationMs(source.overlap))),
      now: () => clock.now(),
      unreleasable: (orders) => {
        this.#unreleasable = orders;
      },
    });
    const everyMs = durationMs(config.every);
    let delays = backoff({ baseMs: Math.min(everyMs, 1000), capMs: 60_000 });
    while (!signal.aborted) {
      try {
        const measures = await this.#readMeasures(signal);
        if (sources.length > 0) await released.poll(measures, signal);
        else await this.#client.call("res.users", "context_get", {}, signal);
        this.#works();
        delays = backoff({ baseMs: Math.min(everyMs, 1000), capMs: 60_000 });
        await clock.sleep(everyMs, signal);
      } catch (error) {
        if (signal.aborted) return;
        this.#notice(error);
        if (!(error instanceof OdooError)) {
          if (hasDisposition(error, "shed")) this.#condition.degraded("the gateway's queue is full; orders are released later");
          else this.#condition.degraded(describeError(error));
          log.warn({ event: "odoo.poll.failed", err: error }, "orders could not be handed over, polling goes on");
        }
        await clock.sleep(delays.next().value, signal);
      }
    }
  }

  #works(): void {
    const was = this.#condition.state;
    if (this.#unreleasable.length > 0) {
      const shown = this.#unreleasable.slice(0, 5).join("; ");
      if (was === "starting" || was === "down") this.#condition.connected();
      this.#condition.degraded(`${this.#unreleasable.length} order(s) cannot be released: ${shown}`);
      return;
    }
    if (was === "degraded") this.#condition.recovered();
    else if (was !== "up") {
      this.#condition.connected();
      this.#deps.log.info({ event: "odoo.session.opened" }, "Odoo answers");
    }
  }

  /** The poll alone tells the state, as it concerns all calls; a delivery's own failure is in its outcome. Logged when the state changes. */
  #notice(error: unknown): void {
    if (!(error instanceof OdooError) || error.failure === "busy") return;
    if (error.failure === "fault" || error.failure === "refused" || error.failure === "missing")
      this.#condition.degraded(error.message);
    else {
      if (this.#condition.state !== "down")
        this.#deps.log.warn(
          { event: "odoo.session.lost", failure: error.failure, reason: error.reason },
          "Odoo cannot be used, trying again",
        );
      this.#condition.down(error.reason);
    }
  }
}
