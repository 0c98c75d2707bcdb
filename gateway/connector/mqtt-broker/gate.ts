import type { Socket } from "node:net";
import { SocketFilter } from "../mqtt/socket-filter.ts";

/** What a client may have sent and we have not flushed; past it, nothing more is read from it. */
const limits = { unflushed: 1000, unflushedBytes: 4 * 1024 * 1024, untakenBytes: 128 * 1024 };

const pingreq = 0xc0;
const pingresp = Buffer.from([0xd0, 0]);

export interface GateDeps {
  readonly socket: Socket;
  readonly maxPacketBytes: number;
  readonly onTooLarge: (sizeBytes: number) => void;
  /** A client whose messages wait asks whether we are there: counts it as heard; false where it may not ask yet. */
  readonly onPing: () => boolean;
}

/**
 * Between a client's socket and aedes. aedes reads on only when it is done with what it read; a client whose messages wait for room on
 * the disk would get no answer to its pings, and would be taken for dead (MQTT 3.1.1, 3.1.2.10): a storm of connections instead of
 * push-back (rule 12). So its pings are answered here meanwhile, as far as this reads ahead. A packet larger than the limit ends the
 * connection when it is announced: the parser would gather all of it in memory first (MQTT allows 256 MiB).
 */
export class Gate extends SocketFilter {
  readonly #deps: GateDeps;
  readonly #scanner = new PacketScanner();

  constructor(deps: GateDeps) {
    super(deps.socket, limits);
    this.#deps = deps;
  }

  protected override receive(chunk: Buffer): void {
    const { maxPacketBytes, onTooLarge, onPing } = this.#deps;
    const { largest, pings } = this.#scanner.scan(chunk);
    if (largest > maxPacketBytes) {
      onTooLarge(largest);
      this.destroy();
      return;
    }
    let at = 0;
    // aedes takes a chunk at once, and answers the pings in it: only what would lie behind another chunk is ours
    for (const ping of this.isBehind ? pings : []) {
      if (!onPing()) continue;
      this.write(pingresp);
      if (ping > at) this.push(chunk.subarray(at, ping));
      at = ping + 2;
    }
    if (at < chunk.length) this.push(at === 0 ? chunk : chunk.subarray(at));
  }
}

/** Follows the packets of one connection through chunks of any size, by the lengths in their fixed headers (MQTT 3.1.1, 2.2.3). */
export class PacketScanner {
  /** Bytes of the packet under way that are still to come. */
  #left = 0;
  /** Undefined: the next byte is a packet's first. */
  #length: { value: number; shift: number } | undefined;

  /** The largest Remaining Length that begins in this chunk, Infinity for one that is malformed; and where whole PINGREQs are in it. */
  scan(chunk: Uint8Array): { largest: number; pings: number[] } {
    const pings: number[] = [];
    let largest = 0;
    let at = 0;
    while (at < chunk.length) {
      if (this.#left > 0) {
        const step = Math.min(this.#left, chunk.length - at);
        this.#left -= step;
        at += step;
      } else if (this.#length === undefined) {
        if (chunk[at] === pingreq && chunk[at + 1] === 0) {
          pings.push(at);
          at += 2;
          continue;
        }
        this.#length = { value: 0, shift: 0 };
        at += 1;
      } else {
        const byte = chunk[at] ?? 0;
        at += 1;
        this.#length.value += (byte & 0x7f) * 2 ** this.#length.shift;
        this.#length.shift += 7;
        if ((byte & 0x80) === 0) {
          this.#left = this.#length.value;
          largest = Math.max(largest, this.#left);
          this.#length = undefined;
        } else if (this.#length.shift > 21) return { largest: Number.POSITIVE_INFINITY, pings };
      }
    }
    return { largest, pings };
  }
}
