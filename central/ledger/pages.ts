import { type Clock, type Lane, PlantgateError } from "../../protocol/index.ts";
import { type Hints, ledgerHint } from "../router/hints.ts";
import type { Storage } from "../storage/storage.ts";
import type { Damage } from "./damage.ts";
import type { Frames } from "./frames.ts";
import { placeOf } from "./lines.ts";
import { sliceMessages } from "./plan.ts";
import { filterOf, lastOf, type RowFilter, rowsOf } from "./slice-rows.ts";
import { type Spliced, spliceGap, spliceMessages } from "./splice.ts";

export interface MessagesQuery {
  readonly after: number;
  readonly limit: number;
  readonly site?: string | undefined;
  readonly lane?: Lane | undefined;
  readonly type?: string | undefined;
  readonly state?: "recorded" | "repeat" | undefined;
  /** Of all messages' texts together. */
  readonly maxBytes?: number | undefined;
  /** How long to wait where nothing is there yet. */
  readonly waitMs?: number | undefined;
}
export interface PagesDeps {
  readonly storage: Storage;
  readonly frames: Frames;
  readonly damage: Damage;
  readonly hints: Hints;
  readonly clock: Clock;
}

/** Rows that are looked at between two turns of the event loop, at first and at most: more where few of them are wanted. */
const rowsPerLook = { first: 200, most: 6400 } as const;
/** The longest that a wait goes without looking: another replica's hint may be lost. */
const lookEveryMs = 1000;

/** The ledger's messages in the order in which they were recorded, as text. */
export class Pages {
  readonly #deps: PagesDeps;

  constructor(deps: PagesDeps) {
    this.#deps = deps;
  }

  /**
   * Parts of the answer to a query, each some `LedgerMessage` texts with a newline behind each, or one `LedgerGap`. Waits for a first one
   * up to `waitMs`.
   */
  async *read(query: MessagesQuery, signal: AbortSignal): AsyncGenerator<Spliced> {
    const { clock, hints } = this.#deps;
    const deadline = clock.monotonic() + (query.waitMs ?? 0);
    const scan = new Scan(this.#deps, query);
    for (;;) {
      let found = false;
      for await (const part of scan.parts()) {
        found = true;
        yield part;
      }
      const left = deadline - clock.monotonic();
      if (found || left <= 0 || signal.aborted) return;
      await hints.wait(ledgerHint, Math.min(left, lookEveryMs), signal);
    }
  }
}

/** One walk through the ledger; asked again, it goes on behind what it has looked at. Positions show in their order. */
class Scan {
  readonly #deps: PagesDeps;
  readonly #query: MessagesQuery;
  readonly #filter: RowFilter;
  /** The first position that was not looked at. */
  #from: number;

  constructor(deps: PagesDeps, query: MessagesQuery) {
    this.#deps = deps;
    this.#query = query;
    this.#filter = filterOf(query);
    // a slice that begins before may reach behind `after`: none has more messages than that
    this.#from = query.after + 1 - sliceMessages;
  }

  async *parts(): AsyncGenerator<Spliced> {
    const { storage, frames, damage } = this.#deps;
    const { state = "recorded", limit, maxBytes = Number.POSITIVE_INFINITY } = this.#query;
    const { type } = this.#filter;
    let [left, bytes, after] = [limit, maxBytes, this.#query.after];
    for (let rowsAtOnce: number = rowsPerLook.first; ; rowsAtOnce = Math.min(rowsAtOnce * 2, rowsPerLook.most)) {
      const to = await lastOf(storage, this.#filter, this.#from, rowsAtOnce);
      if (to === null) return;
      // a damaged index may lead back, and this would go round for ever
      if (to < this.#from) throw new PlantgateError("DISK_FAILED", "the ledger's positions are out of order on central's disk");
      for (const row of await rowsOf(storage, this.#filter, this.#from, to)) {
        if (row.position + row.count - 1 <= after) continue;
        const wanted = { after, most: left, mostBytes: bytes, first: bytes === maxBytes, state, type };
        const place = placeOf(row);
        const read = await damage.read(place, () => frames.use(storage, place, (text) => spliceMessages(row, text, wanted)));
        const part = read ? read.value : spliceGap(row, after);
        if (part.text.byteLength === 0 && !part.full) continue;
        after = part.last;
        left -= part.count;
        bytes -= part.text.byteLength;
        yield part;
        if (left <= 0 || part.full) return;
      }
      this.#from = to + 1;
      await new Promise((resolve) => setImmediate(resolve));
    }
  }
}
