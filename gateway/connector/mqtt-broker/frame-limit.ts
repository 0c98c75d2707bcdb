import type { Socket } from "node:net";

/**
 * Ends a connection that announces a packet larger than `maxBytes`: the parser would gather all of it in memory first (MQTT allows
 * 256 MiB). Works on what is read from the socket, without copying: only the lengths in the fixed headers are looked at
 * (MQTT 3.1.1, 2.2.3).
 */
export function limitFrames(socket: Socket, maxBytes: number, onExceeded: (sizeBytes: number) => void): void {
  const lengths = new FrameLengths();
  const read = socket.read.bind(socket);
  socket.read = (size?: number) => {
    const chunk: unknown = read(size);
    if (chunk instanceof Uint8Array) {
      const largest = lengths.largestIn(chunk);
      if (largest > maxBytes) {
        onExceeded(largest);
        socket.destroy();
        return null;
      }
    }
    return chunk;
  };
}

/** Follows the packets of one connection through chunks of any size. */
export class FrameLengths {
  /** Bytes of the packet under way that are still to come. */
  #left = 0;
  /** Undefined: the next byte is a packet's first. */
  #length: { value: number; shift: number } | undefined;

  /** The largest Remaining Length that begins in this chunk; Infinity for one that is malformed. */
  largestIn(chunk: Uint8Array): number {
    let largest = 0;
    let at = 0;
    while (at < chunk.length) {
      if (this.#left > 0) {
        const step = Math.min(this.#left, chunk.length - at);
        this.#left -= step;
        at += step;
      } else if (this.#length === undefined) {
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
        } else if (this.#length.shift > 21) return Number.POSITIVE_INFINITY;
      }
    }
    return largest;
  }
}
