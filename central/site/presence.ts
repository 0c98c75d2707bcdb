import type { Clock, Lane, StatusReport } from "../../protocol/index.ts";
import type { Alarm, Alarms } from "../alert/alarms.ts";
import { noteReport } from "../recovery/notes.ts";
import { configurationChanged } from "../router/routes.ts";
import type { SharedCommits } from "../storage/shared-commits.ts";
import type { Storage } from "../storage/storage.ts";
import type { SiteRow } from "./registry.ts";

export interface PresenceDeps {
  readonly storage: Storage;
  readonly commits: SharedCommits;
  readonly clock: Clock;
  readonly alarms: Alarms;
}

/** How far apart the clocks of replicas may be. */
const clockToleranceMs = 60_000;

/** Whether a stored instant can be believed. One that lies ahead was noted by a clock that was wrong, then or now: it says nothing. */
export function isPast(instant: number, now: number): boolean {
  return instant <= now + clockToleranceMs;
}

/** By central's clock; `unclear`: it was heard, and nobody can tell when. */
export type LastHeard = number | "unclear" | null;

/**
 * When each site was last heard, and what it said. A lease is soft state: it lives in memory and reaches the storage now and then, so that
 * a call costs no flush; after a restart of central, or at another replica, a site is at worst taken for silent a few seconds too early.
 */
export class Presence {
  readonly #deps: PresenceDeps;
  /** By monotonic time: a site is silent for as long as it is, whatever the clock does meanwhile. */
  readonly #heardAt = new Map<string, number>();
  #unsaved = new Set<string>();

  constructor(deps: PresenceDeps) {
    this.#deps = deps;
  }

  /** Any authenticated call of a site renews its lease. */
  heard(site: string): void {
    this.#heardAt.set(site, this.#deps.clock.monotonic());
    this.#unsaved.add(site);
  }

  /** @param stored what another replica, or this one before its start, has heard */
  lastHeardAt(site: string, stored: number | null): LastHeard {
    const now = this.#deps.clock.now();
    const own = this.#ownHeardAt(site, now);
    const known = stored === null || isPast(stored, now) ? stored : "unclear";
    if (own === undefined) return known;
    return typeof known === "number" ? Math.max(own, known) : own;
  }

  #ownHeardAt(site: string, now: number): number | undefined {
    const heardAt = this.#heardAt.get(site);
    return heardAt === undefined ? undefined : Math.round(now - (this.#deps.clock.monotonic() - heardAt));
  }

  /** Keeps what a gateway says of itself; durable on return. */
  async report(site: SiteRow, report: StatusReport): Promise<void> {
    const { commits, clock, alarms } = this.#deps;
    const now = clock.now();
    const raised = await commits.run(async (tx) => {
      if (report.configuration.reported !== site.reported_revision) await configurationChanged(tx);
      await tx
        .updateTable("sites")
        .set({
          status: JSON.stringify(report),
          status_at: now,
          reported_revision: report.configuration.reported,
          clock_skew_ms: now - Date.parse(report.sentAt),
          behind: JSON.stringify(laneBacklogs(site, report, now)),
        })
        .where("name", "=", site.name)
        .execute();
      await noteReport(tx, site.name, report);
      if (report.disk.state !== "ok") return alarms.raise(tx, [diskAlarm(site.name, report)]);
      await alarms.end(tx, { site: site.name, kind: "disk" });
      return [];
    });
    alarms.log(raised);
  }

  async save(): Promise<void> {
    const sites = [...this.#unsaved].sort();
    if (sites.length === 0) return;
    this.#unsaved = new Set();
    const now = this.#deps.clock.now();
    await this.#deps.storage.transaction().execute(async (tx) => {
      for (const site of sites) {
        const heardAt = this.#ownHeardAt(site, now) ?? 0;
        await tx
          .updateTable("sites")
          .set({ last_heard_at: heardAt })
          .where("name", "=", site)
          // another replica may have heard it since
          .where((eb) =>
            eb.or([
              eb("last_heard_at", "is", null),
              eb("last_heard_at", "<", heardAt),
              eb("last_heard_at", ">", now + clockToleranceMs),
            ]),
          )
          .execute();
      }
    });
  }
}

/** Since when each lane has had a backlog without a break. */
function laneBacklogs(site: SiteRow, report: StatusReport, now: number): Record<string, number> {
  const before = behindSince(site);
  const behind = report.lanes.filter((lane) => lane.last > lane.acknowledged);
  const since = (lane: Lane): number => Math.min(before[lane] ?? now, now);
  return Object.fromEntries(behind.map(({ lane }) => [lane, since(lane)]));
}

export function behindSince(site: Pick<SiteRow, "behind">): Partial<Record<Lane, number>> {
  return JSON.parse(site.behind) as Partial<Record<Lane, number>>;
}

/** What each state of the full-disk ladder means, for a person. */
export const diskWords: Readonly<Record<StatusReport["disk"]["state"], string>> = {
  ok: "its disk has room",
  discarding: "its disk is full: samples make room for each other",
  "bulk-refused": "its disk is full: bulk data is refused at its source",
  refusing: "its disk is full: nothing new is taken in",
};

function diskAlarm(site: string, { disk }: StatusReport): Alarm {
  const free = `${Math.floor(disk.freeBytes / 1024 / 1024).toLocaleString("en-US")} MiB free`;
  return { site, kind: "disk", count: 1, reason: `${diskWords[disk.state]}; ${free}` };
}
