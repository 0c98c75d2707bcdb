import type { AedesPublishPacket } from "aedes";
import { ownCopy } from "./own-copy.ts";

/** What a subscriber may leave unacknowledged. A message larger than the bound is kept when it is the only one. */
const limits = { messages: 1000, bytes: 8 * 1024 * 1024 };
const maxPacketId = 65_535;

/** As aedes names a message within its broker. */
interface Counted {
  readonly brokerCounter: number;
}
interface Released {
  readonly cmd: "pubrel";
  readonly messageId: number;
}
interface Entry {
  readonly counter: number;
  packet: AedesPublishPacket | Released;
  messageId: number | undefined;
}

/** The messages at QoS 1 and 2 that a session's client has yet to acknowledge, in the order in which they came, and their packet ids. */
export class Outgoing {
  readonly #entries = new Map<number, Entry>();
  readonly #byId = new Map<number, Entry>();
  #bytes = 0;
  #lastId = 0;

  get isFull(): boolean {
    return this.#entries.size >= limits.messages || this.#bytes >= limits.bytes;
  }

  get size(): number {
    return this.#entries.size;
  }

  get sizeBytes(): number {
    return this.#bytes;
  }

  /** A message is to be sent; the same once more changes nothing. */
  add(packet: AedesPublishPacket): void {
    if (this.#entries.has(packet.brokerCounter)) return;
    const payload = ownCopy(packet.payload);
    const { brokerCounter: counter, brokerId, topic, qos } = packet;
    const kept = { cmd: "publish", brokerId, brokerCounter: counter, topic, payload, qos, retain: false, dup: false } as const;
    this.#entries.set(counter, { counter, packet: kept as AedesPublishPacket, messageId: undefined });
    this.#bytes += payload.length;
  }

  /** A packet id that nothing here has, and `isTaken` does not say has. */
  nextId(isTaken: (messageId: number) => boolean): number {
    for (let tries = 0; tries < maxPacketId; tries++) {
      this.#lastId = (this.#lastId % maxPacketId) + 1;
      if (!this.#byId.has(this.#lastId) && !isTaken(this.#lastId)) break;
    }
    return this.#lastId;
  }

  /** A message is sent under a packet id. */
  numbered({ brokerCounter }: Counted, messageId: number): void {
    const entry = this.#entries.get(brokerCounter);
    if (!entry || entry.messageId === messageId) return;
    if (entry.messageId !== undefined) this.#byId.delete(entry.messageId);
    entry.messageId = messageId;
    this.#byId.set(messageId, entry);
  }

  /** PUBREC came: what is repeated from now on is PUBREL. */
  received(messageId: number): void {
    const entry = this.#byId.get(messageId);
    if (!entry) return;
    this.#forgetPayload(entry);
    entry.packet = { cmd: "pubrel", messageId };
  }

  /** PUBACK or PUBCOMP came. */
  acknowledged(messageId: number): void {
    const entry = this.#byId.get(messageId);
    if (!entry) return;
    this.#forgetPayload(entry);
    this.#byId.delete(messageId);
    this.#entries.delete(entry.counter);
  }

  /** What a client that is back is sent: what it may have got already under the packet id of then, and marked (MQTT 3.1.1, 4.4). */
  toRepeat(): (AedesPublishPacket | Released)[] {
    return [...this.#entries.values()].map((entry) => {
      if (entry.packet.cmd === "pubrel") return entry.packet;
      const dup = entry.messageId !== undefined;
      if (!dup)
        this.numbered(
          { brokerCounter: entry.counter },
          this.nextId(() => false),
        );
      return { ...entry.packet, dup, messageId: entry.messageId } as AedesPublishPacket;
    });
  }

  /** What was never sent under any packet id. */
  unsent(): object[] {
    return [...this.#entries.values()].filter(({ messageId }) => messageId === undefined).map(({ packet }) => packet);
  }

  #forgetPayload({ packet }: Entry): void {
    if (packet.cmd === "publish") this.#bytes -= packet.payload.length;
  }
}
