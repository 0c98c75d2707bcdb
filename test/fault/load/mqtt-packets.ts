/** MQTT 3.1.1 as a fast sender needs it: packets as bytes, and the few that a broker answers with. */

export const answered = { connack: 2, puback: 4, pubrec: 5, pubcomp: 7 } as const;

export interface BrokerPacket {
  readonly type: number;
  /** Of an acknowledgement; of CONNACK the return code. */
  readonly id: number;
}

export function connectPacket(options: { clientId: string; username: string; password: string }): Buffer {
  const fields = [options.clientId, options.username, options.password].map(text);
  // a session that is kept, user name and password, no keep alive
  return packet(0x10, Buffer.concat([text("MQTT"), Buffer.from([4, 0xc0, 0, 0]), ...fields]));
}

export function publishPacket(options: { topic: string; payload: string; qos: 1 | 2; id: number; again: boolean }): Buffer {
  const { topic, payload, qos, id, again } = options;
  const topicBytes = Buffer.byteLength(topic);
  const remaining = 2 + topicBytes + 2 + Buffer.byteLength(payload);
  const head = header(0x30 | (again ? 8 : 0) | (qos << 1), remaining);
  const result = Buffer.allocUnsafe(head.length + remaining);
  let at = head.copy(result);
  at = result.writeUInt16BE(topicBytes, at);
  at += result.write(topic, at);
  at = result.writeUInt16BE(id, at);
  result.write(payload, at);
  return result;
}

export function pubrelPacket(id: number): Buffer {
  return Buffer.from([0x62, 2, id >> 8, id & 0xff]);
}

/** Cuts a connection's bytes into packets; what is not whole yet waits. */
export class PacketReader {
  #rest: Buffer = Buffer.alloc(0);

  *read(chunk: Buffer): Generator<BrokerPacket> {
    const bytes = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    let at = 0;
    while (bytes.length - at >= 2) {
      // all that a broker says to one that subscribes to nothing is shorter than 128 bytes
      const length = bytes[at + 1] ?? 0;
      if (length > 127) throw new Error("a longer packet than a publisher gets");
      if (bytes.length - at < 2 + length) break;
      const type = (bytes[at] ?? 0) >> 4;
      if (length >= 2) yield { type, id: type === answered.connack ? (bytes[at + 3] ?? 0) : bytes.readUInt16BE(at + 2) };
      at += 2 + length;
    }
    this.#rest = bytes.subarray(at);
  }
}

function packet(first: number, body: Buffer): Buffer {
  return Buffer.concat([header(first, body.length), body]);
}

function header(first: number, remaining: number): Buffer {
  const bytes = [first];
  let left = remaining;
  do {
    bytes.push((left % 128) | (left > 127 ? 0x80 : 0));
    left = Math.floor(left / 128);
  } while (left > 0);
  return Buffer.from(bytes);
}

function text(value: string): Buffer {
  const bytes = Buffer.from(value);
  return Buffer.concat([Buffer.from([bytes.length >> 8, bytes.length & 0xff]), bytes]);
}
