import { LogLevel, setLogLevel } from "node-opcua-client";
import { backoff, type ConnectorReport } from "../../../protocol/index.ts";
import { Condition } from "../condition.ts";
import type { Connector, ConnectorDeps, ConnectorKind, Input, Outbound, Outcome, Verdict } from "../connector.ts";
import { type Cause, Continuity } from "./continuity.ts";
import { type Entry, Intake } from "./intake.ts";
import { Line, type LineEvents, ownThumbprint } from "./line.ts";
import { toReason } from "./reason.ts";
import { toSample } from "./sample.ts";
import { PinnedCertificates } from "./trust.ts";
import { type Before, verifyValue, writeValue } from "./write.ts";

type Deps = ConnectorDeps<Extract<ConnectorDeps["config"], { type: "opcua" }>>;
type Values = Parameters<LineEvents["reported"]>[0];

/** Client of one OPC UA server: samples of its items, and writes of single values. */
export const opcuaKind: ConnectorKind<"opcua"> = {
  kind: "opcua",
  create: (deps) => new OpcuaConnector(deps),
};

/** Samples that wait in memory while the queue is full: some seconds of a busy machine. */
const heldSamples = 20_000;
const flushGraceMs = 3000;

/**
 * Lines to the server, one after the other, and what outlives them: the continuity of each item and the way into the queue.
 *
 * The library acknowledges a notification before we see it, so what is in memory at a crash is gone at its source. Hence samples are not
 * promised to be complete; what is promised is that a hole is recorded before the sample that ends it, in the same call.
 */
class OpcuaConnector implements Connector {
  readonly #deps: Deps;
  readonly #condition: Condition;
  readonly #intake: Intake;
  readonly #continuity = new Map<string, Continuity>();
  /** What a node held before a write of a message, until its outcome is known. */
  readonly #befores = new Map<string, Before>();
  readonly #stopping = new AbortController();
  readonly #equipment: string;
  readonly #folder: string;
  #line: Line | undefined;
  #running: Promise<void> | undefined;
  #problems: readonly string[] = [];
  #blocked = false;

  constructor(deps: Deps) {
    this.#deps = deps;
    this.#condition = new Condition(deps.name, "opcua", deps.clock);
    this.#folder = deps.folder();
    this.#equipment = deps.name.slice(deps.name.indexOf(".") + 1);
    this.#intake = new Intake({
      inlet: deps.inlet,
      clock: deps.clock,
      log: deps.log,
      capacity: heldSamples,
      onBlocked: (blocked) => {
        this.#blocked = blocked;
        this.#show();
      },
    });
  }

  async start(signal: AbortSignal): Promise<void> {
    // the library tells its warnings to the console, with certificates in them; what matters of them is in our own log and report
    setLogLevel(LogLevel.Emergency);
    this.#running = this.#run(AbortSignal.any([signal, this.#stopping.signal])).catch((error: unknown) => {
      this.#deps.log.error({ event: "opcua.run.failed", err: error }, "the connector has ended on an error of its own");
      this.#condition.down(`ended on an error of its own: ${String(error)}`);
    });
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#running;
    // acknowledged at its source already: what can still be flushed is flushed
    await this.#intake.stop(flushGraceMs);
    this.#condition.stopped();
  }

  report(): ConnectorReport {
    return this.#condition.report();
  }

  async deliver(message: Outbound, signal: AbortSignal): Promise<Outcome> {
    if (message.kind !== "write") return { kind: "refused", reason: `an OPC UA server takes values, not a ${message.kind}` };
    const item = this.#deps.config.items[message.item];
    if (!item) return { kind: "refused", reason: `${message.item} is not an item of this connector` };
    if (item.access === "read") return { kind: "refused", reason: `${message.item} is not to be written (access: read)` };
    const line = this.#line;
    if (!line?.isUp) return { kind: "retry", reason: this.#condition.report().reason ?? "not connected" };
    const node = await nodeOf(line, item.node);
    if (node.kind !== "found") return { kind: "retry", reason: node.reason };
    // nothing may be sent on a connection that broke meanwhile: the library would keep it and send it whenever it is back
    if (!line.isUp || signal.aborted) return { kind: "retry", reason: "the connection broke before anything was sent" };
    const remember = (before: Before): void => {
      this.#befores.set(message.event.id, before);
    };
    const outcome = await writeValue(line.session, node.nodeId, message.value, remember);
    if (outcome.kind !== "unknown") this.#befores.delete(message.event.id);
    return outcome;
  }

  async verify(message: Outbound, _signal: AbortSignal): Promise<Verdict> {
    const item = message.kind === "write" ? this.#deps.config.items[message.item] : undefined;
    const line = this.#line;
    if (message.kind !== "write" || !item) return { kind: "cannot-tell", reason: "no such item" };
    if (!line?.isUp) return { kind: "cannot-tell", reason: "not connected" };
    const node = await nodeOf(line, item.node);
    if (node.kind !== "found") return { kind: "cannot-tell", reason: node.reason };
    const verdict = await verifyValue(line.session, node.nodeId, message.value, this.#befores.get(message.event.id));
    if (verdict.kind !== "cannot-tell") this.#befores.delete(message.event.id);
    return verdict;
  }

  async #run(signal: AbortSignal): Promise<void> {
    const { clock, config, log, inlet } = this.#deps;
    const certificates = new PinnedCertificates(this.#folder, config.trust);
    for (const item of this.#deps.wiring.items) this.#continuity.set(item, new Continuity(await inlet.cursor(`item/${item}`)));
    let delays = backoff({ baseMs: 500, capMs: 30_000 });
    let told: string | undefined;
    while (!signal.aborted) {
      try {
        await this.#hold(certificates, signal);
        delays = backoff({ baseMs: 500, capMs: 30_000 });
        told = undefined;
      } catch (error) {
        if (signal.aborted) break;
        const reason = toReason(error, {
          config,
          refused: certificates.takeRefused(),
          own: await ownThumbprint(this.#folder),
        });
        this.#condition.down(reason);
        if (reason !== told)
          log.warn({ event: "opcua.connect.failed", reason }, "no session with the machine's server, trying again");
        told = reason;
      }
      await clock.sleep(delays.next().value, signal);
    }
    await certificates.dispose();
  }

  /** One line, from dialling to its end. */
  async #hold(certificates: PinnedCertificates, signal: AbortSignal): Promise<void> {
    const { site, name, config, wiring, clock, log } = this.#deps;
    // a new subscription tells nothing of what happened since the last sample
    this.#doubt("session-lost");
    const line = await Line.open(
      {
        site,
        name,
        equipment: this.#equipment,
        config,
        items: wiring.items,
        certificates,
        password: config.auth ? this.#deps.secret(config.auth.password) : undefined,
        clock,
        events: {
          reported: (values) => this.#take(values),
          hole: () => this.#doubt("sequence-gap"),
          broken: () => this.#condition.down("the connection broke; the server keeps values for us while the session lasts"),
          mended: () => this.#show(),
          ailing: (problems) => {
            this.#problems = problems;
            if (this.#line) this.#show();
          },
        },
      },
      signal,
    );
    this.#line = line;
    this.#condition.connected();
    this.#show();
    log.info(
      { event: "opcua.session.opened", endpoint: config.endpoint, items: wiring.items.length },
      "session with the machine's server is open",
    );
    const stop = Promise.withResolvers<string>();
    const onAbort = (): void => stop.resolve("stopped");
    signal.addEventListener("abort", onAbort, { once: true });
    try {
      if (signal.aborted) return;
      const reason = await Promise.race([line.ended, stop.promise]);
      if (signal.aborted) return;
      const refused = certificates.takeRefused();
      this.#condition.down(refused === undefined ? reason : toReason(reason, { config, refused, own: undefined }));
      log.warn({ event: "opcua.session.ended", reason }, "the session has ended, a new one follows");
    } finally {
      signal.removeEventListener("abort", onAbort);
      this.#line = undefined;
      await line.close();
    }
  }

  #take(values: Values): void {
    const receivedAt = this.#deps.clock.now();
    const entries: Entry[] = [];
    for (const { tag, dataValue } of values) {
      const continuity = this.#continuity.get(tag.item);
      if (!continuity) continue;
      if (!this.#intake.hasRoom) {
        continuity.doubt("queue-overflow");
        continue;
      }
      const sample = toSample(tag, dataValue, receivedAt);
      const admission = continuity.admit(sample);
      if (admission.kind === "repeat") continue;
      const input: Input = {
        origin: { kind: "items", item: tag.item },
        decoded: sample,
        body: bytesOf(sample),
        receivedAt,
        cursors: [{ name: `item/${tag.item}`, value: sample.sourceTimestamp }],
      };
      const hole = admission.interrupted;
      entries.push(
        hole
          ? [
              {
                origin: { kind: "fact", type: "mfg.equipment.sampling-interrupted.v1" },
                decoded: hole,
                body: bytesOf(hole),
                receivedAt,
              },
              input,
            ]
          : [input],
      );
    }
    if (entries.length > 0) this.#intake.offer(entries);
  }

  #doubt(cause: Cause): void {
    for (const continuity of this.#continuity.values()) continuity.doubt(cause);
  }

  /** What a working session shows: all well, or what is not. */
  #show(): void {
    if (!this.#line?.isUp) return;
    const problems = this.#blocked ? ["the gateway's queue is full: samples wait in memory", ...this.#problems] : this.#problems;
    if (problems.length === 0) this.#condition.recovered();
    else this.#condition.degraded(problems.join("; "));
  }
}

async function nodeOf(line: Line, address: string) {
  try {
    const nodeId = await line.nodeId(address);
    return nodeId
      ? ({ kind: "found", nodeId } as const)
      : ({ kind: "missing", reason: `the server has no namespace of ${address}` } as const);
  } catch (error) {
    return { kind: "missing", reason: `the server's namespaces could not be read: ${String(error)}` } as const;
  }
}

function bytesOf(data: object): Uint8Array {
  return Buffer.from(JSON.stringify(data));
}
