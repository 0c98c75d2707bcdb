import type { Aedes, Client, PublishPacket } from "aedes";

/** What the connector has a say in, beside aedes' own hooks. */
export interface BrokerHooks {
  /** Whether a message on this topic has to go any further than to the gateway. */
  isForwarded(topic: string): boolean;
  /** A sender releases a QoS 2 message; awaited before PUBCOMP. */
  release(client: Client, packetId: number): Promise<void>;
  /** Those of the subscribers who get a message at QoS 1 and 2. */
  receiving<S extends { clientId: string }>(subscribers: S[]): S[];
  /** A subscriber sent PUBACK. */
  acknowledged(client: Client, packetId: number): void;
}

/** A client with the timer of its keep alive. */
export interface TimedClient extends Client {
  readonly _keepaliveTimer?: NodeJS.Timeout;
}

/** How aedes gives a client's message on, once it may be acknowledged; its own messages come with two arguments. */
interface Forwarder {
  publish: (packet: PublishPacket, client: unknown, done?: () => void) => void;
}

/** The part of aedes' persistence that is watched. */
interface Persistence {
  incomingGetPacket(client: Client, packet: { cmd: string; messageId: number }): Promise<unknown>;
  outgoingEnqueueCombi(subscriptions: { clientId: string }[], packet: unknown): Promise<void>;
  outgoingClearMessageId(client: Client, packet: { cmd: string; messageId: number }): Promise<unknown>;
}

/** Steps in where aedes 1.2 offers no hook; its types name none of this, so an update of it wants the connector's tests. */
export function hookInto(broker: Aedes, hooks: BrokerHooks): void {
  const forwarder = broker as unknown as Forwarder;
  const publish = forwarder.publish.bind(broker);
  // what devices send is mostly for the gateway alone: nobody can have subscribed to it, and nothing of it is kept for anybody
  forwarder.publish = (packet, client, done) => {
    if (done && !hooks.isForwarded(packet.topic)) done();
    else publish(packet, client, done);
  };

  const { persistence } = broker as unknown as { persistence: Persistence };
  const getPacket = persistence.incomingGetPacket.bind(persistence);
  persistence.incomingGetPacket = async (client, packet) => {
    if (packet.cmd === "pubrel") await hooks.release(client, packet.messageId);
    return getPacket(client, packet);
  };
  const enqueue = persistence.outgoingEnqueueCombi.bind(persistence);
  persistence.outgoingEnqueueCombi = (subscriptions, packet) => enqueue(hooks.receiving(subscriptions), packet);
  const clear = persistence.outgoingClearMessageId.bind(persistence);
  persistence.outgoingClearMessageId = async (client, packet) => {
    const cleared = await clear(client, packet);
    if (packet.cmd === "puback") hooks.acknowledged(client, packet.messageId);
    return cleared;
  };
}
