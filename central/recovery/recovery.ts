import { sql } from "kysely";
import { type Clock, type StatusReport, toInstant } from "../../protocol/index.ts";
import {
  type LaneRecoveryState,
  type RecoveryAnswer,
  type SiteRecovery,
  type SiteRecoveryState,
  siteRecoveryStates,
} from "../http/api/recovery.ts";
import { inSnapshot, type Storage, type StorageTransaction } from "../storage/storage.ts";

/** For so long a lane may have something to send again without any of it being recorded, before a person is told. */
const stuckAfterMs = 60_000;

/** Nothing of such a site is to come. */
const over: readonly SiteRecoveryState[] = ["no-gateway", "caught-up", "caught-up-with-loss"];

type LaneRecovery = SiteRecovery["lanes"][number];

/** How far gateways have brought a restored ledger: what it lacks, by their word, what came again, what never will. */
export class Recovery {
  readonly #storage: Storage;
  readonly #clock: Clock;

  constructor(deps: { readonly storage: Storage; readonly clock: Clock }) {
    this.#storage = deps.storage;
    this.#clock = deps.clock;
  }

  async view(): Promise<RecoveryAnswer> {
    const now = this.#clock.now();
    return { at: toInstant(now), recovery: await inSnapshot(this.#storage, (tx) => look(tx, now)) };
  }
}

async function look(tx: StorageTransaction, now: number): Promise<RecoveryAnswer["recovery"]> {
  const recovery = await tx.selectFrom("recoveries").selectAll().orderBy("number", "desc").limit(1).executeTakeFirst();
  if (!recovery) return null;
  const lanes = Map.groupBy(await lanesOf(tx, now), ({ site }) => site);
  const sites = (await sitesOf(tx)).map((row): SiteRecovery => {
    const own = (lanes.get(row.name) ?? []).map(({ lane }) => lane);
    const known = Number(row.known ?? 0);
    return {
      site: row.name,
      state: row.heard_at === null ? (isExpected(row) ? "not-heard" : "no-gateway") : worstOf(own),
      heardAt: row.heard_at === null ? null : toInstant(row.heard_at),
      lastHeardAt: row.last_heard_at === null ? null : toInstant(row.last_heard_at),
      lanes: own,
      revision: row.reported_revision > known ? { reported: row.reported_revision, known } : null,
    };
  });
  const rank = (state: SiteRecoveryState): number => siteRecoveryStates.indexOf(state);
  sites.sort((a, b) => rank(a.state) - rank(b.state) || a.site.localeCompare(b.site));
  const sum = (of: (lane: LaneRecovery) => number): number =>
    sites.reduce((all, { lanes: own }) => all + own.reduce((part, lane) => part + of(lane), 0), 0);
  const count = (state: SiteRecoveryState): number => sites.filter((site) => site.state === state).length;
  return {
    incarnation: recovery.incarnation,
    before: recovery.before,
    beganAt: toInstant(recovery.began_at),
    backupAt: recovery.backup_at,
    auditEntries: recovery.audit_entries,
    lastAuditAt: recovery.audit_at,
    done: sites.every(({ state }) => over.includes(state)),
    counts: Object.fromEntries(siteRecoveryStates.map((state) => [state, count(state)])) as Record<SiteRecoveryState, number>,
    missed: sum(({ missed }) => missed),
    again: sum(({ again }) => again),
    lost: sum(({ lost }) => lost),
    sites,
  };
}

/** All that may still speak: a site whose access was revoked sends nothing again. */
function sitesOf(tx: StorageTransaction) {
  return tx
    .selectFrom("sites")
    .leftJoin("recovery_sites", "recovery_sites.site", "sites.name")
    .select(["sites.name", "sites.last_heard_at", "sites.reported_revision", "recovery_sites.heard_at"])
    .select((eb) =>
      eb
        .selectFrom("revisions")
        .select((inner) => inner.fn.max("revision").as("known"))
        .whereRef("revisions.site", "=", "sites.name")
        .as("known"),
    )
    .select((eb) => [
      eb
        .selectFrom("epochs")
        .select((inner) => inner.fn.countAll<number>().as("count"))
        .whereRef("epochs.site", "=", "sites.name")
        .as("epochs"),
      eb
        .selectFrom("gateway_keys")
        .select((inner) => inner.fn.countAll<number>().as("count"))
        .whereRef("gateway_keys.site", "=", "sites.name")
        .where("gateway_keys.state", "in", ["pending", "active", "retiring"])
        .as("keys"),
    ])
    .where("sites.revoked_at", "is", null)
    .execute();
}

/** Whether a gateway of the site may call: one has, or there is a key that lets one in. */
function isExpected({ epochs, keys }: { readonly epochs: number | null; readonly keys: number | null }): boolean {
  return Number(epochs ?? 0) > 0 || Number(keys ?? 0) > 0;
}

async function lanesOf(tx: StorageTransaction, now: number): Promise<{ readonly site: string; readonly lane: LaneRecovery }[]> {
  const rows = await tx
    .selectFrom("recovery_lanes as r")
    .innerJoin("epochs as e", (join) =>
      join.onRef("e.site", "=", "r.site").onRef("e.lane", "=", "r.lane").onRef("e.epoch", "=", "r.epoch"),
    )
    .innerJoin("sites as s", "s.name", "r.site")
    .innerJoin("recovery_sites as h", "h.site", "r.site")
    .select(["r.site", "r.lane", "r.epoch", "r.watermark as restored", "r.acknowledged", "r.not_coming", "r.named"])
    .select(["e.watermark as recorded", "e.moved_at", "e.ended_at", "e.predecessor_epoch", "h.heard_at", "s.status"])
    .select((eb) =>
      eb
        .selectFrom("epochs as n")
        .select((inner) => inner.fn.countAll<number>().as("count"))
        .whereRef("n.site", "=", "r.site")
        .whereRef("n.lane", "=", "r.lane")
        .where(({ or, and, eb: is }) =>
          or([
            is("n.predecessor_epoch", "=", is.ref("r.epoch")),
            and([is("n.started_at", ">", is.ref("e.started_at")), is("n.started_at", ">", is.ref("h.heard_at"))]),
          ]),
        )
        .as("left"),
    )
    .select((eb) =>
      eb
        .selectFrom("epochs as p")
        .select((inner) => inner.fn.countAll<number>().as("count"))
        .whereRef("p.site", "=", "r.site")
        .whereRef("p.lane", "=", "r.lane")
        .whereRef("p.epoch", "=", "e.predecessor_epoch")
        .as("before"),
    )
    .select((eb) =>
      eb
        .selectFrom("holes as o")
        .select(
          sql<number | null>`sum(
            CASE WHEN o.last_sequence > r.acknowledged THEN r.acknowledged ELSE o.last_sequence END
            - CASE WHEN o.first_sequence > r.watermark THEN o.first_sequence ELSE r.watermark + 1 END + 1)`.as("lost"),
        )
        .whereRef("o.site", "=", "r.site")
        .whereRef("o.lane", "=", "r.lane")
        .whereRef("o.epoch", "=", "r.epoch")
        .whereRef("o.last_sequence", ">", "r.watermark")
        .whereRef("o.first_sequence", "<=", "r.acknowledged")
        .where("o.reason", "=", "lost-by-receiver")
        .as("lost"),
    )
    .orderBy("r.site")
    .orderBy("r.lane")
    .execute();
  return rows.map((row) => ({ site: row.site, lane: judgeLane(row, now) }));
}

interface LaneRow {
  readonly lane: LaneRecovery["lane"];
  readonly epoch: string;
  readonly restored: number;
  readonly acknowledged: number | null;
  readonly not_coming: number;
  readonly named: number;
  readonly recorded: number;
  readonly moved_at: number;
  readonly heard_at: number;
  readonly status: string | null;
  /** When its lane went on under an epoch that names none before it, as with a new disk. */
  readonly ended_at: number | null;
  readonly predecessor_epoch: string | null;
  /** Whether the ledger knows the epoch before: 1 or 0. */
  readonly before: number | null;
  /** Epochs that followed this one. */
  readonly left: number | null;
  /** Messages in holes that were lost by the receiver. */
  readonly lost: number | null;
}

function judgeLane(row: LaneRow, now: number): LaneRecovery {
  const { lane, epoch, restored, acknowledged, recorded, not_coming } = row;
  const end = acknowledged ?? restored;
  const reached = Math.min(Math.max(recorded, restored), end);
  // an epoch that was left behind, and is not named any more, is sent no further
  // a disk that came back may have been given up before the restore
  const isLeft = row.named === 0 && ((row.ended_at !== null && row.ended_at >= row.heard_at) || Number(row.left ?? 0) > 0);
  const abandoned = isLeft ? Math.max(0, end - reached) : 0;
  const lost = Number(row.lost ?? 0) + not_coming + abandoned;
  const missed = Math.max(0, end - restored) + not_coming;
  const again = Math.max(0, reached - restored - Number(row.lost ?? 0));
  const shape = { lane, epoch, restored, acknowledged, recorded, missed, again, lost };
  const said = (state: LaneRecoveryState, reason: string): LaneRecovery => ({ ...shape, state, reason });
  const number = (value: number): string => value.toLocaleString("en-US");
  if (acknowledged === null && isLeft)
    return said(
      "caught-up-with-loss",
      `its gateway has gone on without this epoch: what it sent of it after ${number(Math.max(recorded, restored))} never comes, and how much that is is not known`,
    );
  if (acknowledged === null) return said("waiting", "its gateway has not said yet how far it was");
  if (missed === 0) return said("caught-up", "nothing of it was lost");
  if (not_coming > 0 && row.predecessor_epoch !== null && Number(row.before ?? 0) === 0 && again + lost >= missed)
    return said(
      "caught-up-with-loss",
      `${number(lost)} of ${number(missed)} never come, at most: the gateway has left their epoch (${row.predecessor_epoch.slice(0, 8)}), which began after the backup`,
    );
  if (lost > 0 && again + lost >= missed)
    return said("caught-up-with-loss", `${number(lost)} of ${number(missed)} never come: the gateway has not kept them`);
  if (again >= missed) return said("caught-up", `all ${number(missed)} came again`);
  const left = `${number(missed - again - lost)} of ${number(missed)} are to come`;
  const stalled = stalledReason(row);
  if (stalled !== undefined) return said("stuck", `${left}; its gateway says: ${stalled}`);
  const still = now - Math.max(row.moved_at, row.heard_at);
  if (still > stuckAfterMs) return said("stuck", `${left}; none was recorded for ${Math.floor(still / 1000)} s`);
  return said("catching-up", left);
}

function stalledReason({ status, lane }: LaneRow): string | undefined {
  if (status === null) return undefined;
  const { lanes } = JSON.parse(status) as Partial<StatusReport>;
  return lanes?.find((each) => each.lane === lane)?.stalled;
}

function worstOf(lanes: readonly LaneRecovery[]): SiteRecoveryState {
  const has = (state: LaneRecoveryState): boolean => lanes.some((lane) => lane.state === state);
  if (has("stuck")) return "stuck";
  if (has("waiting") || has("catching-up")) return "catching-up";
  return has("caught-up-with-loss") ? "caught-up-with-loss" : "caught-up";
}
