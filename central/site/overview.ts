import { sql } from "kysely";
import { type Clock, type Lane, type StatusReport, toInstant } from "../../protocol/index.ts";
import { rankedAlarms } from "../alert/standing.ts";
import type { SitesAnswer, SiteView } from "../http/views.ts";
import { summarize } from "../ledger/completeness.ts";
import type { Storage } from "../storage/storage.ts";
import { judgeCondition } from "./condition.ts";
import { behindSince, isPast, type Presence } from "./presence.ts";
import { Rate } from "./rate.ts";
import type { SiteRegistry, SiteRow } from "./registry.ts";

export interface OverviewDeps {
  readonly storage: Storage;
  readonly registry: SiteRegistry;
  readonly presence: Presence;
  readonly clock: Clock;
  readonly leaseSeconds: number;
}
type EpochRow = Awaited<ReturnType<typeof epochsOf>>[number];
type HoleRow = Awaited<ReturnType<typeof lastHolesOf>>[number];
type AlarmRow = Awaited<ReturnType<typeof alarmsOf>>[number];
/** What is read of all sites at once. */
interface Facts {
  readonly epochs: ReadonlyMap<string, readonly EpochRow[]>;
  readonly holes: ReadonlyMap<string, readonly HoleRow[]>;
  readonly alarms: ReadonlyMap<string, readonly AlarmRow[]>;
}

/** How long an alarm is shown that is an event, or is over. */
const alarmShownMs = 24 * 3_600_000;
/** Alarms of one site in the overview; all are under /v1/exceptions. */
const alarmsShown = 5;

/** All sites as people see them: what central knows, beside what each gateway last said. */
export class Overview {
  readonly #deps: OverviewDeps;
  readonly #rate: Rate;

  constructor(deps: OverviewDeps) {
    this.#deps = deps;
    this.#rate = new Rate(deps);
  }

  async sites(): Promise<SitesAnswer> {
    const { storage, registry, clock } = this.#deps;
    const now = clock.now();
    const rows = await registry.list();
    const facts: Facts = {
      epochs: Map.groupBy(await epochsOf(storage), ({ site }) => site),
      holes: Map.groupBy(await lastHolesOf(storage), ({ site }) => site),
      alarms: Map.groupBy(await alarmsOf(storage, now - alarmShownMs), ({ site }) => site),
    };
    const sites = rows.map((row) => this.#view(row, facts, now));
    return { sites, at: toInstant(now), rate: await this.#rate.now() };
  }

  #view(row: SiteRow, facts: Facts, now: number): SiteView {
    const { presence, leaseSeconds } = this.#deps;
    const status = row.status === null ? null : (JSON.parse(row.status) as StatusReport);
    const lastHeard = presence.lastHeardAt(row.name, row.last_heard_at);
    const lastHeardAt = lastHeard === "unclear" ? null : lastHeard;
    const epochs = facts.epochs.get(row.name) ?? [];
    const judged = judgeCondition({
      now,
      leaseMs: leaseSeconds * 1000,
      revokedAt: row.revoked_at,
      lastHeardAt: lastHeard,
      fencedAt: row.fenced_at,
      status,
      backlogUnmovedSince: unmovedSince(row, epochs, now),
    });
    const { waiting = 0, unknown = 0, parked = 0, stale: ofUnknownAge = 0, expired = null } = status?.deliveries ?? {};
    return {
      name: row.name,
      labels: JSON.parse(row.labels) as Record<string, string>,
      ...judged,
      lastHeardAt: lastHeardAt === null ? null : toInstant(lastHeardAt),
      leaseEndsAt: lastHeardAt === null ? null : toInstant(lastHeardAt + leaseSeconds * 1000),
      pid: status?.pid ?? null,
      startedAt: status?.startedAt ?? null,
      lanes: lanesOf(epochs, facts.holes.get(row.name) ?? [], status, now, row.clock_skew_ms ?? 0),
      deliveries: status ? { waiting, unknown, parked, ofUnknownAge, expired } : null,
      disk: status?.disk ?? null,
      alarms: shownAlarms(facts.alarms.get(row.name) ?? []),
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

function epochsOf(storage: Storage) {
  return storage
    .selectFrom("epochs")
    .innerJoin("lanes", (join) => join.onRef("lanes.site", "=", "epochs.site").onRef("lanes.lane", "=", "epochs.lane"))
    .innerJoin("projections", (join) =>
      join.onRef("projections.site", "=", "epochs.site").onRef("projections.lane", "=", "epochs.lane"),
    )
    .leftJoin("tallies", (join) =>
      join
        .onRef("tallies.site", "=", "epochs.site")
        .onRef("tallies.lane", "=", "epochs.lane")
        .onRef("tallies.epoch", "=", "epochs.epoch"),
    )
    .select(["epochs.site", "epochs.lane", "epochs.epoch", "first_sequence", "watermark", "lost", "moved_at"])
    .select(sql<number>`watermark - first_sequence + 1 - lost`.as("recorded"))
    .select(sql<number>`coalesce(messages + repeats + quarantined, 0)`.as("settled"))
    .select(sql<number>`lanes.recorded - projections.projected`.as("unprojected"))
    .orderBy("started_at")
    .execute();
}

/** The last hole of each epoch. */
function lastHolesOf(storage: Storage) {
  return storage
    .selectFrom("epochs")
    .innerJoin("holes", (join) =>
      join
        .onRef("holes.site", "=", "epochs.site")
        .onRef("holes.lane", "=", "epochs.lane")
        .onRef("holes.epoch", "=", "epochs.epoch")
        .on("holes.last_sequence", "=", (eb) =>
          eb
            .selectFrom("holes as each")
            .select((each) => each.fn.max("each.last_sequence").as("last"))
            .whereRef("each.site", "=", "epochs.site")
            .whereRef("each.lane", "=", "epochs.lane")
            .whereRef("each.epoch", "=", "epochs.epoch"),
        ),
    )
    .select(["holes.site", "holes.lane", "holes.epoch", "holes.first_sequence", "holes.last_sequence", "holes.reason"])
    .where("epochs.lost", ">", 0)
    .execute();
}

function alarmsOf(storage: Storage, since: number) {
  return rankedAlarms(storage, { since })
    .select(["site", "kind", "severity", "reason", "count", "first_at", "last_at"])
    .where("place", "<=", alarmsShown)
    .orderBy("place")
    .execute();
}

function shownAlarms(rows: readonly AlarmRow[]): SiteView["alarms"] {
  return rows.map(({ kind, severity, reason, count, first_at, last_at }) => ({
    kind,
    severity,
    reason,
    count,
    firstAt: toInstant(first_at),
    lastAt: toInstant(last_at),
  }));
}

/** Since when nothing of a lane's backlog was recorded, of the lane where that is longest: by what every replica can see. */
function unmovedSince(row: SiteRow, epochs: readonly EpochRow[], now: number): number | undefined {
  const since = Object.entries(behindSince(row))
    .filter(([, behind]) => isPast(behind, now))
    .map(([lane, behind]) =>
      epochs
        .filter((epoch) => epoch.lane === lane && isPast(epoch.moved_at, now))
        .reduce((latest, epoch) => Math.max(latest, epoch.moved_at), behind),
    );
  return since.length === 0 ? undefined : Math.min(...since);
}

/** Recorded messages of a lane, over all its epochs, of which nobody can say what became of them; see {@link Completeness}. */
function missingOf(epochs: readonly EpochRow[], lane: Lane, unprojected: number): number {
  const own = epochs.filter((epoch) => epoch.lane === lane);
  return own.reduce((sum, { recorded, settled }) => sum + recorded - settled, 0) - unprojected;
}

/** One entry a lane: the epoch that the gateway speaks of, else the newest one. */
function lanesOf(
  epochs: readonly EpochRow[],
  holes: readonly HoleRow[],
  status: StatusReport | null,
  now: number,
  skewMs: number,
): SiteView["lanes"] {
  const current = new Map<Lane, EpochRow>(epochs.map((epoch) => [epoch.lane, epoch]));
  for (const reported of status?.lanes ?? []) {
    const named = epochs.find(({ lane, epoch }) => lane === reported.lane && epoch === reported.epoch);
    if (named) current.set(reported.lane, named);
  }
  return [...current.values()].map(({ lane, epoch, first_sequence: first, watermark, lost, unprojected }) => {
    const reported = status?.lanes.find((each) => each.lane === lane && each.epoch === epoch);
    const waiting = reported ? Math.max(0, reported.last - Math.max(reported.acknowledged, watermark)) : 0;
    const oldestAt = waiting > 0 && reported?.oldestAt !== undefined ? Date.parse(reported.oldestAt) + skewMs : undefined;
    const last = holes
      .filter((hole) => hole.lane === lane && hole.epoch === epoch)
      .map((hole) => ({ first: hole.first_sequence, last: hole.last_sequence, reason: hole.reason }));
    return {
      lane,
      epoch,
      recorded: watermark,
      waiting,
      waitingBytes: waiting > 0 ? (reported?.waitingBytes ?? 0) : 0,
      lagSeconds: oldestAt === undefined ? null : Math.max(0, Math.round((now - oldestAt) / 1000)),
      waitingForProjection: unprojected,
      summary: summarize({ first, last: watermark }, last, lost, missingOf(epochs, lane, unprojected)),
      stalled: reported?.stalled ?? null,
    };
  });
}
