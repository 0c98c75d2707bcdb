import { createServer, type Server, type Socket } from "node:net";
import type { Aedes } from "aedes";
import {
  backoff,
  type ConnectorReport,
  describeError,
  type MqttBrokerConnectorConfig,
  topicMatches,
} from "../../../protocol/index.ts";
import { Condition } from "../condition.ts";
import type { Connector, ConnectorDeps, Outbound, Outcome } from "../connector.ts";
import { Admission } from "./admission.ts";
import { openBroker } from "./broker.ts";
import { Connections } from "./connections.ts";
import { Gate } from "./gate.ts";
import { Holds } from "./holds.ts";
import { forgetDuplicates, type TimedClient } from "./hooks.ts";
import { MemoryBudget } from "./memory-budget.ts";
import { Outbox } from "./outbox.ts";
import { Publications } from "./publications.ts";
import { Refusals } from "./refusals.ts";
import { Retained } from "./retained.ts";
import { Sessions } from "./sessions.ts";
import { Users } from "./users.ts";

/**
 * A broker for plants without one: MQTT 3.1.1 by aedes. A message is given to the queue in `authorizePublish` and nowhere else:
 * aedes awaits it before PUBACK and PUBREC, and awaits no other hook. Sessions, retained messages and what subscribers have not
 * acknowledged lie in memory: what must outlive a restart lies in the gateway's queue.
 */
export class MqttBrokerConnector implements Connector {
  readonly #deps: ConnectorDeps<MqttBrokerConnectorConfig>;
  readonly #condition: Condition;
  readonly #users: Users;
  readonly #refusals: Refusals;
  readonly #connections = new Connections();
  readonly #budget = new MemoryBudget();
  readonly #stopping = new AbortController();
  #running: Promise<void> | undefined;
  #outbox: Outbox | undefined;
  #server: Server | undefined;

  /** @throws PlantgateError SECRET_MISSING */
  constructor(deps: ConnectorDeps<MqttBrokerConnectorConfig>) {
    this.#deps = deps;
    this.#condition = new Condition(deps.name, "mqtt-broker", deps.clock);
    this.#users = new Users(deps.config.users, deps.secrets);
    this.#refusals = new Refusals(deps.clock, deps.log);
  }

  /** Where it listens; undefined while it does not. With port 0 in the configuration the system chose it. */
  get port(): number | undefined {
    const address = this.#server?.address();
    return typeof address === "object" && address !== null ? address.port : undefined;
  }

  async start(signal: AbortSignal): Promise<void> {
    if (this.#running) return;
    const tried = Promise.withResolvers<void>();
    this.#running = this.#run(AbortSignal.any([signal, this.#stopping.signal]), tried.resolve);
    await tried.promise;
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#running;
    this.#condition.stopped();
  }

  report(): ConnectorReport {
    return this.#condition.report();
  }

  /** See {@link Outbox.deliver} for when a message counts as done. */
  async deliver(message: Outbound, signal: AbortSignal): Promise<Outcome> {
    if (message.kind !== "topic") return { kind: "refused", reason: "an MQTT broker takes messages on topics only" };
    const { topic } = message;
    if (!this.#deps.config.grants.publish.some((filter) => topicMatches(filter, topic))) {
      return { kind: "refused", reason: `the topic ${topic} is outside this connector's grants` };
    }
    if (!this.#outbox || !this.#server) return { kind: "retry", reason: this.report().reason ?? "the broker does not run" };
    return this.#outbox.deliver(message, signal);
  }

  /** Listens, and tries again while the address is taken; `tried` after the first attempt. */
  async #run(signal: AbortSignal, tried: () => void): Promise<void> {
    const { config, clock, log } = this.#deps;
    const broker = await this.#openBroker();
    const delays = backoff({ baseMs: 500, capMs: 30_000 });
    while (!signal.aborted) {
      const server = createServer((socket) => this.#admit(socket, broker));
      server.maxConnections = Connections.most;
      server.on("drop", () => this.#refusals.note("too many connections", { most: Connections.most }));
      try {
        await listen(server, config.port, config.host);
        this.#server = server;
        this.#condition.connected();
        log.info({ event: "mqttBroker.listener.opened", host: config.host, port: this.port }, "embedded broker listens");
        tried();
        await aborted(signal);
        await this.#close(server, broker);
      } catch (error) {
        const reason = `cannot listen on ${config.host}:${config.port}: ${describeError(error)}`;
        this.#condition.down(reason);
        this.#refusals.note("the embedded broker cannot listen", { reason });
        tried();
        await clock.sleep(delays.next().value, signal);
      }
    }
    tried();
    await new Promise<void>((resolve) => broker.close(resolve));
  }

  /** Clients first, so that aedes knows that their ends are ours; then whoever else has a connection. */
  async #close(server: Server, broker: Aedes): Promise<void> {
    const closed = new Promise<void>((resolve) => server.close(() => resolve()));
    this.#server = undefined;
    await new Promise<void>((resolve) => broker.close(resolve));
    this.#connections.endAll();
    await closed;
  }

  async #openBroker(): Promise<Aedes> {
    const { inlet, wiring, clock, config } = this.#deps;
    const refusals = this.#refusals;
    const users = this.#users;
    const connections = this.#connections;
    const sessions = new Sessions(() =>
      refusals.note("too many stored sessions; the one that was away longest is forgotten", {}),
    );
    const retained = new Retained();
    const holds = new Holds({ inlet, clock, condition: this.#condition, isListening: () => this.#server !== undefined });
    const broker = await openBroker({
      admission: new Admission({ users, connections, sessions, holds, refusals }),
      connections,
      sessions,
      retained,
      publications: new Publications({
        inlet,
        wiring,
        relay: config.relay,
        sessions,
        refusals,
        clock,
        signal: this.#stopping.signal,
      }),
      users,
      refusals,
      onForward: (link, packet) => this.#outbox?.forward(link, packet),
      onAcknowledged: (link, packetId) => this.#outbox?.acknowledged(link, packetId),
    });
    this.#outbox = new Outbox(broker, () => connections.links(), retained, clock);
    return broker;
  }

  #admit(socket: Socket, broker: Aedes): void {
    socket.setNoDelay(true);
    socket.setKeepAlive(true, 60_000);
    const gate: Gate = new Gate({
      socket,
      budget: this.#budget,
      onTooLarge: (sizeBytes, limitBytes) => this.#refusals.note("a packet larger than the limit", { sizeBytes, limitBytes }),
      onTooMuch: (heldBytes) =>
        this.#refusals.note("connections have too much under way; the one with most of it was ended", { heldBytes }),
      onPing: () => {
        if (!client.connected) return false;
        // what aedes hears sets its timer back as well
        client._keepaliveTimer?.refresh();
        return true;
      },
    });
    const client = broker.handle(gate) as TimedClient;
    forgetDuplicates(client);
    const { gaveWay } = this.#connections.begin(client, gate);
    if (gaveWay) this.#refusals.note("many connections that nobody was let in over; the oldest was ended", {});
  }
}

function listen(server: Server, port: number, host: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, host, () => {
      server.off("error", reject);
      server.on("error", () => {});
      resolve();
    });
  });
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener("abort", () => resolve(), { once: true });
  });
}
