import type { Clock } from "../../protocol/index.ts";
import type { SitesAnswer } from "../http/views.ts";
import type { Storage } from "../storage/storage.ts";

interface Reading {
  readonly at: number;
  readonly transactions: number;
  readonly samples: number;
}

/** A reading older than this says nothing of now. */
const staleMs = 5000;
const readEveryMs = 900;

/** What is recorded a second, by all replicas: told from the lanes' totals, which each of them can read. */
export class Rate {
  readonly #deps: { readonly storage: Storage; readonly clock: Clock };
  #before: Reading | undefined;
  #last: Reading | undefined;

  constructor(deps: { readonly storage: Storage; readonly clock: Clock }) {
    this.#deps = deps;
  }

  /** Asked about once a second, it tells of the last second. */
  async now(): Promise<SitesAnswer["rate"]> {
    const at = this.#deps.clock.monotonic();
    if (!this.#last || at - this.#last.at >= readEveryMs) {
      this.#before = this.#last && at - this.#last.at <= staleMs ? this.#last : undefined;
      this.#last = await this.#read(at);
    }
    const [before, last] = [this.#before, this.#last];
    if (!before) return { transactionsPerSecond: 0, samplesPerSecond: 0 };
    const perSecond = (count: number): number => Math.round((count * 1000) / (last.at - before.at));
    return {
      transactionsPerSecond: perSecond(last.transactions - before.transactions),
      samplesPerSecond: perSecond(last.samples - before.samples),
    };
  }

  async #read(at: number): Promise<Reading> {
    const rows = await this.#deps.storage
      .selectFrom("lanes")
      .select("lane")
      .select((eb) => eb.fn.sum<number>("recorded").as("recorded"))
      .groupBy("lane")
      .execute();
    const of = (samples: boolean): number =>
      rows.reduce((sum, row) => sum + ((row.lane === "telemetry") === samples ? Number(row.recorded) : 0), 0);
    return { at, transactions: of(false), samples: of(true) };
  }
}
