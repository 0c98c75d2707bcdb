import { type Clock, type Lane, type StatusReport, toInstant } from "../../protocol/index.ts";
import type { SitesAnswer, SiteView } from "../http/views.ts";
import type { Storage } from "../storage/storage.ts";
import { judgeCondition } from "./condition.ts";
import type { Presence } from "./presence.ts";
import type { SiteRegistry, SiteRow } from "./registry.ts";

export interface OverviewDeps {
  readonly storage: Storage;
  readonly registry: SiteRegistry;
  readonly presence: Presence;
  readonly clock: Clock;
  readonly leaseSeconds: number;
}
interface EpochRow {
  readonly site: string;
  readonly lane: Lane;
  readonly epoch: string;
  readonly watermark: number;
  readonly started_at: number;
}

/** All sites as people see them: what central knows, beside what each gateway last said. */
export class Overview {
  readonly #deps: OverviewDeps;

  constructor(deps: OverviewDeps) {
    this.#deps = deps;
  }

  async sites(): Promise<SitesAnswer> {
    const { storage, registry, presence, clock } = this.#deps;
    const rows = await registry.list();
    const epochs = await storage
      .selectFrom("epochs")
      .select(["site", "lane", "epoch", "watermark", "started_at"])
      .orderBy("started_at")
      .execute();
    const bySite = Map.groupBy(epochs, (epoch) => epoch.site);
    const sites = rows.map((row) => this.#view(row, bySite.get(row.name) ?? []));
    return { sites, at: toInstant(clock.now()), rate: presence.rate() };
  }

  #view(row: SiteRow, epochs: readonly EpochRow[]): SiteView {
    const { presence, clock, leaseSeconds } = this.#deps;
    const now = clock.now();
    const status = row.status === null ? null : (JSON.parse(row.status) as StatusReport);
    const lastHeardAt = presence.lastHeardAt(row.name, row.last_heard_at);
    const unmoved = (status?.lanes ?? []).flatMap(({ lane }) => presence.backlogUnmovedSince(row.name, lane) ?? []);
    const judged = judgeCondition({
      now,
      leaseMs: leaseSeconds * 1000,
      revokedAt: row.revoked_at,
      lastHeardAt,
      fencedAt: row.fenced_at,
      status,
      backlogUnmovedSince: unmoved.length > 0 ? Math.min(...unmoved) : undefined,
    });
    return {
      name: row.name,
      labels: JSON.parse(row.labels) as Record<string, string>,
      ...judged,
      lastHeardAt: lastHeardAt === null ? null : toInstant(lastHeardAt),
      leaseEndsAt: lastHeardAt === null ? null : toInstant(lastHeardAt + leaseSeconds * 1000),
      pid: status?.pid ?? null,
      startedAt: status?.startedAt ?? null,
      lanes: lanesOf(epochs, status, now, row.clock_skew_ms ?? 0),
      deliveries: status ? { waiting: status.deliveries.waiting, unknown: status.deliveries.unknown } : null,
      deadLetters: status?.deadLetters ?? 0,
      downlinkWaiting: row.downlink_last - row.downlink_acked,
      desiredRevision: row.desired_revision,
      reportedRevision: row.reported_revision,
      configurationState: status?.configuration.state ?? "none",
      configurationReason: status?.configuration.reason ?? null,
      connectors: status?.connectors ?? [],
      clockSkewMs: row.clock_skew_ms,
    };
  }
}

/** One entry a lane: the epoch that the gateway speaks of, else the newest one. */
function lanesOf(epochs: readonly EpochRow[], status: StatusReport | null, now: number, skewMs: number): SiteView["lanes"] {
  const current = new Map<Lane, EpochRow>(epochs.map((epoch) => [epoch.lane, epoch]));
  for (const reported of status?.lanes ?? []) {
    const named = epochs.find(({ lane, epoch }) => lane === reported.lane && epoch === reported.epoch);
    if (named) current.set(reported.lane, named);
  }
  return [...current.values()].map(({ lane, epoch, watermark }) => {
    const reported = status?.lanes.find((each) => each.lane === lane && each.epoch === epoch);
    const waiting = reported ? Math.max(0, reported.last - Math.max(reported.acknowledged, watermark)) : 0;
    const oldestAt = waiting > 0 && reported?.oldestAt !== undefined ? Date.parse(reported.oldestAt) + skewMs : undefined;
    return {
      lane,
      epoch,
      recorded: watermark,
      waiting,
      waitingBytes: waiting > 0 ? (reported?.waitingBytes ?? 0) : 0,
      lagSeconds: oldestAt === undefined ? null : Math.max(0, Math.round((now - oldestAt) / 1000)),
    };
  });
}
