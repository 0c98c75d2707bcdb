import type { Duplex } from "node:stream";
import type { Done } from "./intake-line.ts";
import { acknowledgements, isAccepted, isWhole, PacketCutter, type Publish, packetType, readPublish } from "./packets.ts";
import { SocketFilter } from "./socket-filter.ts";

/** What one connection may have read and not yet flushed; with MQTT 5 the broker is told, and never sends more. */
export const maxUnflushed = 1000;
const limits = { unflushed: maxUnflushed, unflushedBytes: 8 * 1024 * 1024, untakenBytes: 64 * 1024 };
/**
 * As a webhook's body. A broker that were told (MQTT 5, Maximum Packet Size) would drop what is larger without a word (3.1.2.11.4), and one
 * that is left for it would send it again for ever: so its head is taken, and becomes a dead letter that tells its length.
 */
export const packetLimits = { packetBytes: 16 * 1024 * 1024, headBytes: 128 * 1024 };

export interface IntakeStreamDeps {
  /** To the broker. */
  readonly socket: Duplex;
  readonly version: "3.1.1" | "5";
  /** Given each PUBLISH, in order; `done` when it is flushed, in the same order, or with what stands against it. */
  readonly take: (publish: Publish, done: Done) => void;
}

/**
 * Between the socket and MQTT.js, which would handle a PUBLISH only when the one before it is flushed. PUBLISH packets are taken out on
 * the way in; everything else passes, so that pings are answered however long a flush takes. The acknowledgements of what is flushed are
 * written between the packets of MQTT.js, in the order in which the messages came (MQTT 3.1.1, 4.6). They belong to this connection:
 * when it has ended none is written, and the broker sends the messages again over the next one.
 */
export class IntakeStream extends SocketFilter {
  readonly #deps: IntakeStreamDeps;
  readonly #cutter = new PacketCutter(packetLimits);
  #isAccepted = false;
  #messageBytes = 0;
  #flushed: { qos: 1 | 2; packetId: number }[] = [];

  constructor(deps: IntakeStreamDeps) {
    super(deps.socket, limits);
    this.#deps = deps;
  }

  /** Grows with each part of a message that comes. */
  get messageBytes(): number {
    return this.#messageBytes;
  }

  /** Something has come in part; the broker sends nothing else before the rest of it. */
  get isInPacket(): boolean {
    return this.#cutter.isInPacket;
  }

  protected override receive(chunk: Buffer): void {
    const packets = this.#cutter.cut(chunk);
    if (this.#cutter.isInPacket) this.#messageBytes += chunk.length;
    for (const packet of packets) {
      const type = (packet[0] ?? 0) >> 4;
      if (type === packetType.publish) this.#messageBytes += packet.length;
      else if (!isWhole(packet)) throw new Error("the broker sent a packet that is far too large");
      if (type === packetType.connack) this.#isAccepted = isAccepted(packet);
      if (type !== packetType.publish) this.push(packet);
      else if (this.#isAccepted) this.#take(readPublish(packet, this.#deps.version), packet.length);
      else throw new Error("the broker sent a message before it accepted the connection");
    }
  }

  #take(publish: Publish, sizeBytes: number): void {
    this.taken(sizeBytes);
    this.#deps.take(publish, (error) => {
      const { qos, packetId } = publish;
      if (error === undefined && qos !== 0 && packetId !== undefined) this.#acknowledge(qos, packetId);
      this.released(sizeBytes);
    });
  }

  /** Those of one flush leave in one write. */
  #acknowledge(qos: 1 | 2, packetId: number): void {
    if (this.#flushed.length === 0) {
      queueMicrotask(() => {
        const flushed = this.#flushed;
        this.#flushed = [];
        // through our own writable side: a packet that MQTT.js has begun there is whole before
        if (this.writable) this.write(acknowledgements(flushed));
      });
    }
    this.#flushed.push({ qos, packetId });
  }
}
