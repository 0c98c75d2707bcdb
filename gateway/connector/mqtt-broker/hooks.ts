import type { Aedes, Client, PublishPacket } from "aedes";

/** A client with the timer of its keep alive, what waits until its socket takes more, and how it is sent a message at QoS 1 or 2. */
export interface TimedClient extends Client {
  readonly _keepaliveTimer?: NodeJS.Timeout;
  readonly _pendingDrains: readonly unknown[];
  deliverQoS(packet: object, done: () => void): void;
  duplicates: Record<string, number>;
}

/** The parts of aedes that are stepped into. */
interface Insides {
  readonly clients: Record<string, Client | undefined>;
  /** How a client's message is given on, once it may be acknowledged; the broker's own come with two arguments. */
  publish(packet: PublishPacket, client: unknown, done?: () => void): void;
  subscribe(filter: string, receive: Receive, done: () => void): void;
  unsubscribe(filter: string, receive: Receive, done?: () => void): void;
  registerClient(client: Client): void;
  unregisterClient(client: Client): void;
  _finishRegisterClient(client: Client): void;
}
type Receive = (packet: unknown, done: () => void) => void;

/**
 * Steps in where aedes 1.2 offers no hook; its types name none of this, so an update of it wants the connector's tests.
 * @param isForwarded whether a message has to go any further than to the gateway
 */
export function hookInto(broker: Aedes, isForwarded: (packet: PublishPacket) => boolean): void {
  const insides = broker as unknown as Insides;
  const publish = insides.publish.bind(broker);
  // what devices send is mostly for the gateway alone: nobody has subscribed to it, and nothing of it is kept for anybody
  insides.publish = (packet, client, done) => {
    if (done && !isForwarded(packet)) done();
    else publish(packet, client, done);
  };
  registerOnePerId(broker, insides);
  forwardWithoutWaiting(broker, insides);
}

/**
 * aedes takes a message for one that a client has had when a newer one was given on before: one that is kept on its way is passed by one that
 * is not. Whoever forwards has to see to it that a message that several filters match is sent once.
 */
export function forgetDuplicates(client: TimedClient): void {
  client.duplicates = new Proxy({}, { get: () => 0, set: () => true });
}

/**
 * aedes takes an older client with the same id off its list when that one's end has come, also when a newer one is on the list by then,
 * and waits with the newer one for an end that may be under way: two that live, one of them on no list.
 */
function registerOnePerId(broker: Aedes, insides: Insides): void {
  const unregister = insides.unregisterClient.bind(broker);
  insides.registerClient = (client) => {
    if (client.closed) return;
    const older = insides.clients[client.id];
    if (older && older !== client) {
      unregister(older);
      older.close();
    }
    insides._finishRegisterClient(client);
  };
  insides.unregisterClient = (client) => {
    if (insides.clients[client.id] === client) unregister(client);
  };
}

/** aedes gives the next message on when each receiver's socket has taken this one, a hundred at a time: one that does not read would hold up all. */
function forwardWithoutWaiting(broker: Aedes, insides: Insides): void {
  const receivers = new WeakMap<Receive, Receive>();
  const subscribe = insides.subscribe.bind(broker);
  const unsubscribe = insides.unsubscribe.bind(broker);
  insides.subscribe = (filter, receive, done) => {
    const own: Receive = (packet, taken) => {
      receive(packet, () => {});
      taken();
    };
    receivers.set(receive, own);
    subscribe(filter, own, done);
  };
  insides.unsubscribe = (filter, receive, done) => unsubscribe(filter, receivers.get(receive) ?? receive, done);
}
