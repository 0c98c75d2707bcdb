import { Readable } from "node:stream";
import type { AedesPublishPacket, Client } from "aedes";
import type { Retained } from "./retained.ts";
import type { Sessions } from "./sessions.ts";

/** Messages at QoS 2 that a client may leave unreleased. */
const maxReceived = 2048;

interface Numbered {
  readonly cmd?: string;
  readonly messageId?: number;
}
interface Subscriber {
  readonly clientId: string;
  readonly topic: string;
  readonly qos: number;
}

export interface PersistenceDeps {
  readonly sessions: Sessions;
  readonly retained: Retained;
  /** A sender releases a QoS 2 message; awaited before PUBCOMP. */
  release(client: Client, packetId: number): Promise<void>;
  /** A subscriber has acknowledged, for good. */
  acknowledged(client: Client, packetId: number): void;
  /** A subscriber leaves more unacknowledged than is kept for it. */
  onFull(client: Client): void;
  onNotRetained(): void;
}

/**
 * Sessions and retained messages as aedes 1.2 asks for them; it names the methods, and wants promises. Wills are not kept: aedes publishes a
 * kept one when the clock says that its broker has died, which a clock that is set says of a client that lives. That of a connection
 * that ends it knows without. Filters are kept when they are granted, not here: aedes would keep those that were not as well.
 */
export class Persistence {
  readonly #deps: PersistenceDeps;

  constructor(deps: PersistenceDeps) {
    this.#deps = deps;
  }

  // aedes looks at whether this is an async function
  async setup(): Promise<void> {}

  async storeRetained(packet: AedesPublishPacket): Promise<void> {
    if (!this.#deps.retained.store(packet)) this.#deps.onNotRetained();
  }
  createRetainedStreamCombi(filters: readonly string[]): Readable {
    return Readable.from(this.#deps.retained.matching(filters));
  }

  async addSubscriptions(): Promise<void> {}
  async removeSubscriptions(): Promise<void> {}
  async cleanSubscriptions(): Promise<void> {}
  async subscriptionsByClient({ id }: { id: string }): Promise<{ topic: string; qos: number }[]> {
    const filters = this.#deps.sessions.present(id)?.filters ?? [];
    return [...filters].map(([topic, qos]) => ({ topic, qos }));
  }
  /** Those for whom a message is kept until they acknowledge it. */
  async subscriptionsByTopic(topic: string): Promise<Subscriber[]> {
    const found: Subscriber[] = [];
    for (const session of this.#deps.sessions.subscribersOf(topic)) {
      const qos = session.isClean ? 0 : session.qosOf(topic);
      if (qos) found.push({ clientId: session.clientId, topic, qos });
    }
    return found;
  }

  async outgoingEnqueueCombi(subscribers: readonly Subscriber[], packet: AedesPublishPacket): Promise<void> {
    for (const { clientId } of subscribers) {
      const session = this.#deps.sessions.present(clientId);
      if (!session?.client) continue;
      if (session.outgoing.isFull) this.#deps.onFull(session.client);
      else session.outgoing.add(packet);
    }
  }
  async outgoingUpdate(client: Client, packet: AedesPublishPacket & Numbered): Promise<void> {
    const outgoing = this.#deps.sessions.of(client)?.outgoing;
    if (packet.messageId === undefined) return;
    if ((packet.cmd as string) === "pubrel") outgoing?.received(packet.messageId);
    else outgoing?.numbered(packet, packet.messageId);
  }
  async outgoingClearMessageId(client: Client, { messageId }: Numbered): Promise<undefined> {
    // aedes also clears what it did not forward, and what has no packet id: a message that came over another filter is still under way
    if (messageId === undefined) return;
    this.#deps.sessions.of(client)?.outgoing.acknowledged(messageId);
    this.#deps.acknowledged(client, messageId);
  }
  outgoingStream(client: Client): Readable {
    return Readable.from(this.#deps.sessions.of(client)?.outgoing.toRepeat() ?? []);
  }

  async incomingStorePacket(client: Client, { messageId }: Numbered): Promise<void> {
    const received = this.#deps.sessions.of(client)?.received;
    if (messageId === undefined || !received) return;
    received.add(messageId);
    // of one that releases nothing, over many connections; the marker on disk still knows its message
    for (const oldest of received) if (received.size > maxReceived) received.delete(oldest);
  }
  /** @throws Error when it did not come, or has been released */
  async incomingGetPacket(client: Client, { cmd, messageId = 0 }: Numbered): Promise<Numbered> {
    if (cmd === "pubrel") await this.#deps.release(client, messageId);
    if (!this.#deps.sessions.of(client)?.received.has(messageId)) throw new Error("no such packet");
    return { messageId };
  }
  async incomingDelPacket(client: Client, { messageId = 0 }: Numbered): Promise<void> {
    this.#deps.sessions.of(client)?.received.delete(messageId);
  }
  async cleanIncoming(client: Client): Promise<void> {
    this.#deps.sessions.of(client)?.received.clear();
  }

  async putWill(): Promise<void> {}
  async delWill(): Promise<void> {}
  streamWill(): Readable {
    return Readable.from([]);
  }
}
