import type { IClientOptions } from "mqtt";
import { backoff, type ConnectorReport, durationMs, type MqttConnectorConfig, topicMatches } from "../../../protocol/index.ts";
import { Condition } from "../condition.ts";
import type { Connector, ConnectorDeps, Outbound, Outcome } from "../connector.ts";
import { maxUnflushed } from "./intake-stream.ts";
import { addressOf } from "./reason.ts";
import { Session } from "./session.ts";
import { SubscriptionMemory, type Wanted, wantedSubscriptions } from "./subscriptions.ts";

/** A session that lasted this long was good: the next dial begins with the shortest delay again. */
const goodSessionMs = 30_000;
/** The largest packet of MQTT (1.5.5): a WebSocket that takes less ends at it, at each connection anew. */
const maxPayload = 268_435_455 + 5;

/**
 * Client of the plant's own broker. The broker keeps our session, so what is published while we are away comes later. It is
 * dialled for ever, with jittered backoff; between connections, messages wait in the queue.
 */
export class MqttConnector implements Connector {
  readonly #deps: ConnectorDeps<MqttConnectorConfig>;
  readonly #condition: Condition;
  readonly #options: IClientOptions;
  readonly #wanted: Wanted;
  readonly #memory: SubscriptionMemory;
  readonly #address: string;
  readonly #stopping = new AbortController();
  #running: Promise<void> | undefined;
  #session: Session | undefined;
  #complaint: string | undefined;
  #loggedReason: string | undefined;

  /** @throws PlantgateError SECRET_MISSING */
  constructor(deps: ConnectorDeps<MqttConnectorConfig>) {
    this.#deps = deps;
    this.#condition = new Condition(deps.name, "mqtt", deps.clock);
    this.#options = clientOptions(deps);
    this.#wanted = wantedSubscriptions(deps.wiring, deps.config.grants);
    this.#memory = new SubscriptionMemory(deps.folder());
    this.#address = addressOf(deps.config.url);
  }

  async start(signal: AbortSignal): Promise<void> {
    this.#running ??= this.#run(AbortSignal.any([signal, this.#stopping.signal]));
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#running;
    this.#condition.stopped();
  }

  report(): ConnectorReport {
    return this.#condition.report();
  }

  /** Resolves with the PUBACK (QoS 1) or when it is written (QoS 0); a link that drops before the PUBACK leaves it unknown. */
  async deliver(message: Outbound, signal: AbortSignal): Promise<Outcome> {
    if (message.kind !== "topic") return { kind: "refused", reason: "an MQTT broker takes messages on topics only" };
    const { topic } = message;
    if (!isTopicName(topic))
      return { kind: "refused", reason: `"${topic.slice(0, 200)}" is not a topic: empty, too long, or with a wildcard` };
    if (!this.#deps.config.grants.publish.some((filter) => topicMatches(filter, topic))) {
      return { kind: "refused", reason: `the topic ${topic} is outside this connector's grants` };
    }
    const session = this.#session;
    if (!session?.isTaking) return { kind: "retry", reason: this.#condition.report().reason ?? "not connected to the broker" };
    return session.publish(message, signal);
  }

  async #run(signal: AbortSignal): Promise<void> {
    const { config, inlet, clock, log } = this.#deps;
    const memory = this.#memory;
    const fresh = () => backoff({ baseMs: 500, capMs: 30_000 });
    let delays = fresh();
    while (!signal.aborted) {
      const session = new Session({
        url: config.url,
        address: this.#address,
        options: this.#options,
        wanted: this.#wanted,
        memory,
        inlet,
        clock,
        onUp: (refused) => this.#up(refused),
        onHeld: () => this.#condition.degraded("the queue is full: nothing is read from the broker until there is room"),
        onFreed: () => this.#settle(),
      });
      this.#session = session;
      const reason = await session.run(signal);
      this.#session = undefined;
      if (signal.aborted) return;
      this.#condition.down(reason);
      if (session.upForMs > goodSessionMs) delays = fresh();
      const delayMs = delays.next().value;
      if (reason !== this.#loggedReason)
        log.warn({ event: "mqtt.session.ended", reason, delayMs }, "no connection to the broker, dialling again");
      this.#loggedReason = reason;
      await clock.sleep(delayMs, signal);
    }
  }

  #up(refused: readonly string[]): void {
    const { log, clock } = this.#deps;
    const complaints: string[] = [];
    if (refused.length > 0) complaints.push(`the broker does not grant ${refused.join(", ")}`);
    if (this.#wanted.outside.length > 0) complaints.push(`outside this connector's grants: ${this.#wanted.outside.join(", ")}`);
    this.#complaint = complaints.length > 0 ? complaints.join("; ") : undefined;
    this.#loggedReason = undefined;
    this.#condition.connected();
    this.#settle();
    log.info({ event: "mqtt.session.started", at: clock.now(), address: this.#address, refused }, "connected to the broker");
  }

  #settle(): void {
    if (this.#complaint === undefined) this.#condition.recovered();
    else this.#condition.degraded(this.#complaint);
  }
}

function clientOptions({ site, name, config, secret }: ConnectorDeps<MqttConnectorConfig>): IClientOptions {
  const version5 = config.version === "5";
  const seconds = (text: string, most: number): number => Math.min(most, Math.max(1, Math.round(durationMs(text) / 1000)));
  return {
    protocolVersion: version5 ? 5 : 4,
    clientId: config.clientId ?? `plantgate-${site}-${name}`,
    username: config.username,
    password: config.password && secret(config.password),
    keepalive: seconds(config.keepAlive, 65_535),
    clean: false,
    connectTimeout: 15_000,
    reconnectPeriod: 0,
    resubscribe: false,
    queueQoSZero: false,
    wsOptions: { maxPayload },
    ...(version5
      ? { properties: { sessionExpiryInterval: seconds(config.sessionExpiry, 0xffffffff), receiveMaximum: maxUnflushed } }
      : {}),
  };
}

/** MQTT 3.1.1, 4.7.1 and 4.7.3. */
function isTopicName(topic: string): boolean {
  return topic.length > 0 && Buffer.byteLength(topic) <= 65_535 && !["+", "#", "\u0000"].some((sign) => topic.includes(sign));
}
