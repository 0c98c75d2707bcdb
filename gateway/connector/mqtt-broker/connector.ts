import { createServer, type Server, type Socket } from "node:net";
import { Aedes, type AedesPublishPacket, type AuthenticateError, type Client } from "aedes";
import {
  backoff,
  type ConnectorReport,
  describeError,
  type MqttBrokerConnectorConfig,
  PlantgateError,
  topicMatches,
} from "../../../protocol/index.ts";
import { Condition } from "../condition.ts";
import type { Connector, ConnectorDeps, Outbound, Outcome } from "../connector.ts";
import { IntakeLine } from "../mqtt/intake-line.ts";
import { Gate } from "./gate.ts";
import { hookInto, type TimedClient } from "./hooks.ts";
import { Link } from "./link.ts";
import { Outbox } from "./outbox.ts";
import { Publications } from "./publications.ts";
import { Refusals } from "./refusals.ts";
import { type User, Users } from "./users.ts";

const maxConnections = 1000;
const maxPacketBytes = 16 * 1024 * 1024;
const maxClientIdLength = 256;
/** Messages a client may leave unacknowledged before it is disconnected. */
const maxUnacknowledged = 1000;

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
  readonly #publications: Publications;
  readonly #links = new Map<Client, Link>();
  /** Also of connections that have ended, for their wills. */
  readonly #userOf = new WeakMap<Client, User>();
  readonly #gates = new WeakMap<Client, Gate>();
  readonly #stopping = new AbortController();
  #running: Promise<void> | undefined;
  #outbox: Outbox | undefined;
  #server: Server | undefined;
  /** Connections whose messages wait for room in the queue. */
  #held = 0;

  /** @throws PlantgateError SECRET_MISSING */
  constructor(deps: ConnectorDeps<MqttBrokerConnectorConfig>) {
    this.#deps = deps;
    this.#condition = new Condition(deps.name, "mqtt-broker", deps.clock);
    this.#users = new Users(deps.config.users, deps.secret);
    this.#refusals = new Refusals(deps.clock, deps.log);
    const { inlet, wiring, clock } = deps;
    this.#publications = new Publications({
      inlet,
      wiring,
      users: this.#users,
      refusals: this.#refusals,
      clock,
      signal: this.#stopping.signal,
    });
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
      server.maxConnections = maxConnections;
      server.on("drop", () => this.#refusals.note("too many connections", { most: maxConnections }));
      try {
        await listen(server, config.port, config.host);
        this.#server = server;
        this.#condition.connected();
        log.info({ event: "mqttBroker.listener.opened", host: config.host, port: this.port }, "embedded broker listens");
        tried();
        await aborted(signal);
        server.close();
      } catch (error) {
        const reason = `cannot listen on ${config.host}:${config.port}: ${describeError(error)}`;
        this.#condition.down(reason);
        this.#refusals.note("the embedded broker cannot listen", { reason });
        tried();
        await clock.sleep(delays.next().value, signal);
      }
    }
    tried();
    this.#server = undefined;
    await new Promise<void>((resolve) => broker.close(resolve));
  }

  async #openBroker(): Promise<Aedes> {
    const broker = await Aedes.createBroker({
      preConnect: (client, packet, done) => {
        const version = packet.protocolVersion as number | undefined;
        // aedes answers "unacceptable protocol version"; the log says what to do about it
        if (version !== undefined && version > 4) {
          this.#refusals.note("this broker speaks MQTT 3.1.1 only; set the client to that version", {
            clientId: packet.clientId,
            version,
          });
        }
        done(null, !client.closed);
      },
      authenticate: (client, username, password, done) => {
        const result = this.#authenticate(client, username, password);
        if (typeof result === "number") {
          const error = Object.assign(new Error(result === 4 ? "wrong username or password" : "client id rejected"), {
            returnCode: result,
          });
          done(error as AuthenticateError, false);
        } else done(null, true);
      },
      authorizePublish: (client, packet, done) => {
        const user = client && this.#userOf.get(client);
        if (client && user) this.#publications.receive(client, user, this.#links.get(client), packet, done);
        else done(new Error("not connected"));
      },
      authorizeSubscribe: (client, subscription, done) => {
        const link = this.#links.get(client);
        if (link?.user.maySubscribe(subscription.topic)) {
          link.subscriptions.set(subscription.topic, subscription.qos);
          done(null, subscription);
        } else {
          this.#refusals.note("a subscription outside the user's grants", { user: link?.user.name, filter: subscription.topic });
          done(null, null);
        }
      },
      authorizeForward: (client, packet: AedesPublishPacket & { clientId?: string }) => {
        const link = this.#links.get(client);
        if (link) this.#outbox?.forward(link, packet);
        return packet;
      },
    });
    broker.on("unsubscribe", (filters, client) => {
      for (const filter of filters) this.#links.get(client)?.subscriptions.delete(filter);
    });
    broker.on("clientError", (client, error) =>
      this.#refusals.note("a client's connection failed", { clientId: client.id, reason: error.message }),
    );
    broker.on("connectionError", (_client, error) =>
      this.#refusals.note("a connection failed before it was a client's", { reason: error.message }),
    );
    broker.on("keepaliveTimeout", (client) =>
      this.#refusals.note("a client was silent for longer than its keep alive", { clientId: client.id }),
    );
    hookInto(broker, {
      isForwarded: (topic) => this.#users.anyoneMayReceive(topic),
      release: (client, packetId) => this.#release(client, packetId),
      receiving: (subscribers) => this.#receiving(subscribers),
      acknowledged: (client, packetId) => {
        const link = this.#links.get(client);
        if (!link) return;
        link.unacknowledged = Math.max(0, link.unacknowledged - 1);
        this.#outbox?.acknowledged(link, packetId);
      },
    });
    this.#outbox = new Outbox(broker, () => this.#links.values(), this.#deps.clock);
    return broker;
  }

  #admit(socket: Socket, broker: Aedes): void {
    socket.setNoDelay(true);
    socket.setKeepAlive(true, 60_000);
    const gate: Gate = new Gate({
      socket,
      maxPacketBytes,
      onTooLarge: (sizeBytes) => this.#refusals.note("a packet larger than the limit", { sizeBytes, limitBytes: maxPacketBytes }),
      onPing: () => {
        if (!client.connected) return false;
        // what aedes hears sets its timer back as well
        client._keepaliveTimer?.refresh();
        return true;
      },
    });
    const client: TimedClient = broker.handle(gate);
    this.#gates.set(client, gate);
  }

  /** The link, or the return code of CONNACK (MQTT 3.1.1, table 3.1). */
  #authenticate(client: Client, username: string | undefined, password: Buffer | undefined): Link | 2 | 4 {
    const user = this.#users.authenticate(username, password);
    if (!user) {
      this.#refusals.note("wrong username or password", { username: username?.slice(0, 64), clientId: client.id.slice(0, 64) });
      return 4;
    }
    const taken = [...this.#links].find(([other, link]) => link.clientId === client.id && !other.closed);
    // a second connection with a client id ends the first; another user's must not be ended that way
    if (client.id.length > maxClientIdLength || (taken && taken[1].user !== user)) {
      this.#refusals.note("a client id that is too long, or in use by another user", {
        user: user.name,
        clientId: client.id.slice(0, 64),
      });
      return 2;
    }
    const link = this.#openLink(client, user);
    this.#links.set(client, link);
    this.#userOf.set(client, user);
    client.conn.once("close", () => this.#links.delete(client));
    return link;
  }

  #openLink(client: Client, user: User): Link {
    const { inlet, clock } = this.#deps;
    const gate = this.#gates.get(client);
    if (!gate) throw new PlantgateError("INVARIANT", "a client that came over no connection of ours");
    const closed = new AbortController();
    let holds = false;
    const onHeld = (): void => {
      if (!holds) this.#held += 1;
      holds = true;
      this.#condition.degraded("the queue is full: clients are not read from until there is room");
    };
    const onFreed = (): void => {
      if (!holds) return;
      holds = false;
      this.#held -= 1;
      if (this.#held === 0 && this.#server) this.#condition.recovered();
    };
    client.conn.once("close", () => {
      closed.abort();
      onFreed();
    });
    const line = new IntakeLine({ inlet, clock, signal: closed.signal, onHeld, onFreed });
    return new Link(client, user, gate, line, closed.signal);
  }

  async #release(client: Client, packetId: number): Promise<void> {
    try {
      const link = this.#links.get(client);
      if (!link) throw new Error("the connection has ended");
      await this.#publications.release(link, packetId);
    } catch (error) {
      // aedes would send PUBCOMP all the same; without it the sender asks again
      client.conn.destroy();
      throw error;
    }
  }

  /** Who gets a message: those connected. Keeping it in memory for the others would have no bound, and end with the process. */
  #receiving<S extends { clientId: string }>(subscriptions: S[]): S[] {
    if (subscriptions.length === 0) return subscriptions;
    const connected = new Map([...this.#links].map(([client, link]) => [link.clientId, { client, link }]));
    return subscriptions.filter(({ clientId }) => {
      const receiver = connected.get(clientId);
      if (!receiver) return false;
      receiver.link.unacknowledged += 1;
      if (receiver.link.unacknowledged <= maxUnacknowledged) return true;
      this.#refusals.note("a subscriber that acknowledges nothing was disconnected", {
        clientId,
        unacknowledged: receiver.link.unacknowledged,
      });
      receiver.client.close();
      return false;
    });
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
