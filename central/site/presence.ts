import type { Clock, Lane, StatusReport } from "../../protocol/index.ts";
import type { Storage } from "../storage/storage.ts";

/**
 * When each site was last heard. A lease is soft state: it lives in memory and reaches the disk now and then, so that a call costs no
 * flush; after a restart of central a site is at worst taken for silent a few seconds too early.
 */
export class Presence {
  readonly #deps: { readonly storage: Storage; readonly clock: Clock };
  readonly #heardAt = new Map<string, number>();
  readonly #backlogSince = new Map<string, number>();
  readonly #recorded: { second: number; transactions: number; samples: number }[] = [];
  #unsaved = new Set<string>();

  constructor(deps: { readonly storage: Storage; readonly clock: Clock }) {
    this.#deps = deps;
  }

  /** Any authenticated call of a site renews its lease. */
  heard(site: string): void {
    this.#heardAt.set(site, this.#deps.clock.now());
    this.#unsaved.add(site);
  }

  lastHeardAt(site: string, stored: number | null): number | null {
    return this.#heardAt.get(site) ?? stored;
  }

  /** Keeps what a gateway says of itself; durable on return. */
  async report(site: string, report: StatusReport): Promise<void> {
    const { storage, clock } = this.#deps;
    for (const lane of report.lanes) {
      const key = `${site}/${lane.lane}`;
      if (lane.last <= lane.acknowledged) this.#backlogSince.delete(key);
      else if (!this.#backlogSince.has(key)) this.#backlogSince.set(key, clock.now());
    }
    await storage
      .updateTable("sites")
      .set({
        status: JSON.stringify(report),
        status_at: clock.now(),
        reported_revision: report.configuration.reported,
        clock_skew_ms: clock.now() - Date.parse(report.sentAt),
      })
      .where("name", "=", site)
      .execute();
  }

  /** Messages reached the disk: the lane's backlog is being worked off. */
  recorded(site: string, lane: Lane, count: number): void {
    const now = this.#deps.clock.now();
    const key = `${site}/${lane}`;
    if (this.#backlogSince.has(key)) this.#backlogSince.set(key, now);
    const second = Math.floor(now / 1000);
    let slot = this.#recorded.find((each) => each.second === second);
    if (!slot) {
      slot = { second, transactions: 0, samples: 0 };
      this.#recorded.push(slot);
      if (this.#recorded.length > 4) this.#recorded.shift();
    }
    if (lane === "telemetry") slot.samples += count;
    else slot.transactions += count;
  }

  /** Since when the lane has had a backlog without anything of it being recorded; undefined without a backlog. */
  backlogUnmovedSince(site: string, lane: Lane): number | undefined {
    return this.#backlogSince.get(`${site}/${lane}`);
  }

  /** What was recorded in the last whole second. */
  rate(): { transactionsPerSecond: number; samplesPerSecond: number } {
    const second = Math.floor(this.#deps.clock.now() / 1000) - 1;
    const slot = this.#recorded.find((each) => each.second === second);
    return { transactionsPerSecond: slot?.transactions ?? 0, samplesPerSecond: slot?.samples ?? 0 };
  }

  async save(): Promise<void> {
    const sites = this.#unsaved;
    if (sites.size === 0) return;
    this.#unsaved = new Set();
    await this.#deps.storage.transaction().execute(async (tx) => {
      for (const site of sites) {
        await tx
          .updateTable("sites")
          .set({ last_heard_at: this.#heardAt.get(site) ?? null })
          .where("name", "=", site)
          .execute();
      }
    });
  }
}
