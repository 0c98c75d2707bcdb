import { once } from "node:events";
import { connect, type Socket } from "node:net";

/** A packet as a broker sent it: type in the upper half of the first byte (MQTT 3.1.1, 2.2.1). */
export interface RawPacket {
  readonly type: number;
  readonly flags: number;
  readonly body: Buffer;
}

export const packetType = {
  connack: 2,
  publish: 3,
  puback: 4,
  pubrec: 5,
  pubrel: 6,
  pubcomp: 7,
  suback: 9,
  pingresp: 13,
} as const;

export interface ConnectOptions {
  readonly clientId: string;
  readonly username?: string;
  readonly password?: string;
  readonly clean?: boolean;
  readonly level?: number;
  readonly keepAliveSeconds?: number;
  readonly will?: { readonly topic: string; readonly payload: string; readonly qos: 0 | 1 | 2 };
}

/** MQTT 3.1.1 written by hand, for what a well-behaved client would not do: repeats, held-back releases, broken packets. */
export class RawMqtt {
  readonly packets: RawPacket[] = [];
  readonly #socket: Socket;
  readonly #waiters = new Set<() => void>();
  #rest: Buffer = Buffer.alloc(0);
  closed = false;

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.on("data", (chunk: Buffer) => this.#parse(chunk));
    socket.on("error", () => {});
    socket.on("close", () => {
      this.closed = true;
      for (const waiter of this.#waiters) waiter();
    });
  }

  static async connect(port: number, options: ConnectOptions): Promise<RawMqtt> {
    const client = await RawMqtt.open(port);
    client.write(connectPacket(options));
    return client;
  }

  /** A connection that says nothing yet. */
  static async open(port: number): Promise<RawMqtt> {
    const socket = connect(port, "127.0.0.1");
    await once(socket, "connect");
    return new RawMqtt(socket);
  }

  write(bytes: Buffer): void {
    this.#socket.write(bytes);
  }

  /** Reads nothing until `resume`. */
  pause(): void {
    this.#socket.pause();
  }

  resume(): void {
    this.#socket.resume();
  }

  send(firstByte: number, body: Buffer): void {
    this.#socket.write(packet(firstByte, body));
  }

  publish(
    topic: string,
    payload: string,
    options: { qos?: 0 | 1 | 2; packetId?: number; dup?: boolean; retain?: boolean } = {},
  ): void {
    this.#socket.write(publishPacket(topic, payload, options));
  }

  /** Several packets in one write, so that the broker reads them in one piece. */
  publishAll(messages: readonly { topic: string; payload: string; qos: 0 | 1 | 2; packetId?: number }[]): void {
    this.write(Buffer.concat(messages.map(({ topic, payload, ...options }) => publishPacket(topic, payload, options))));
  }

  ping(): void {
    this.send(0xc0, Buffer.alloc(0));
  }

  /** Bytes that were written and the broker has not read, as far as they do not fit into the system's buffers. */
  get unread(): number {
    return this.#socket.writableLength;
  }

  pubrel(packetId: number): void {
    this.send(0x62, id(packetId));
  }

  puback(packetId: number): void {
    this.send(0x40, id(packetId));
  }

  subscribe(filter: string, qos: 0 | 1, packetId = 1): void {
    this.send(0x82, Buffer.concat([id(packetId), text(filter), Buffer.from([qos])]));
  }

  /** The first packet of a type (and packet id) that came or comes; rejects when the connection ends without it. */
  received(type: number, packetId?: number): Promise<RawPacket> {
    return new Promise((resolve, reject) => {
      const look = (): void => {
        const found = this.packets.find(
          (entry) => entry.type === type && (packetId === undefined || packetIdOf(entry) === packetId),
        );
        if (!found && !this.closed) return;
        this.#waiters.delete(look);
        if (found) resolve(found);
        else reject(new Error(`the broker closed the connection without packet ${type}`));
      };
      this.#waiters.add(look);
      look();
    });
  }

  ended(): Promise<void> {
    return new Promise((resolve) => {
      const look = (): void => {
        if (!this.closed) return;
        this.#waiters.delete(look);
        resolve();
      };
      this.#waiters.add(look);
      look();
    });
  }

  has(type: number, packetId?: number): boolean {
    return this.packets.some((entry) => entry.type === type && (packetId === undefined || packetIdOf(entry) === packetId));
  }

  /** Ends the connection without DISCONNECT. */
  async cut(): Promise<void> {
    this.#socket.destroy();
    await this.ended();
  }

  #parse(chunk: Buffer): void {
    this.#rest = Buffer.concat([this.#rest, chunk]);
    for (;;) {
      let length = 0;
      let at = 1;
      for (let shift = 0; ; shift += 7, at++) {
        const byte = this.#rest[at];
        if (byte === undefined) return;
        length += (byte & 0x7f) * 2 ** shift;
        if ((byte & 0x80) === 0) break;
      }
      const end = at + 1 + length;
      if (this.#rest.length < end) return;
      const first = this.#rest[0] ?? 0;
      this.packets.push({ type: first >> 4, flags: first & 0x0f, body: Buffer.from(this.#rest.subarray(at + 1, end)) });
      this.#rest = this.#rest.subarray(end);
      for (const waiter of this.#waiters) waiter();
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.cut();
  }
}

/** The packet id of an acknowledgement, or of a PUBLISH at QoS 1. */
export function packetIdOf({ type, body }: RawPacket): number {
  return type === packetType.publish ? body.readUInt16BE(2 + body.readUInt16BE(0)) : body.readUInt16BE(0);
}

export function topicOf({ body }: RawPacket): string {
  return body.subarray(2, 2 + body.readUInt16BE(0)).toString();
}

export function connectPacket(options: ConnectOptions): Buffer {
  const { clientId, username, password, clean = true, level = 4, keepAliveSeconds = 0, will } = options;
  const flags =
    (clean ? 2 : 0) |
    (username === undefined ? 0 : 0x80) |
    (password === undefined ? 0 : 0x40) |
    (will === undefined ? 0 : 4 | (will.qos << 3));
  const properties = level === 5 ? Buffer.from([0]) : Buffer.alloc(0);
  const fields = [clientId, will?.topic, will?.payload, username, password].filter((field) => field !== undefined).map(text);
  return packet(0x10, Buffer.concat([text("MQTT"), Buffer.from([level, flags, 0, keepAliveSeconds]), properties, ...fields]));
}

export function subscribePacket(filters: readonly string[], qos: 0 | 1 | 2, packetId = 1): Buffer {
  return packet(0x82, Buffer.concat([id(packetId), ...filters.flatMap((filter) => [text(filter), Buffer.from([qos])])]));
}

export function publishPacket(
  topic: string,
  payload: string,
  options: { qos?: 0 | 1 | 2; packetId?: number; dup?: boolean; retain?: boolean },
): Buffer {
  const { qos = 0, packetId = 1, dup = false, retain = false } = options;
  const head = qos === 0 ? text(topic) : Buffer.concat([text(topic), id(packetId)]);
  return packet(0x30 | (dup ? 8 : 0) | (qos << 1) | (retain ? 1 : 0), Buffer.concat([head, Buffer.from(payload)]));
}

function packet(firstByte: number, body: Buffer): Buffer {
  const length: number[] = [];
  let left = body.length;
  do {
    length.push((left % 128) | (left > 127 ? 0x80 : 0));
    left = Math.floor(left / 128);
  } while (left > 0);
  return Buffer.concat([Buffer.from([firstByte, ...length]), body]);
}

function text(value: string): Buffer {
  const bytes = Buffer.from(value);
  return Buffer.concat([Buffer.from([bytes.length >> 8, bytes.length & 0xff]), bytes]);
}

function id(packetId: number): Buffer {
  return Buffer.from([packetId >> 8, packetId & 0xff]);
}
