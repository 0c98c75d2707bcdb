import { Duplex } from "node:stream";

export interface FilterLimits {
  /** Messages, and bytes of them, that may be read and not yet flushed. */
  readonly unflushed: number;
  readonly unflushedBytes: number;
  /** Bytes that were given on and not yet taken. */
  readonly untakenBytes: number;
}

/** Chunks that are joined into one write up to this size: an acknowledgement has four bytes. */
const joinedBytes = 64 * 1024;

/**
 * Stands between a socket and an MQTT library that reads a connection's next packets only when it is done with the last: sees what comes
 * first, and decides how far to read ahead. What it gives on the library reads from it; what the library writes passes.
 */
export abstract class SocketFilter extends Duplex {
  readonly #socket: Duplex;
  readonly #limits: FilterLimits;
  #unflushed = 0;
  #unflushedBytes = 0;
  #isPaused = false;

  constructor(socket: Duplex, limits: FilterLimits) {
    super({ readableHighWaterMark: limits.untakenBytes });
    this.#socket = socket;
    this.#limits = limits;
    socket.on("data", (chunk: Buffer) => {
      try {
        this.receive(chunk);
      } catch (error) {
        this.destroy(error as Error);
      }
      this.#flow();
    });
    socket.on("end", () => this.push(null));
    socket.on("error", (error) => this.destroy(error));
    socket.on("close", () => this.destroy());
  }

  /** Looks at what came, and gives on (`push`) what is the library's. @throws Error: the connection ends */
  protected abstract receive(chunk: Buffer): void;

  /** A message is on its way to the disk. */
  taken(sizeBytes: number): void {
    this.#unflushed += 1;
    this.#unflushedBytes += sizeBytes;
  }

  /** It is there, or will never be. */
  released(sizeBytes: number): void {
    this.#unflushed -= 1;
    this.#unflushedBytes -= sizeBytes;
    if (this.#isPaused) this.#flow();
  }

  /** The bounds are reached, and nothing is read from the socket. */
  get isReadingPaused(): boolean {
    return this.#isPaused;
  }

  /** Something waits for the disk, or for the library to read on. */
  protected get isBehind(): boolean {
    return this.#unflushed > 0 || this.readableLength > 0;
  }

  #flow(): void {
    const share = this.#isPaused ? 0.5 : 1;
    const isFull =
      this.#unflushed > this.#limits.unflushed * share ||
      this.#unflushedBytes > this.#limits.unflushedBytes * share ||
      this.readableLength > this.#limits.untakenBytes * share;
    if (isFull === this.#isPaused) return;
    this.#isPaused = isFull;
    if (isFull) this.#socket.pause();
    else this.#socket.resume();
  }

  // a stream asks for more (`_read`) before what is read is taken off its buffer, and not again until something is pushed
  override read(sizeBytes?: number): Buffer | null {
    const chunk = super.read(sizeBytes) as Buffer | null;
    if (this.#isPaused) this.#flow();
    return chunk;
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
    const sizeBytes = chunks.reduce((sum, chunk) => sum + chunk.length, 0);
    const pieces = chunks.length > 1 && sizeBytes <= joinedBytes ? [Buffer.concat(chunks, sizeBytes)] : chunks;
    let isFree = true;
    this.#socket.cork();
    for (const piece of pieces) isFree = this.#socket.write(piece);
    this.#socket.uncork();
    if (isFree) done();
    else this.#socket.once("drain", done);
  }

  override _final(done: (error?: Error | null) => void): void {
    this.#socket.end(() => done());
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.#socket.destroy();
    done(error);
  }
}
