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
}

/** Cuts what a connection brings, in chunks of any size, into whole packets. */
export class PacketCutter {
  #parts: Buffer[] = [];
  #heldBytes = 0;
  /** What the packet under way needs, as far as its header has come. */
  #neededBytes = 0;

  /** The packets that end in this chunk, in order: views of it, where they begin in it as well. @throws Error: malformed */
  cut(chunk: Buffer): Buffer[] {
    this.#parts.push(chunk);
    this.#heldBytes += chunk.length;
    // a large packet is joined once, not with each chunk
    if (this.#heldBytes < this.#neededBytes) return [];
    const bytes = this.#parts.length === 1 ? chunk : Buffer.concat(this.#parts, this.#heldBytes);
    const packets: Buffer[] = [];
    let at = 0;
    for (;;) {
      const length = readLength(bytes, at + 1);
      const end = length ? length.next + length.value : Number.POSITIVE_INFINITY;
      if (end > bytes.length) {
        this.#neededBytes = length ? end - at : 0;
        break;
      }
      packets.push(bytes.subarray(at, end));
      at = end;
    }
    this.#parts = at === bytes.length ? [] : [bytes.subarray(at)];
    this.#heldBytes = bytes.length - at;
    return packets;
  }
}

/** Whether a CONNACK accepts the connection: behind its length come flags and the code, 0 for success in both versions (3.2.2). */
export function isAccepted(connack: Buffer): boolean {
  const length = readLength(connack, 1);
  return length !== undefined && connack[length.next + 1] === 0;
}

/** @throws Error: malformed, or with a topic alias, which is never offered (MQTT 5, 3.3.2.3.4) */
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
  if (at > packet.length || (qos as number) > 2 || packetId === 0 || topic === "") throw new Error("a malformed PUBLISH came");
  const retained = (first & 1) !== 0;
  return { topic, qos, retained, ...(packetId === undefined ? {} : { packetId }), payload: packet.subarray(at) };
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
