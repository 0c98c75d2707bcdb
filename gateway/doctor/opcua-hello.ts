import type { Socket } from "node:net";

/** What an OPC UA server offers, as far as a client can choose by it. */
export interface Endpoint {
  /** 1: None, 2: Sign, 3: SignAndEncrypt (OPC UA part 4, 7.20). */
  readonly mode: number;
  /** The last part of its URI: `Basic256Sha256`. */
  readonly policy: string;
  /** DER; empty where it has none. */
  readonly certificate: Buffer;
  /** Kinds of user tokens that it takes: 0 anonymous, 1 user name, 2 certificate, 3 issued. */
  readonly tokens: readonly number[];
}

export type Hello =
  | { readonly kind: "endpoints"; readonly endpoints: readonly Endpoint[] }
  /** It is one, and says no more to us without a channel that is secured. */
  | { readonly kind: "server" }
  /** ERR (part 6, 7.1.2.5): an answer of a server as well, of one that wants another address, or has no connection left. */
  | { readonly kind: "refused"; readonly statusCode: number }
  /** As a server without a connection left may do, or what is no such server. */
  | { readonly kind: "closed" }
  | { readonly kind: "failed"; readonly reason: string };

const patienceMs = 5000;
const mostBytes = 1024 * 1024;
/** Ids of the binary encodings (part 6, annex A). */
const types = { openRequest: 446, openAnswer: 449, endpointsRequest: 428, endpointsAnswer: 431 } as const;

/**
 * Asks an OPC UA server what it offers, on a connection of its own: HEL, a channel without security, GetEndpoints (part 6, 6.7 and 7.1; part 4, 5.4.4). No
 * session is begun, which some machines have few of, and nothing is written here, as the client's library would. Ends the connection.
 */
export async function helloOpcua(socket: Socket, endpoint: string): Promise<Hello> {
  const chunks = readChunks(socket);
  const next = async (): Promise<Chunk> => {
    const { value } = await chunks.next();
    if (!value) throw new Closed("the connection was closed");
    return value;
  };
  let isServer = false;
  try {
    socket.write(hello(endpoint));
    const acknowledged = await next();
    if (acknowledged.kind === "ERR")
      return { kind: "refused", statusCode: acknowledged.body.length < 4 ? 0 : acknowledged.body.readUInt32LE(0) };
    if (acknowledged.kind !== "ACK") throw new Refused("what answers is no OPC UA server");
    isServer = true;
    socket.write(openChannel());
    const opened = await next();
    if (opened.kind !== "OPN") return { kind: "server" };
    const { channel, token } = readChannel(opened.body);
    socket.write(getEndpoints(endpoint, channel, token));
    let body = Buffer.alloc(0);
    for (let last = false; !last; ) {
      const part = await next();
      if (part.kind !== "MSG") return { kind: "server" };
      last = part.isLast;
      // channel, token, sequence number, request id
      body = Buffer.concat([body, part.body.subarray(16)]);
      if (body.length > mostBytes) return { kind: "server" };
    }
    return { kind: "endpoints", endpoints: readEndpoints(body) };
  } catch (error) {
    // what a server of another making says more is not for us to judge
    if (isServer) return { kind: "server" };
    if (error instanceof Closed || (error as NodeJS.ErrnoException).code === "ECONNRESET") return { kind: "closed" };
    return { kind: "failed", reason: error instanceof Error ? error.message : String(error) };
  } finally {
    socket.destroy();
  }
}

class Refused extends Error {}
class Closed extends Error {}

interface Chunk {
  readonly kind: string;
  readonly isLast: boolean;
  readonly body: Buffer;
}

async function* readChunks(socket: Socket): AsyncGenerator<Chunk, undefined> {
  let rest = Buffer.alloc(0);
  socket.setTimeout(patienceMs, () => socket.destroy(new Refused("it does not answer as an OPC UA server does")));
  for await (const data of socket) {
    rest = Buffer.concat([rest, data as Buffer]);
    while (rest.length >= 8) {
      const kind = rest.toString("latin1", 0, 3);
      const size = rest.readUInt32LE(4);
      if (!/^(ACK|ERR|OPN|MSG|CLO)$/.test(kind) || size < 8 || size > mostBytes)
        throw new Refused("what answers is no OPC UA server");
      if (rest.length < size) break;
      yield { kind, isLast: rest[3] === 0x46, body: rest.subarray(8, size) };
      rest = rest.subarray(size);
    }
    if (rest.length > 0 && !/^[A-Z]/.test(rest.toString("latin1", 0, 1))) throw new Refused("what answers is no OPC UA server");
  }
  return undefined;
}

/** Part 6, 5.2: little-endian; strings and byte strings by their length, -1 for none. */
function int32(...values: readonly number[]): Buffer {
  const buffer = Buffer.alloc(4 * values.length);
  for (const [index, value] of values.entries()) buffer.writeInt32LE(value, 4 * index);
  return buffer;
}

function text(value: string): Buffer {
  const bytes = Buffer.from(value);
  return Buffer.concat([int32(bytes.length), bytes]);
}

function message(kind: string, ...parts: readonly Buffer[]): Buffer {
  const body = Buffer.concat(parts);
  return Buffer.concat([Buffer.from(`${kind}F`, "latin1"), int32(8 + body.length), body]);
}

/** The encoding's id, and a request's header without a session: token, time, handle, diagnostics, audit id, time-out, nothing more. */
function request(type: number): Buffer {
  const id = Buffer.from([1, 0, type & 0xff, type >> 8]);
  return Buffer.concat([id, Buffer.alloc(2), Buffer.alloc(8), int32(1, 0, -1, patienceMs), Buffer.alloc(3)]);
}

function hello(endpoint: string): Buffer {
  return message("HEL", int32(0, 65_536, 65_536, 0, 0), text(endpoint));
}

function openChannel(): Buffer {
  const policy = text("http://opcfoundation.org/UA/SecurityPolicy#None");
  // neither certificate nor thumbprint; the first message; then: version 0, issue, no security, no nonce, a minute
  return message("OPN", int32(0), policy, int32(-1, -1, 1, 1), request(types.openRequest), int32(0, 0, 1, -1, 60_000));
}

function getEndpoints(endpoint: string, channel: number, token: number): Buffer {
  return message("MSG", int32(channel, token, 2, 2), request(types.endpointsRequest), text(endpoint), int32(-1, -1));
}

/** Reads on from where the last read ended. @throws RangeError past the end */
class Reader {
  readonly #bytes: Buffer;
  #at = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  skip(count: number): void {
    this.#at += count;
  }

  byte(): number {
    return this.#bytes.readUInt8(this.#at++);
  }

  int(): number {
    this.#at += 4;
    return this.#bytes.readInt32LE(this.#at - 4);
  }

  bytes(): Buffer {
    const length = Math.max(0, this.int());
    if (this.#at + length > this.#bytes.length) throw new RangeError("a length is past the end");
    this.#at += length;
    return this.#bytes.subarray(this.#at - length, this.#at);
  }

  text(): string {
    return this.bytes().toString("utf8");
  }

  list<Item>(read: () => Item): Item[] {
    const length = Math.max(0, this.int());
    if (length > 10_000) throw new RangeError("a list is too long");
    return Array.from({ length }, read);
  }

  /** @throws RangeError of another type than this one, or a refusal */
  answer(type: number): void {
    const [encoding, , low, high] = [this.byte(), this.byte(), this.byte(), this.byte()];
    if (encoding !== 1 || (low as number) + (high as number) * 256 !== type) throw new RangeError("another answer");
    this.skip(8 + 4);
    if (this.int() !== 0) throw new RangeError("refused");
    if (this.byte() !== 0) throw new RangeError("diagnostics, which were not asked for");
    this.list(() => this.text());
    this.skip(3);
  }
}

function readChannel(body: Buffer): { readonly channel: number; readonly token: number } {
  const reader = new Reader(body);
  reader.skip(4);
  // policy, certificate, thumbprint
  for (let index = 0; index < 3; index++) reader.bytes();
  reader.skip(8);
  reader.answer(types.openAnswer);
  reader.skip(4);
  return { channel: reader.int(), token: reader.int() };
}

function readEndpoints(body: Buffer): Endpoint[] {
  const reader = new Reader(body);
  reader.answer(types.endpointsAnswer);
  return reader.list(() => readEndpoint(reader));
}

/** Part 4, 7.14: EndpointDescription. */
function readEndpoint(reader: Reader): Endpoint {
  reader.text();
  for (let index = 0; index < 2; index++) reader.text();
  const has = reader.byte();
  if ((has & 1) !== 0) reader.text();
  if ((has & 2) !== 0) reader.text();
  reader.int();
  for (let index = 0; index < 2; index++) reader.text();
  reader.list(() => reader.text());
  const certificate = reader.bytes();
  const mode = reader.int();
  const policy = reader.text().replace(/^.*#/, "");
  const tokens = reader.list(() => {
    reader.text();
    const kind = reader.int();
    for (let index = 0; index < 3; index++) reader.text();
    return kind;
  });
  reader.text();
  reader.skip(1);
  return { mode, policy, certificate, tokens };
}
