import type { Socket } from "node:net";
import { SocketFilter } from "../mqtt/socket-filter.ts";
import type { Holder, MemoryBudget } from "./memory-budget.ts";
import { PacketScanner } from "./packet-scanner.ts";

/** What a client may have sent and we have not flushed; past it, nothing more is read from it. Of bytes the budget says how many. */
const limits = { unflushed: 1000, untakenBytes: 128 * 1024 };

/** Remaining Length, at most: of a message, and of what is none (MQTT allows 256 MiB each). */
const largest = { publish: 16 * 1024 * 1024, control: 64 * 1024 };

const pingresp = Buffer.from([0xd0, 0]);

export interface GateDeps {
  readonly socket: Socket;
  readonly budget: MemoryBudget;
  readonly onTooLarge: (sizeBytes: number, limitBytes: number) => void;
  readonly onTooMuch: (heldBytes: number) => void;
  /** A client whose messages wait asks whether we are there: counts it as heard; false where it may not ask yet. */
  readonly onPing: () => boolean;
}

/**
 * Between a client's socket and aedes.
 *
 * stranger: its first packet, which has to be CONNECT, is given on when it is whole → waiting: what follows is left in the socket →
 * open, when the client is let in.
 *
 * aedes reads on only when it is done with what it read; a client whose messages wait for room on the disk would get no answer to its
 * pings, and would be taken for dead (MQTT 3.1.1, 3.1.2.10): a storm of connections instead of push-back (rule 12). So its pings are
 * answered here meanwhile, as far as this reads ahead. A packet larger than the limit ends the connection when it is announced: the
 * parser would gather all of it in memory first.
 */
export class Gate extends SocketFilter implements Holder {
  readonly #deps: GateDeps;
  readonly #scanner = new PacketScanner();
  #mode: "stranger" | "waiting" | "open" = "stranger";
  #behindConnect: Buffer | undefined;
  #unflushedBytes = 0;
  #outgoingBytes = 0;
  /** As the budget knows it. */
  #heldBytes = 0;

  constructor(deps: GateDeps) {
    const { budget } = deps;
    super(deps.socket, {
      ...limits,
      get unflushedBytes() {
        return budget.allowanceBytes;
      },
    });
    this.#deps = deps;
    budget.join(this);
  }

  /** Its client is let in: what it sent behind CONNECT is next. */
  open(): void {
    if (this.#mode === "open" || this.destroyed) return;
    this.#mode = "open";
    const behind = this.#behindConnect;
    this.#behindConnect = undefined;
    if (behind) this.#pass(behind);
    if (!this.isReadingPaused) this.#deps.socket.resume();
  }

  /** What was written to the client and the system has not taken. */
  get unsentBytes(): number {
    return this.writableLength + this.#deps.socket.writableLength;
  }

  /**
   * All that lies here. A stream gives one piece at a time; aedes reads once, and again when a packet that ended in what it got is done with:
   * where none ended it would wait for what has come already.
   */
  override read(sizeBytes?: number): Buffer | null {
    const first = super.read(sizeBytes);
    if (first === null || sizeBytes || this.readableLength === 0) return first;
    const pieces = [first];
    for (let piece = super.read(); piece !== null; piece = super.read()) pieces.push(piece);
    return Buffer.concat(pieces);
  }

  override taken(sizeBytes: number): void {
    this.#unflushedBytes += sizeBytes;
    super.taken(sizeBytes);
    this.account();
  }

  override released(sizeBytes: number): void {
    this.#unflushedBytes -= sizeBytes;
    this.account();
    super.released(sizeBytes);
  }

  recount(): number {
    this.#heldBytes = this.#scanner.gathered + this.#unflushedBytes + this.#outgoingBytes + this.unsentBytes;
    return this.#heldBytes;
  }

  giveWay(): void {
    this.#deps.onTooMuch(this.#heldBytes);
    this.destroy();
  }

  /**
   * Tells the budget what this holds.
   * @param outgoingBytes of messages that the client has yet to acknowledge
   */
  account(outgoingBytes = this.#outgoingBytes): void {
    if (this.destroyed) return;
    this.#outgoingBytes = outgoingBytes;
    const before = this.#heldBytes;
    this.#deps.budget.moved(this.recount() - before);
  }

  protected override receive(chunk: Buffer): void {
    if (this.#mode === "open") this.#pass(chunk);
    else if (this.#mode === "waiting") this.#wait(this.#behindConnect ? Buffer.concat([this.#behindConnect, chunk]) : chunk);
    else this.#meet(chunk);
  }

  #meet(chunk: Buffer): void {
    const scanned = this.#scanner.scan(chunk, "first");
    if (this.#isTooLarge(scanned.largest, largest.control)) return;
    this.account();
    this.push(scanned.end === chunk.length ? chunk : chunk.subarray(0, scanned.end));
    if (!this.#scanner.isBetween) return;
    this.#mode = "waiting";
    this.#wait(chunk.subarray(scanned.end));
  }

  #wait(chunk: Buffer): void {
    if (chunk.length === 0) return;
    this.#behindConnect = chunk;
    this.#deps.socket.pause();
  }

  #pass(chunk: Buffer): void {
    const { pings, ...scanned } = this.#scanner.scan(chunk);
    if (this.#isTooLarge(scanned.largest, largest.publish) || this.#isTooLarge(scanned.largestControl, largest.control)) return;
    this.account();
    let at = 0;
    // aedes takes a chunk at once, and answers the pings in it: only what would lie behind another chunk is ours
    for (const ping of this.isBehind ? pings : []) {
      if (!this.#deps.onPing()) continue;
      this.write(pingresp);
      if (ping > at) this.push(chunk.subarray(at, ping));
      at = ping + 2;
    }
    if (at < chunk.length) this.push(at === 0 ? chunk : chunk.subarray(at));
  }

  #isTooLarge(sizeBytes: number, limitBytes: number): boolean {
    if (sizeBytes <= limitBytes) return false;
    this.#deps.onTooLarge(sizeBytes, limitBytes);
    this.destroy();
    return true;
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.#deps.budget.leave(this, this.#heldBytes);
    super._destroy(error, done);
  }
}
