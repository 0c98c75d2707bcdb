import { Duplex } from "node:stream";
import type { Done } from "./intake-line.ts";
import { acknowledgements, PacketCutter, type Publish, packetType, readPublish } from "./packets.ts";

/** What one connection may have read and not yet flushed; past either, nothing is read from it. With MQTT 5 the broker is told the first. */
export const maxUnflushed = 1000;
const maxUnflushedBytes = 8 * 1024 * 1024;

export interface IntakeStreamDeps {
  /** To the broker. */
  readonly socket: Duplex;
  readonly version: "3.1.1" | "5";
  /** Given each PUBLISH, in order; `done` when it is flushed, in the same order, or with what stands against it. */
  readonly take: (publish: Publish, done: Done) => void;
}

/**
 * Stands between the socket and MQTT.js, which would handle a PUBLISH only when the one before it is flushed. PUBLISH packets are taken
 * out on the way in; everything else passes, so that pings are answered however long a flush takes. The acknowledgements of what is
 * flushed are written between the packets of MQTT.js, in the order in which the messages came (MQTT 3.1.1, 4.6). They belong to this
 * connection: when it has ended none is written, and the broker sends the messages again over the next one.
 */
export class IntakeStream extends Duplex {
  readonly #deps: IntakeStreamDeps;
  readonly #cutter = new PacketCutter();
  #unflushed = 0;
  #unflushedBytes = 0;
  #flushed: { qos: 1 | 2; packetId: number }[] = [];
  #isPaused = false;

  constructor(deps: IntakeStreamDeps) {
    super();
    this.#deps = deps;
    const { socket } = deps;
    socket.on("data", (chunk: Buffer) => this.#receive(chunk));
    socket.on("end", () => this.push(null));
    socket.on("error", (error) => this.destroy(error));
    socket.on("close", () => this.destroy());
  }

  /** Nothing is read from the broker, its answers to our pings neither. */
  get isReadingPaused(): boolean {
    return this.#isPaused;
  }

  #receive(chunk: Buffer): void {
    try {
      for (const packet of this.#cutter.cut(chunk)) {
        if ((packet[0] ?? 0) >> 4 === packetType.publish) this.#take(readPublish(packet, this.#deps.version));
        else this.push(packet);
      }
    } catch (error) {
      this.destroy(error as Error);
    }
  }

  #take(publish: Publish): void {
    this.#unflushed += 1;
    this.#unflushedBytes += publish.sizeBytes;
    this.#deps.take(publish, (error) => {
      this.#unflushed -= 1;
      this.#unflushedBytes -= publish.sizeBytes;
      const { qos, packetId } = publish;
      if (error === undefined && qos !== 0 && packetId !== undefined) this.#acknowledge(qos, packetId);
      this.#resume();
    });
    if (this.#isPaused || (this.#unflushed < maxUnflushed && this.#unflushedBytes < maxUnflushedBytes)) return;
    this.#isPaused = true;
    this.#deps.socket.pause();
  }

  #resume(): void {
    if (!this.#isPaused || this.#unflushed > maxUnflushed / 2 || this.#unflushedBytes > maxUnflushedBytes / 2) return;
    this.#isPaused = false;
    this.#deps.socket.resume();
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

  override _read(): void {}

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    this.#send([chunk], done);
  }

  override _writev(chunks: readonly { readonly chunk: Buffer }[], done: (error?: Error | null) => void): void {
    this.#send(
      chunks.map(({ chunk }) => chunk),
      done,
    );
  }

  #send(chunks: readonly Buffer[], done: () => void): void {
    const { socket } = this.#deps;
    let isFree = true;
    socket.cork();
    for (const chunk of chunks) isFree = socket.write(chunk);
    socket.uncork();
    if (isFree) done();
    else socket.once("drain", done);
  }

  override _final(done: (error?: Error | null) => void): void {
    this.#deps.socket.end(() => done());
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.#deps.socket.destroy();
    done(error);
  }
}
