import { sql } from "kysely";
import { type Clock, type Lane, messageTypes } from "../../protocol/index.ts";
import { type Hints, ledgerHint } from "../router/hints.ts";
import type { Storage } from "../storage/storage.ts";
import type { Damage } from "./damage.ts";
import type { Frames } from "./frames.ts";
import { placeOf, type SliceRow, sliceColumns } from "./lines.ts";
import { sliceMessages } from "./plan.ts";
import { fullType, type Spliced, spliceGap, spliceMessages } from "./splice.ts";

export interface MessagesQuery {
  readonly after: number;
  readonly limit: number;
  readonly site?: string | undefined;
  readonly lane?: Lane | undefined;
  readonly type?: string | undefined;
  readonly state?: "recorded" | "repeat" | undefined;
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

/** Rows that are looked at between two turns of the event loop. */
const rowsPerLook = 200;
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
    for (;;) {
      let found = false;
      for await (const part of this.#scan(query)) {
        found = true;
        yield part;
      }
      const left = deadline - clock.monotonic();
      if (found || left <= 0 || signal.aborted) return;
      await hints.wait(ledgerHint, Math.min(left, lookEveryMs), signal);
    }
  }

  async *#scan(query: MessagesQuery): AsyncGenerator<Spliced> {
    const { storage, frames, damage } = this.#deps;
    const { state = "recorded" } = query;
    const type = query.type === undefined ? undefined : fullType(query.type);
    // a slice that begins before may reach behind `after`: none has more messages than that
    let [from, left, after] = [query.after + 1 - sliceMessages, query.limit, query.after];
    for (;;) {
      const rows = await this.#rows(from, query, type, state);
      for (const row of rows) {
        if (row.position + row.count - 1 <= query.after) continue;
        const wanted = { after, most: left, state, type };
        const place = placeOf(row);
        const read = await damage.read(place, () => frames.use(storage, place, (text) => spliceMessages(row, text, wanted)));
        const part = read ? read.value : spliceGap(row, after);
        if (part.text.byteLength === 0) continue;
        after = part.last;
        left -= part.count;
        yield part;
        if (left <= 0) return;
      }
      if (rows.length < rowsPerLook) return;
      from = (rows.at(-1) as SliceRow).position + 1;
      await new Promise((resolve) => setImmediate(resolve));
    }
  }

  #rows(from: number, query: MessagesQuery, type: string | undefined, state: "recorded" | "repeat"): Promise<SliceRow[]> {
    const { site } = query;
    // a type belongs to one lane, whose index is short where samples are many
    const lane = query.lane ?? messageTypes.find((each) => each.type === type)?.lane;
    return this.#deps.storage
      .selectFrom("slices")
      .select(sliceColumns)
      .where("position", ">=", from)
      .$if(site !== undefined, (q) => q.where("site", "=", site ?? ""))
      .$if(lane !== undefined, (q) => q.where("lane", "=", lane ?? "transaction"))
      .$if(state === "repeat", (q) => q.where("repeats", ">", 0))
      .$if(state === "recorded" && type === undefined, (q) => q.where("types", "<>", "{}"))
      .$if(state === "recorded" && type !== undefined, (q) =>
        q.where(sql<boolean>`types like ${`%${JSON.stringify(type).replace(/[\\%_]/g, "\\$&")}:%`} escape '\\'`),
      )
      .orderBy("position")
      .limit(rowsPerLook)
      .execute();
  }
}
