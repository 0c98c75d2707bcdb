import { Aedes, type AedesPublishPacket, type AuthenticateError, type Client } from "aedes";
import { describeError } from "../../../protocol/index.ts";
import type { Admission } from "./admission.ts";
import type { Connections } from "./connections.ts";
import { hookInto, type TimedClient } from "./hooks.ts";
import type { Link } from "./link.ts";
import { Persistence } from "./persistence.ts";
import type { Publications } from "./publications.ts";
import type { Refusals } from "./refusals.ts";
import type { Retained } from "./retained.ts";
import type { Sessions } from "./sessions.ts";
import type { Users } from "./users.ts";

/** How long a connection may say nothing before CONNECT. */
const connectTimeoutMs = 10_000;

export interface BrokerDeps {
  readonly admission: Admission;
  readonly connections: Connections;
  readonly sessions: Sessions;
  readonly retained: Retained;
  readonly publications: Publications;
  readonly users: Users;
  readonly refusals: Refusals;
  /** A message is about to be sent to a client. */
  readonly onForward: (link: Link, packet: AedesPublishPacket) => void;
  readonly onAcknowledged: (link: Link, packetId: number) => void;
}

const refused = { 2: "client id rejected", 3: "too many clients", 4: "wrong username or password" } as const;

/** aedes, with all that it leaves to its host. */
export async function openBroker(deps: BrokerDeps): Promise<Aedes> {
  const { admission, connections, sessions, publications, users, refusals } = deps;
  const broker = await Aedes.createBroker({
    connectTimeout: connectTimeoutMs,
    persistence: new Persistence({
      sessions,
      retained: deps.retained,
      release: (client, packetId) => release(deps, client, packetId),
      acknowledged: (client, packetId) => {
        const link = connections.linkOf(client);
        if (link) deps.onAcknowledged(link, packetId);
      },
      onFull: (client) => endReceiver(deps, client, "a subscriber that acknowledges nothing was disconnected"),
      onNotRetained: () =>
        refusals.note("there is no room for another retained message; it is not kept for later subscribers", {}),
    }),
    preConnect: (client, packet, done) => {
      if (client.closed || admission.isWellFormed(packet)) done(null, !client.closed);
      else done(new Error("a CONNECT that is not well-formed"), false);
    },
    authenticate: (client, username, password, done) => {
      const result = admission.judge(client as TimedClient & { clean: boolean }, username, password);
      if (typeof result !== "number") return done(null, true);
      done(Object.assign(new Error(refused[result]), { returnCode: result }) as AuthenticateError, false);
    },
    authorizePublish: (client, packet, done) => {
      const user = client && connections.userOf(client);
      if (client && user) publications.receive(client, user, connections.linkOf(client), packet, done);
      else done(new Error("not connected"));
    },
    authorizeSubscribe: (client, subscription, done) =>
      done(null, maySubscribe(deps, client, subscription) ? subscription : null),
    authorizeForward: (client, packet) => (isForwardedTo(deps, client, packet) ? packet : null),
  });
  hookInto(broker, ({ topic, retain }) => users.anyoneMayReceive(topic) && (retain || sessions.hasSubscriber(topic)));
  listenTo(broker, deps);
  return broker;
}

function maySubscribe(deps: BrokerDeps, client: Client, { topic: filter, qos }: { topic: string; qos: number }): boolean {
  const { connections, sessions, refusals } = deps;
  const link = connections.linkOf(client);
  // it is on its way out: the filters that were left in its packet are not looked at
  if (!link || link.closed.aborted || client.conn.destroyed) return false;
  if (!link.user.maySubscribe(filter)) {
    refusals.note("a subscription outside the user's grants", { user: link.user.name, filter: filter.slice(0, 200) });
    return false;
  }
  if (sessions.subscribe(link.session, filter, qos)) return true;
  refusals.note("a client with too many subscriptions was disconnected", { user: link.user.name, clientId: link.clientId });
  link.end();
  return false;
}

function isForwardedTo(deps: BrokerDeps, client: Client, packet: AedesPublishPacket): boolean {
  const link = deps.connections.linkOf(client);
  if (!link || client.conn.destroyed) return false;
  // what was retained, and what is sent again, comes as fast as the client reads it
  if ((packet as { messageId?: number }).messageId !== undefined) return true;
  if (packet.retain) {
    deps.onForward(link, packet);
    return true;
  }
  if (link.doesNotRead) {
    endReceiver(deps, client, "a subscriber that does not read was disconnected");
    return false;
  }
  // what is kept for it follows what it is sent again; at QoS 0 it was not there yet
  if (!link.isReady || !link.isAnother(packet)) return false;
  deps.onForward(link, packet);
  return true;
}

function endReceiver({ connections, refusals }: BrokerDeps, client: Client, sentence: string): void {
  const link = connections.linkOf(client);
  if (!link || client.conn.destroyed) return;
  refusals.note(sentence, { clientId: client.id, unacknowledged: link.session.outgoing.size, unreadBytes: link.unreadBytes });
  link.end();
}

async function release({ connections, publications }: BrokerDeps, client: Client, packetId: number): Promise<void> {
  try {
    const link = connections.linkOf(client);
    if (!link) throw new Error("the connection has ended");
    await publications.release(link, packetId);
  } catch (error) {
    // aedes would send PUBCOMP all the same; without it the sender asks again
    client.conn.destroy();
    throw error;
  }
}

function listenTo(broker: Aedes, { connections, sessions, refusals }: BrokerDeps): void {
  broker.on("clientReady", (client) => connections.linkOf(client)?.open());
  broker.on("unsubscribe", (filters, client) => {
    const session = sessions.of(client);
    if (session?.client === client) for (const filter of filters) sessions.unsubscribe(session, filter);
  });
  broker.on("clientError", (client, error) =>
    refusals.note("a client's connection failed", { clientId: client.id, reason: error.message }),
  );
  broker.on("connectionError", (_client, error) =>
    refusals.note("a connection failed before it was a client's", { reason: error.message }),
  );
  broker.on("keepaliveTimeout", (client) =>
    refusals.note("a client was silent for longer than its keep alive", { clientId: client.id }),
  );
  // aedes reports what it cannot do for nobody in particular; unheard, it would end the process
  broker.on(
    "error" as "closed",
    ((error: unknown) =>
      refusals.note("the embedded broker failed at something", { reason: describeError(error) })) as () => void,
  );
}
