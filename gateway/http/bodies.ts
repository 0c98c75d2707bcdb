import type { IncomingMessage } from "node:http";

/** Hard limit of a body. What is smaller, and still too large for a message, becomes a dead letter behind the inlet. */
export const maxBodyBytes = 16 * 1024 * 1024;
/** What all bodies under way may take together: nobody knows who sends them before they are whole, as their signature covers all of it. */
const defaultBudgetBytes = 64 * 1024 * 1024;

/** A body, whole; it counts until it is let go of. */
export interface Body {
  readonly kind: "whole";
  readonly bytes: Uint8Array;
  release(): void;
}
export type BodyOutcome = Body | { readonly kind: "too-large" | "no-room" | "cut" };

/** One that is being gathered. */
interface Gathering {
  sizeBytes: number;
  readonly giveWay: () => void;
}

/**
 * Gathers bodies within a budget that they share. Past it the one that holds most gives way, so that strangers with large bodies do not keep
 * out those with small ones; only what has come counts, so that announcing much takes nothing from anybody.
 */
export class Bodies {
  readonly #budgetBytes: number;
  readonly #gathering = new Set<Gathering>();
  #heldBytes = 0;

  constructor(budgetBytes = defaultBudgetBytes) {
    this.#budgetBytes = budgetBytes;
  }

  /** Of bodies that are under way, or whole and not let go of. */
  get heldBytes(): number {
    return this.#heldBytes;
  }

  read(request: IncomingMessage): Promise<BodyOutcome> {
    if (Number(request.headers["content-length"] ?? 0) > maxBodyBytes) return Promise.resolve({ kind: "too-large" });
    return new Promise((resolve) => {
      let chunks: Buffer[] = [];
      const end = (kind: "too-large" | "no-room" | "cut"): void => {
        if (!this.#gathering.delete(own)) return;
        chunks = [];
        this.#heldBytes -= own.sizeBytes;
        resolve({ kind });
      };
      const own: Gathering = { sizeBytes: 0, giveWay: () => end("no-room") };
      this.#gathering.add(own);
      request.on("data", (chunk: Buffer) => {
        // what comes behind an answer is read and dropped, so that the sender gets to read it
        if (!this.#gathering.has(own)) return;
        own.sizeBytes += chunk.length;
        this.#heldBytes += chunk.length;
        chunks.push(chunk);
        if (own.sizeBytes > maxBodyBytes) end("too-large");
        else if (this.#heldBytes > this.#budgetBytes) this.#relieve();
      });
      request.on("end", () => {
        if (!this.#gathering.delete(own)) return;
        const bytes = chunks.length === 1 && chunks[0] ? chunks[0] : Buffer.concat(chunks);
        resolve({ kind: "whole", bytes, release: () => this.#release(own) });
      });
      request.on("error", () => end("cut"));
      request.on("close", () => end("cut"));
    });
  }

  #release(body: Gathering): void {
    this.#heldBytes -= body.sizeBytes;
    body.sizeBytes = 0;
  }

  #relieve(): void {
    let largest: Gathering | undefined;
    for (const each of this.#gathering) if (!largest || each.sizeBytes > largest.sizeBytes) largest = each;
    largest?.giveWay();
  }
}
