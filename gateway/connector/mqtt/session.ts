import type { Duplex } from "node:stream";
import { connect, type IClientOptions, type IConnackPacket, type ISubscriptionMap, type MqttClient } from "mqtt";
import { type Clock, describeError } from "../../../protocol/index.ts";
import type { Inlet, Outbound, Outcome } from "../connector.ts";
import { type Done, IntakeLine, isStop } from "./intake-line.ts";
import { IntakeStream } from "./intake-stream.ts";
import type { Publish } from "./packets.ts";
import { reasonOfCode, reasonOfError } from "./reason.ts";
import type { SubscriptionMemory, Wanted } from "./subscriptions.ts";

export interface SessionDeps {
  readonly url: string;
  /** Host and port, for messages. */
  readonly address: string;
  readonly options: IClientOptions;
  readonly wanted: Wanted;
  readonly memory: SubscriptionMemory;
  readonly inlet: Inlet;
  readonly clock: Clock;
  /** Subscribed; `refused` are filters that the broker does not grant. */
  readonly onUp: (refused: readonly string[]) => void;
  readonly onHeld: () => void;
  readonly onFreed: () => void;
}

/** Publishes under way at once, at most; a broker may allow fewer (its Receive Maximum). */
const maxInFlight = 64;
/** How long a PUBACK may take. */
const ackTimeoutMs = 30_000;
/** How long a stop waits for what is under way in both directions. */
const leaveMs = 500;

/** How MQTT.js makes its connection, by the URL; its types hide it from all but those who make one themselves. */
interface Dialler {
  streamBuilder: (client: MqttClient) => Duplex;
}

type Topic = Extract<Outbound, { kind: "topic" }>;

/**
 * One connection to the broker. What comes in never reaches MQTT.js: an `IntakeStream` takes it from the socket, and a PUBACK leaves only
 * when the message is flushed. A failed append ends the connection without it, also for what came behind, and the broker sends all of
 * it again. MQTT.js's stores and its reconnect are not used: each connection has a client of its own, and the queue is the only outbox.
 */
export class Session {
  readonly #deps: SessionDeps;
  readonly #client: MqttClient;
  readonly #line: IntakeLine;
  #stream: IntakeStream | undefined;
  readonly #ended = new AbortController();
  readonly #inFlight = new Set<(outcome: Outcome) => void>();
  readonly #forSlot: (() => void)[] = [];
  #slots = maxInFlight;
  #limits: IConnackPacket["properties"];
  #reason: string | undefined;
  #upSince: number | undefined;

  constructor(deps: SessionDeps) {
    this.#deps = deps;
    const { inlet, clock, onHeld, onFreed } = deps;
    this.#line = new IntakeLine({ inlet, clock, signal: this.#ended.signal, onHeld, onFreed });
    this.#client = connect(deps.url, { ...deps.options, manualConnect: true });
    const version = deps.options.protocolVersion === 5 ? "5" : "3.1.1";
    const take = (publish: Publish, done: Done): void => this.#take(publish, done);
    const dialler = this.#client as unknown as Dialler;
    const dial = dialler.streamBuilder;
    dialler.streamBuilder = (client) => {
      this.#stream = new IntakeStream({ socket: dial(client), version, take });
      // MQTT.js passes on what has a code, and keeps the rest to itself
      this.#stream.on("error", (error) => {
        this.#reason ??= reasonOfError(error, deps.address);
      });
      return this.#stream;
    };
  }

  /** How long the session was usable, in ms. */
  get upForMs(): number {
    return this.#upSince === undefined ? 0 : this.#deps.clock.monotonic() - this.#upSince;
  }

  /** Usable: what is begun while it leaves would not go out any more. */
  get connected(): boolean {
    return this.#client.connected && !this.#client.disconnecting && !this.#ended.signal.aborted;
  }

  /** Connects, takes in until the connection ends or `signal` aborts; resolves to why it ended. */
  run(signal: AbortSignal): Promise<string> {
    const client = this.#client;
    const { address } = this.#deps;
    client.on("connect", (connack) => void this.#subscribe(connack));
    client.on("error", (error) => {
      this.#reason ??= reasonOfError(error, address);
    });
    client.on("disconnect", (packet) => {
      this.#reason ??= `${address}: ${reasonOfCode(packet.reasonCode ?? 0)}`;
    });
    const closed = new Promise<string>((resolve) => {
      client.once("close", () => {
        this.#end();
        resolve(this.#reason ?? `${address}: the connection was closed`);
      });
    });
    const stop = (): void => this.#leave();
    signal.addEventListener("abort", stop, { once: true });
    client.connect();
    if (signal.aborted) stop();
    return closed.finally(() => signal.removeEventListener("abort", stop));
  }

  /** One publish. Without a connection nothing is kept here: the queue has it. */
  async publish(message: Topic, signal: AbortSignal): Promise<Outcome> {
    if (message.qos === 1 && !(await this.#slot(signal))) return { kind: "retry", reason: "the connection to the broker ended" };
    if (!this.connected) return this.#freeSlot(message, { kind: "retry", reason: "not connected to the broker" });
    const limit = this.#refusedByLimits(message);
    if (limit !== undefined) return this.#freeSlot(message, { kind: "refused", reason: limit });
    const lateEnough = new AbortController();
    const outcome = await new Promise<Outcome>((resolve) => {
      this.#inFlight.add(resolve);
      const settle = (result: Outcome): void => {
        this.#inFlight.delete(resolve);
        resolve(result);
      };
      const body = Buffer.from(message.body.buffer, message.body.byteOffset, message.body.byteLength);
      this.#client.publish(message.topic, body, { qos: message.qos, retain: message.retain }, (error) =>
        settle(outcomeOf(error)),
      );
      void this.#deps.clock.sleep(ackTimeoutMs, AbortSignal.any([signal, lateEnough.signal])).then(() => {
        settle({
          kind: "unknown",
          reason: signal.aborted
            ? "stopped while waiting for the broker's acknowledgement"
            : "the broker did not acknowledge it in time",
        });
      });
    });
    lateEnough.abort();
    return this.#freeSlot(message, outcome);
  }

  #take({ topic, retained, payload }: Publish, done: Done): void {
    const origin = { kind: "topic", topic, retained } as const;
    this.#line.take({ origin, body: payload, receivedAt: this.#deps.clock.now() }, (error) => {
      done(error);
      if (error !== undefined)
        this.#drop(isStop(error) ? "the gateway is stopping" : `a message could not be kept: ${describeError(error)}`);
    });
  }

  /** While nothing is read from the broker its answers to our pings are not either: they are sent and not waited for. */
  async #keepAlive(): Promise<void> {
    const { clock } = this.#deps;
    while (this.connected) {
      await clock.sleep((this.#client.keepalive ?? 60) * 300, this.#ended.signal);
      if (!this.connected || !this.#stream?.isReadingPaused) continue;
      this.#client.sendPing();
      this.#client.reschedulePing(true);
    }
  }

  async #subscribe(connack: IConnackPacket): Promise<void> {
    const { wanted, memory, clock, options, onUp } = this.#deps;
    void this.#keepAlive();
    this.#limits = connack.properties;
    this.#slots = Math.min(maxInFlight, connack.properties?.receiveMaximum ?? maxInFlight);
    try {
      const before = memory.read();
      memory.write(new Set([...before, ...wanted.filters.keys()]));
      const refused = await this.#subscribeAll(options.protocolVersion === 5);
      const stale = connack.sessionPresent ? before.filter((filter) => !wanted.filters.has(filter)) : [];
      if (stale.length > 0) await this.#client.unsubscribeAsync(stale);
      memory.write(wanted.filters.keys());
      this.#upSince = clock.monotonic();
      onUp(refused);
    } catch (error) {
      this.#drop(`cannot subscribe: ${describeError(error)}`);
    }
  }

  /** QoS 1 and never 2: MQTT.js answers QoS 2 from memory. Resolves to the filters that were refused. */
  #subscribeAll(version5: boolean): Promise<string[]> {
    const filters = [...this.#deps.wanted.filters];
    if (filters.length === 0) return Promise.resolve([]);
    const map: ISubscriptionMap = {};
    // Retain Handling 2: no retained message at a subscription where no flow wants one
    for (const [filter, { retained }] of filters) map[filter] = version5 ? { qos: 1, rh: retained ? 0 : 2 } : { qos: 1 };
    return new Promise((resolve, reject) => {
      this.#client.subscribe(map, (error, _granted, suback) => {
        const granted = (suback as { granted?: readonly (number | { qos: number })[] } | undefined)?.granted;
        if (!granted) return error ? reject(error) : resolve([]);
        resolve(filters.flatMap(([filter], index) => (Number(granted[index]) >= 0x80 ? [filter] : [])));
      });
    });
  }

  #refusedByLimits({ topic, body, qos, retain }: Topic): string | undefined {
    const limits = this.#limits;
    const sizeBytes = body.byteLength + Buffer.byteLength(topic) + 16;
    if (limits?.maximumPacketSize !== undefined && sizeBytes > limits.maximumPacketSize)
      return `larger than the ${limits.maximumPacketSize} bytes that the broker takes`;
    if (limits?.maximumQoS !== undefined && qos > limits.maximumQoS) return "the broker does not take QoS 1";
    if (limits?.retainAvailable === false && retain) return "the broker does not keep retained messages";
    return undefined;
  }

  #slot(signal: AbortSignal): Promise<boolean> {
    if (this.#ended.signal.aborted || signal.aborted) return Promise.resolve(false);
    if (this.#slots > 0) {
      this.#slots -= 1;
      return Promise.resolve(true);
    }
    return new Promise((resolve) => {
      const leave = (): void => {
        const place = this.#forSlot.indexOf(enter);
        if (place >= 0) this.#forSlot.splice(place, 1);
        resolve(false);
      };
      const enter = (): void => {
        signal.removeEventListener("abort", leave);
        this.#ended.signal.removeEventListener("abort", leave);
        resolve(true);
      };
      signal.addEventListener("abort", leave, { once: true });
      this.#ended.signal.addEventListener("abort", leave, { once: true });
      this.#forSlot.push(enter);
    });
  }

  #freeSlot(message: Topic, outcome: Outcome): Outcome {
    if (message.qos === 1) {
      const next = this.#forSlot.shift();
      if (next) next();
      else this.#slots += 1;
    }
    return outcome;
  }

  /** Acknowledgements that were written arrive, and those that are due to us; a broker that does not answer is left all the same. */
  #leave(): void {
    if (!this.connected) return this.#drop("stopped");
    this.#reason ??= `${this.#deps.address}: stopped`;
    this.#client.end(false);
    void this.#deps.clock.sleep(leaveMs, this.#ended.signal).then(() => this.#drop("stopped"));
  }

  #drop(reason: string): void {
    this.#reason ??= `${this.#deps.address}: ${reason}`;
    this.#client.end(true);
    // once it ends, MQTT.js does nothing at a second end, and the first may wait for an answer for ever
    this.#stream?.destroy();
  }

  #end(): void {
    this.#ended.abort();
    // MQTT.js would keep them for a next connection of this client; there is none
    for (const settle of this.#inFlight)
      settle({ kind: "unknown", reason: "the connection ended before the broker acknowledged it" });
    this.#inFlight.clear();
    this.#client.removeAllListeners();
    this.#client.on("error", () => {});
    this.#client.end(true);
  }
}

/** Reason codes of a PUBACK that say "not now": quota exceeded, packet identifier in use. */
const notNow = new Set([145, 151]);

function outcomeOf(error: unknown): Outcome {
  if (!error) return { kind: "done" };
  const code = (error as { code?: unknown }).code;
  if (typeof code === "number" && notNow.has(code)) return { kind: "retry", reason: reasonOfCode(code) };
  if (typeof code === "number" && code >= 0x80) return { kind: "refused", reason: reasonOfCode(code) };
  return { kind: "unknown", reason: describeError(error) };
}
