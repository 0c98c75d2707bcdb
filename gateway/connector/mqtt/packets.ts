/** Packet types, the upper half of a packet's first byte (MQTT 3.1.1 and 5, 2.1.2). */
export const packetType = { connack: 2, publish: 3, puback: 4, pubrec: 5 } as const;

/** A PUBLISH, its payload a view of what was read. */
export interface Publish {
  readonly topic: string;
  readonly qos: 0 | 1 | 2;
  readonly retained: boolean;
  /** Absent at QoS 0. */
  readonly packetId?: number;
  readonly payload: Buffer;
  /** Bytes that the payload had, where it was too large to be kept whole; `payload` is its beginning. */
  readonly wholeBytes?: number;
}

export interface PacketLimits {
  /** What has more is not gathered. */
  readonly packetBytes: number;
  /** What is kept of it, from its first byte on; fewer than `packetBytes`. */
  readonly headBytes: number;
}

/** Cuts what a connection brings, in chunks of any size, into packets: whole, or the head of one that is too large. */
export class PacketCutter {
  readonly #limits: PacketLimits;
  #parts: Buffer[] = [];
  #heldBytes = 0;
  /** What the packet under way needs, as far as its header has come. */
  #neededBytes = 0;
  /** Of a packet that is too large, and what has to be skipped behind it. */
  #head: Buffer | undefined;
  #skipBytes = 0;

  constructor(limits: PacketLimits) {
    this.#limits = limits;
  }

  /** A packet has come in part. */
  get isInPacket(): boolean {
    return this.#heldBytes > 0 || this.#head !== undefined;
  }

  /** The packets that end in this chunk, in order: views of it, where they begin in it as well. @throws Error: malformed */
  cut(chunk: Buffer): Buffer[] {
    this.#parts.push(chunk);
    this.#heldBytes += chunk.length;
    // a large packet is joined once, not with each chunk
    if (this.#heldBytes < this.#neededBytes) return [];
    const bytes = this.#parts.length === 1 ? chunk : Buffer.concat(this.#parts, this.#heldBytes);
    const packets: Buffer[] = [];
    let at = this.#skip(bytes, 0, packets);
    while (at < bytes.length) {
      const length = readLength(bytes, at + 1);
      const end = length ? length.next + length.value : Number.POSITIVE_INFINITY;
      const isTooLarge = length !== undefined && end - at > this.#limits.packetBytes;
      const kept = isTooLarge ? at + this.#limits.headBytes : end;
      if (kept > bytes.length) {
        this.#neededBytes = length ? kept - at : 0;
        break;
      }
      if (isTooLarge) {
        // a copy, as a view would keep what was joined
        this.#head = Buffer.from(bytes.subarray(at, kept));
        this.#skipBytes = end - kept;
        at = this.#skip(bytes, kept, packets);
      } else {
        packets.push(bytes.subarray(at, end));
        at = end;
      }
    }
    this.#parts = at === bytes.length ? [] : [bytes.subarray(at)];
    this.#heldBytes = bytes.length - at;
    if (this.#heldBytes === 0) this.#neededBytes = 0;
    return packets;
  }

  /** Returns where the next packet begins. */
  #skip(bytes: Buffer, at: number, packets: Buffer[]): number {
    if (!this.#head) return at;
    const skipped = Math.min(this.#skipBytes, bytes.length - at);
    this.#skipBytes -= skipped;
    if (this.#skipBytes === 0) {
      packets.push(this.#head);
      this.#head = undefined;
    }
    return at + skipped;
  }
}

/** Whether all of a packet is there, or its head only. */
export function isWhole(packet: Buffer): boolean {
  return sizeOf(packet) === packet.length;
}

/** Whether a CONNACK accepts the connection: behind its length come flags and the code, 0 for success in both versions (3.2.2). */
export function isAccepted(connack: Buffer): boolean {
  const length = readLength(connack, 1);
  return length !== undefined && connack[length.next + 1] === 0;
}

/** Also of the head of one that was too large. @throws Error: malformed, or with a topic alias, which is never offered (MQTT 5, 3.3.2.3.4) */
export function readPublish(packet: Buffer, version: "3.1.1" | "5"): Publish {
  const first = packet[0] ?? 0;
  const qos = ((first >> 1) & 3) as 0 | 1 | 2;
  let at = readLength(packet, 1)?.next ?? packet.length;
  const topicEnd = at + 2 + uint16(packet, at);
  const topic = packet.toString("utf8", at + 2, topicEnd);
  at = topicEnd;
  const packetId = qos > 0 ? uint16(packet, at) : undefined;
  if (qos > 0) at += 2;
  if (version === "5") {
    const properties = readLength(packet, at);
    at = properties ? properties.next + properties.value : Number.POSITIVE_INFINITY;
  }
  const sizeBytes = sizeOf(packet);
  if (at > sizeBytes || (qos as number) > 2 || packetId === 0 || topic === "") throw new Error("a malformed PUBLISH came");
  return {
    topic,
    qos,
    retained: (first & 1) !== 0,
    ...(packetId === undefined ? {} : { packetId }),
    payload: packet.subarray(at),
    ...(sizeBytes === packet.length ? {} : { wholeBytes: sizeBytes - at }),
  };
}

/** PUBACK (QoS 1) or PUBREC (QoS 2) for each, in their order; without reason code: success (MQTT 5, 3.4.2.1). */
export function acknowledgements(publishes: readonly { readonly qos: 1 | 2; readonly packetId: number }[]): Buffer {
  const bytes = Buffer.allocUnsafe(publishes.length * 4);
  let at = 0;
  for (const { qos, packetId } of publishes) {
    bytes[at] = (qos === 1 ? packetType.puback : packetType.pubrec) << 4;
    bytes[at + 1] = 2;
    bytes.writeUInt16BE(packetId, at + 2);
    at += 4;
  }
  return bytes;
}

/** Of all of it, by its own header. */
function sizeOf(packet: Buffer): number {
  const length = readLength(packet, 1);
  return length ? length.next + length.value : packet.length;
}

/** A Variable Byte Integer (1.5.5); undefined where it has not come whole. @throws Error: longer than four bytes */
function readLength(bytes: Buffer, start: number): { value: number; next: number } | undefined {
  let value = 0;
  for (let index = 0; index < 4; index++) {
    const byte = bytes[start + index];
    if (byte === undefined) return undefined;
    value += (byte & 0x7f) * 2 ** (7 * index);
    if (byte < 0x80) return { value, next: start + index + 1 };
  }
  throw new Error("a packet with a malformed length came");
}

function uint16(bytes: Buffer, at: number): number {
  return ((bytes[at] ?? 0) << 8) | (bytes[at + 1] ?? 0);
}
