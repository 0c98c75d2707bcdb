import {
  backoff,
  type ConnectorReport,
  describeError,
  durationMs,
  hasDisposition,
  type OdooConnectorConfig,
  PlantgateError,
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

/** Odoo repeats a conflicting transaction by itself for about this long: until then a call without an answer may still commit. */
const settleMs = 15_000;
/** Odoo's own default for "Product Unit". */
const defaultDigits = 2;

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
  /** When a write of an order was last left without an answer. */
  readonly #lostAt = new Map<string, number>();
  #running: Promise<void> | undefined;
  #measures: Measures | undefined;
  #unreleasable: readonly string[] = [];

  constructor(deps: ConnectorDeps<OdooConnectorConfig>) {
    this.#deps = deps;
    this.#condition = new Condition(deps.name, "odoo", deps.clock);
    this.#createdAt = deps.clock.monotonic();
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
        const found = await this.#find(operation, desk, message, order, message.attempt > 1);
        return found.kind === "done" ? found : await operation.book(desk, message.event);
      } catch (error) {
        const outcome = outcomeOf(error);
        if (outcome.kind === "unknown") this.#lostAt.set(order, this.#deps.clock.monotonic());
        return outcome;
      }
    });
  }

  async verify(message: Outbound, signal: AbortSignal): Promise<Verdict> {
    const operation = message.kind === "operation" ? operations[message.operation] : undefined;
    if (!operation) return { kind: "cannot-tell", reason: "Odoo takes named operations only" };
    return this.#inTurn(message, async (order) => {
      try {
        return await this.#find(operation, await this.#desk(signal), message, order, true);
      } catch (error) {
        return { kind: "cannot-tell", reason: describeError(error) };
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
   * Whether the message has its effect. A call whose answer was lost may commit later, so a "no" counts only once none of this order can be
   * at work any more. `repeated`: an earlier attempt may have been made by a process that is gone.
   */
  async #find(operation: Operation, desk: Desk, message: Outbound, order: string, repeated: boolean): Promise<Found> {
    const { clock, log } = this.#deps;
    const found = await operation.find(desk, message.event);
    if (found.kind === "done") return found;
    const lostAt = Math.max(
      repeated ? this.#createdAt : Number.NEGATIVE_INFINITY,
      this.#lostAt.get(order) ?? Number.NEGATIVE_INFINITY,
    );
    const waitMs = lostAt + settleMs - clock.monotonic();
    if (!(waitMs > 0)) {
      this.#lostAt.delete(order);
      return found;
    }
    log.debug({ event: "odoo.call.settling", messageId: message.event.id, waitMs }, "an earlier call may still commit, waiting");
    await clock.sleep(waitMs, desk.signal);
    if (desk.signal.aborted) throw new PlantgateError("STOPPED", "stopping");
    this.#lostAt.delete(order);
    return operation.find(desk, message.event);
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
