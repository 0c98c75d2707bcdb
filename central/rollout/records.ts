import type { Selectable } from "kysely";
import { PlantgateError } from "../../protocol/index.ts";
import type { Schema } from "../storage/schema.ts";
import type { Database, StorageTransaction } from "../storage/storage.ts";
import type { SiteMemory } from "./health.ts";
import type { RolloutPlan, RolloutRecord, SiteRecord } from "./state.ts";
import type { StepOutcome } from "./step.ts";
import { isVersion, type Target } from "./target.ts";

export type RolloutRow = Selectable<Schema["rollouts"]>;
type SiteRow = Selectable<Schema["rollout_sites"]>;

/** Before it is planned a rollout has no waves. */
const unplanned: RolloutPlan = {
  limits: {
    windowMs: 0,
    settleMs: 0,
    maxDeadLetters: 0,
    maxLagMs: 0,
    maxRestarts: 0,
    unreachableAfterMs: 0,
    unreachableThen: "continue",
    maxFailures: 0,
  },
  waves: [],
};

export function toRollout(row: RolloutRow): RolloutRecord {
  return {
    state: row.state as RolloutRecord["state"],
    wave: row.wave,
    heldMs: row.held_ms,
    reason: row.reason,
    ending: row.ending as RolloutRecord["ending"],
    plan: row.plan === "" ? unplanned : (JSON.parse(row.plan) as RolloutPlan),
  };
}

/** The sites of a rollout, in the order of their names, with the digests of both revisions, or both versions. */
export async function readSites(db: Database, rollout: number): Promise<SiteRecord[]> {
  const rows = await db
    .selectFrom("rollout_sites as each")
    .leftJoin("revisions as before", (join) =>
      join.onRef("before.site", "=", "each.site").onRef("before.revision", "=", "each.from_revision"),
    )
    .leftJoin("revisions as after", (join) =>
      join.onRef("after.site", "=", "each.site").onRef("after.revision", "=", "each.to_revision"),
    )
    .selectAll("each")
    .select(["before.digest as from_digest", "after.digest as to_digest"])
    .where("rollout", "=", rollout)
    .orderBy("wave")
    .orderBy("each.site")
    .execute();
  return rows.map((row) =>
    row.to_version === null
      ? toSite(
          row,
          { revision: row.from_revision, digest: row.from_digest },
          { revision: row.to_revision, digest: row.to_digest },
        )
      : toSite(
          row,
          { version: row.from_version ?? "", package: row.from_package },
          { version: row.to_version, package: row.to_package },
        ),
  );
}

function toSite(row: SiteRow, from: Target, to: Target): SiteRecord {
  return {
    site: row.site,
    wave: row.wave,
    from,
    to,
    state: row.state as SiteRecord["state"],
    reason: row.reason,
    inStateMs: row.in_state_ms,
    awayMs: row.away_ms,
    unwellMs: row.unwell_ms,
    memory: row.baseline === null ? null : (JSON.parse(row.baseline) as SiteMemory),
  };
}

/** Keeps what a look found: only the rows that are others than before, but all of their columns. */
export async function writeOutcome(
  tx: StorageTransaction,
  number: number,
  before: { readonly rollout: RolloutRecord; readonly sites: readonly SiteRecord[] },
  { rollout, sites, events }: Pick<StepOutcome, "rollout" | "sites" | "events">,
  now: number,
): Promise<void> {
  if (rollout !== before.rollout) {
    const isOver = ["done", "aborted", "rolled-back"].includes(rollout.state);
    await tx
      .updateTable("rollouts")
      .set({
        state: rollout.state,
        wave: rollout.wave,
        held_ms: Math.round(rollout.heldMs),
        reason: rollout.reason,
        ending: rollout.ending,
        ...(rollout.plan === before.rollout.plan ? {} : { plan: JSON.stringify(rollout.plan) }),
        updated_at: now,
        ...(isOver ? { ended_at: now } : {}),
      })
      .where("number", "=", number)
      .execute();
  }
  const known = new Map(before.sites.map((site) => [site.site, site]));
  for (const site of sites) {
    const old = known.get(site.site);
    if (old === site) continue;
    const row = toRow(site);
    if (old) {
      const moved = old.state === site.state && old.reason === site.reason ? {} : { updated_at: now };
      await tx
        .updateTable("rollout_sites")
        .set({ ...row, ...moved })
        .where("rollout", "=", number)
        .where("site", "=", site.site)
        .execute();
    } else
      await tx
        .insertInto("rollout_sites")
        .values({ rollout: number, site: site.site, ...row, updated_at: now })
        .execute();
  }
  await writeEvents(tx, number, events, now);
}

function toRow(site: SiteRecord) {
  return {
    wave: site.wave,
    ...targetsOf(site),
    state: site.state,
    reason: site.reason,
    in_state_ms: Math.round(site.inStateMs),
    away_ms: Math.round(site.awayMs),
    unwell_ms: Math.round(site.unwellMs),
    baseline: site.memory === null ? null : JSON.stringify(site.memory),
  };
}

function targetsOf({ from, to }: SiteRecord) {
  if (!isVersion(from) && !isVersion(to)) return { from_revision: from.revision, to_revision: to.revision };
  if (!isVersion(from) || !isVersion(to)) throw new PlantgateError("INVARIANT", "a site goes from a revision to a version");
  return {
    ...{ from_revision: 0, to_revision: 0, from_version: from.version, from_package: from.package },
    ...{ to_version: to.version, to_package: to.package },
  };
}

/** Their numbers rise without a gap: the rollout's row is locked. */
export async function writeEvents(
  tx: StorageTransaction,
  rollout: number,
  events: StepOutcome["events"],
  at: number,
): Promise<void> {
  if (events.length === 0) return;
  const row = await tx
    .selectFrom("rollout_events")
    .select((eb) => eb.fn.max("number").as("last"))
    .where("rollout", "=", rollout)
    .executeTakeFirst();
  const last = row?.last ?? 0;
  for (const [index, { site, kind, text }] of events.entries())
    await tx
      .insertInto("rollout_events")
      .values({ rollout, number: last + index + 1, at, site, kind, text })
      .execute();
}
