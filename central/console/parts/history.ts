import type { SitesAnswer } from "../../http/views.ts";

/** One reading; `atMs` is the browser's monotonic clock. */
export interface Reading {
  readonly atMs: number;
  readonly value: number;
}

/** What the sparklines show. */
export const historyMs = 5 * 60_000;

/**
 * The last minutes of backlog and rates, kept in this browser tab only: central stores no history for it, and a reload starts anew.
 * Readings older than {@link historyMs} are dropped, so memory follows the number of lanes, not the time the page is open.
 */
export class History {
  readonly #series = new Map<string, Reading[]>();
  #firstAtMs: number | undefined;

  record(answer: SitesAnswer, atMs: number): void {
    this.#firstAtMs ??= atMs;
    this.#add("rate/transactions", atMs, answer.rate.transactionsPerSecond);
    this.#add("rate/samples", atMs, answer.rate.samplesPerSecond);
    for (const site of answer.sites) {
      // What a silent site said last is no reading of now: its line breaks off.
      if (site.condition === "unknown") continue;
      for (const lane of site.lanes) this.#add(backlogSeries(site.name, lane.lane), atMs, lane.waiting);
    }
  }

  readings(series: string): readonly Reading[] {
    return this.#series.get(series) ?? [];
  }

  /** How far back a chart looks: what there is, at least a minute, at most {@link historyMs}. */
  windowMs(nowMs: number): number {
    return Math.min(historyMs, Math.max(60_000, nowMs - (this.#firstAtMs ?? nowMs)));
  }

  #add(series: string, atMs: number, value: number): void {
    const before = this.#series.get(series) ?? [];
    const first = before.findIndex((reading) => reading.atMs >= atMs - historyMs);
    this.#series.set(series, [...(first < 0 ? [] : before.slice(first)), { atMs, value }]);
  }
}

export function backlogSeries(site: string, lane: string): string {
  return `backlog/${site}/${lane}`;
}
