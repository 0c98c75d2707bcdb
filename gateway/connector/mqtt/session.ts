import type { Duplex } from "node:stream";
import { connect, type IClientOptions, type IConnackPacket, type ISubscriptionMap, type MqttClient } from "mqtt";
import { type Clock, describeError } from "../../../protocol/index.ts";
import type { Inlet, Outbound, Outcome } from "../connector.ts";
import { type Done, IntakeLine, isStop } from "./intake-line.ts";
import { IntakeStream } from "./intake-stream.ts";
import { Outgoing } from "./outgoing.ts";
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

/** How long a SUBSCRIBE may go unanswered, while no messages come that were due before the answer; and in all. */
const subscribeTimeoutMs = 15_000;
const maxSubscribeTimeouts = 20;
/** How long a stop waits for what is under way in both directions. */
const leaveMs = 500;

/** How MQTT.js makes its connection, by the URL; its types hide it from all but those who make one themselves. */
interface Dialler {
  streamBuilder: (client: MqttClient) => Duplex;
}

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
  readonly #outgoing: Outgoing;
  #reason: string | undefined;
  #upSince: number | undefined;

  constructor(deps: SessionDeps) {
    this.#deps = deps;
    const { inlet, clock, onHeld, onFreed } = deps;
    this.#line = new IntakeLine({ inlet, clock, signal: this.#ended.signal, onHeld, onFreed });
    this.#client = connect(deps.url, { ...deps.options, manualConnect: true });
    this.#outgoing = new Outgoing({
      client: this.#client,
      clock,
      isOpen: () => this.#isOpen,
      onUnanswered: (reason) => this.#drop(reason),
    });
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

  /** Takes messages for the broker: what is begun while it leaves would not go out any more. */
  get isTaking(): boolean {
    return this.#outgoing.isTaking;
  }

  get #isOpen(): boolean {
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

  /** One publish; see {@link Outgoing.publish}. */
  publish(message: Extract<Outbound, { kind: "topic" }>, signal: AbortSignal): Promise<Outcome> {
    return this.#outgoing.publish(message, signal);
  }

  #take({ topic, retained, payload, wholeBytes }: Publish, done: Done): void {
    const origin = { kind: "topic", topic, retained } as const;
    const input = { origin, body: payload, wholeBytes, receivedAt: this.#deps.clock.now() };
    this.#line.take(input, (error) => {
      done(error);
      if (error !== undefined)
        this.#drop(isStop(error) ? "the gateway is stopping" : `a message could not be kept: ${describeError(error)}`);
    });
  }

  /** While nothing is read from the broker, or a large message takes its time, the answers to our pings have to wait: they are sent all the same. */
  async #keepAlive(): Promise<void> {
    const { clock } = this.#deps;
    while (this.#isOpen) {
      const before = this.#stream?.messageBytes;
      await clock.sleep((this.#client.keepalive ?? 60) * 300, this.#ended.signal);
      const isLargeComing = this.#stream?.isInPacket && this.#stream.messageBytes !== before;
      if (!this.#isOpen || !(this.#stream?.isReadingPaused || isLargeComing)) continue;
      this.#client.sendPing();
      this.#client.reschedulePing(true);
    }
  }

  async #subscribe(connack: IConnackPacket): Promise<void> {
    const { wanted, memory, clock, options, onUp } = this.#deps;
    void this.#keepAlive();
    this.#outgoing.limit(connack.properties);
    try {
      const before = memory.read();
      memory.write(new Set([...before, ...wanted.filters.keys()]));
      const refused = await this.#answered(this.#subscribeAll(options.protocolVersion === 5));
      const stale = connack.sessionPresent ? before.filter((filter) => !wanted.filters.has(filter)) : [];
      if (stale.length > 0) await this.#answered(this.#client.unsubscribeAsync(stale));
      memory.write(wanted.filters.keys());
      this.#upSince = clock.monotonic();
      onUp(refused);
    } catch (error) {
      this.#drop(`cannot subscribe: ${describeError(error)}`);
    }
  }

  /** Rejects where no answer comes; the time in which the disk holds up reading, and with it the answer, does not count. */
  async #answered<Answer>(answer: Promise<Answer>): Promise<Answer> {
    const over = new AbortController();
    try {
      return await Promise.race([answer, this.#unanswered(AbortSignal.any([over.signal, this.#ended.signal]))]);
    } finally {
      over.abort();
    }
  }

  async #unanswered(signal: AbortSignal): Promise<never> {
    for (let left = maxSubscribeTimeouts; left > 0 && !signal.aborted; ) {
      const before = this.#stream?.messageBytes;
      await this.#deps.clock.sleep(subscribeTimeoutMs, signal);
      if (this.#stream?.isReadingPaused) continue;
      // a session that was kept begins with what gathered meanwhile
      left = this.#stream?.messageBytes === before ? 0 : left - 1;
    }
    throw new Error("the broker does not answer");
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

  /** Acknowledgements that were written arrive, and those that are due to us; a broker that does not answer is left all the same. */
  #leave(): void {
    if (!this.#isOpen) return this.#drop("stopped");
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
    this.#outgoing.end();
    this.#client.removeAllListeners();
    this.#client.on("error", () => {});
    this.#client.end(true);
  }
}
