import { connect, type Socket } from "node:net";
import { Book, type Stream } from "./book.ts";
import { payloadOf, topicOf } from "./messages.ts";
import { answered, connectPacket, PacketReader, publishPacket, pubrelPacket } from "./mqtt-packets.ts";
import { Pace, reached, type Sender } from "./sender.ts";

export interface MqttSenderOptions {
  readonly port: number;
  readonly username: string;
  readonly password: string;
  readonly stream: Stream;
  readonly qos: 1 | 2;
  /** Messages that may be under way at once. */
  readonly window: number;
  readonly perSecond: number;
}

/** Where a message is: `released` (QoS 2 only) has its PUBREC, which is its acknowledgement, and waits for PUBCOMP. */
const state = { sent: 1, released: 2, done: 3 } as const;
const again = { afterMs: 100, mostMs: 400 };
const tickMs = 10;
/** A connection on which nothing moves for so long is given up, as devices do. */
const silentMs = 30_000;

/**
 * One MQTT connection of a session that is kept: a window of messages under way; after a loss of the connection, what was not acknowledged
 * is sent again in its order (DUP), or, by a stream that does not repeat, left as it is.
 */
export class MqttSender implements Sender {
  readonly book: Book;
  readonly troubles: Record<string, number> = {};
  readonly #options: MqttSenderOptions;
  readonly #pace: Pace;
  #states = new Uint8Array(4096);
  /** Everything before it is done. */
  #oldest = 0;
  #socket: Socket | undefined;
  #connected = false;
  #movedAt = performance.now();
  #finished = false;
  #closed = false;
  #redial: NodeJS.Timeout | undefined;
  readonly #ticking: NodeJS.Timeout;

  constructor(options: MqttSenderOptions) {
    this.#options = options;
    this.book = new Book(options.stream);
    this.#pace = new Pace(options.perSecond);
    this.#ticking = setInterval(() => this.#tick(), tickMs);
    this.#dial();
  }

  get books(): readonly Book[] {
    return [this.book];
  }

  finish(): void {
    this.#finished = true;
  }

  settled(deadlineMs: number): Promise<boolean> {
    return reached(() => this.#oldest === this.book.published, deadlineMs);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true;
    clearInterval(this.#ticking);
    clearTimeout(this.#redial);
    this.#socket?.destroy();
  }

  #dial(): void {
    const { port, username, password, stream } = this.#options;
    const socket = connect({ port, host: "127.0.0.1", noDelay: true });
    const reader = new PacketReader();
    this.#socket = socket;
    socket.on("connect", () => socket.write(connectPacket({ clientId: stream.name, username, password })));
    socket.on("data", (chunk: Buffer) => {
      if (socket !== this.#socket) return;
      for (const { type, id } of reader.read(chunk)) this.#take(type, id);
    });
    socket.on("error", (error: NodeJS.ErrnoException) => this.#note(error.code ?? "error"));
    socket.on("close", () => this.#lost());
  }

  #lost(): void {
    if (this.#connected) this.#note("connections lost");
    this.#connected = false;
    if (this.#closed) return;
    const waitMs = again.afterMs + Math.random() * (again.mostMs - again.afterMs);
    this.#redial = setTimeout(() => this.#dial(), waitMs);
  }

  #take(type: number, id: number): void {
    this.#movedAt = performance.now();
    if (type === answered.connack) {
      if (id !== 0) {
        this.#note(`refused with ${id}`);
        this.#socket?.destroy();
        return;
      }
      this.#connected = true;
      this.#resume();
      return;
    }
    const n = this.#numberOf(id);
    if (n === undefined) return;
    if (type === answered.puback) this.#settle(n, state.done);
    else if (type === answered.pubrec) {
      this.#settle(n, state.released);
      this.#socket?.write(pubrelPacket(id));
    } else if (type === answered.pubcomp) this.#settle(n, state.done);
  }

  #settle(n: number, next: number): void {
    if ((this.#states[n] ?? 0) < next) this.#states[n] = next;
    this.book.acknowledge(n);
    this.#advance();
  }

  #advance(): void {
    while (this.#oldest < this.book.published && this.#states[this.#oldest] === state.done) this.#oldest += 1;
  }

  /** After CONNACK: what is open from before goes first, in its order (MQTT 3.1.1, 4.4 and 4.6). */
  #resume(): void {
    const socket = this.#socket;
    if (!socket) return;
    socket.cork();
    for (let n = this.#oldest; n < this.book.published; n++) {
      if (this.#states[n] === state.released) socket.write(pubrelPacket(idOf(n)));
      else if (this.#states[n] === state.sent && this.#options.stream.repeats) socket.write(this.#packet(n, true));
      else this.#states[n] = state.done;
    }
    socket.uncork();
    this.#advance();
  }

  #tick(): void {
    const socket = this.#socket;
    if (!this.#connected || !socket) return;
    const open = this.book.published - this.#oldest;
    if (open > 0 && performance.now() - this.#movedAt > silentMs) {
      this.#note("connections given up");
      // this end is its own doing
      this.#connected = false;
      this.#movedAt = performance.now();
      socket.destroy();
      return;
    }
    if (this.#finished) return;
    const count = Math.min(this.#options.window - open, this.#pace.available());
    if (count <= 0) return;
    if (open === 0) this.#movedAt = performance.now();
    this.#pace.took(count);
    socket.cork();
    for (let sent = 0; sent < count; sent++) {
      const n = this.book.publish();
      this.#remember(n);
      socket.write(this.#packet(n, false));
    }
    socket.uncork();
  }

  #remember(n: number): void {
    if (n >= this.#states.length) {
      const larger = new Uint8Array(this.#states.length * 2);
      larger.set(this.#states);
      this.#states = larger;
    }
    this.#states[n] = state.sent;
  }

  #packet(n: number, dup: boolean): Buffer {
    const { stream, qos } = this.#options;
    return publishPacket({ topic: topicOf(stream, n), payload: payloadOf(stream, n), qos, id: idOf(n), again: dup });
  }

  /** The message that this packet id stands for: the window is smaller than the ids are many. */
  #numberOf(id: number): number | undefined {
    const base = this.#oldest - (this.#oldest % packetIds);
    for (const n of [base + id - 1, base + packetIds + id - 1]) if (n >= this.#oldest && n < this.book.published) return n;
    return undefined;
  }

  #note(trouble: string): void {
    this.troubles[trouble] = (this.troubles[trouble] ?? 0) + 1;
  }
}

const packetIds = 65_535;

function idOf(n: number): number {
  return (n % packetIds) + 1;
}
