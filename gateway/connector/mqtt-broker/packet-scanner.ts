const pingreq = 0xc0;
const publish = 3;

export interface Scanned {
  /** The largest Remaining Length that begins in the chunk, Infinity for one that is malformed. */
  readonly largest: number;
  /** Likewise, of packets that are no PUBLISH. */
  readonly largestControl: number;
  /** Where whole PINGREQs begin. */
  readonly pings: number[];
  /** Behind the last byte that was looked at. */
  readonly end: number;
}

/** Follows the packets of one connection through chunks of any size, by the lengths in their fixed headers (MQTT 3.1.1, 2.2.3). */
export class PacketScanner {
  /** Bytes of the packet under way that are still to come. */
  #left = 0;
  #size = 0;
  #type = 0;
  /** Undefined: the next byte is a packet's first. */
  #length: { value: number; shift: number } | undefined;

  /** Bytes of the packet under way that have come. */
  get gathered(): number {
    return this.#left === 0 ? 0 : this.#size - this.#left;
  }

  /** The next byte is a packet's first. */
  get isBetween(): boolean {
    return this.#left === 0 && this.#length === undefined;
  }

  /** @param only the first packet: stops behind it */
  scan(chunk: Uint8Array, only?: "first"): Scanned {
    const pings: number[] = [];
    let largest = 0;
    let largestControl = 0;
    let at = 0;
    while (at < chunk.length) {
      if (this.#left > 0) {
        const step = Math.min(this.#left, chunk.length - at);
        this.#left -= step;
        at += step;
      } else if (this.#length === undefined) {
        const first = chunk[at] ?? 0;
        if (first === pingreq && chunk[at + 1] === 0) {
          pings.push(at);
          at += 2;
          if (only) break;
          continue;
        }
        this.#type = first >> 4;
        this.#length = { value: 0, shift: 0 };
        at += 1;
      } else {
        const byte = chunk[at] ?? 0;
        at += 1;
        this.#length.value += (byte & 0x7f) * 2 ** this.#length.shift;
        this.#length.shift += 7;
        if ((byte & 0x80) === 0) {
          this.#size = this.#left = this.#length.value;
          largest = Math.max(largest, this.#left);
          if (this.#type !== publish) largestControl = Math.max(largestControl, this.#left);
          this.#length = undefined;
        } else if (this.#length.shift > 21) {
          return { largest: Number.POSITIVE_INFINITY, largestControl: Number.POSITIVE_INFINITY, pings, end: at };
        }
      }
      if (only && this.isBetween) break;
    }
    return { largest, largestControl, pings, end: at };
  }
}
