import { sql } from "kysely";
import type { Clock, Lane } from "../../protocol/index.ts";
import { type Alarm, type Alarms, holeAlarmOf } from "../alert/alarms.ts";
import { sessionState } from "../site/sessions.ts";
import { lockingFree } from "../storage/dialect.ts";
import type { StorageTransaction } from "../storage/storage.ts";
import { type BatchHead, formatEntries } from "./batch.ts";
import { type EpochState, type Fresh, judgeOverlap } from "./overlap.ts";
import { recordedChains } from "./recorded-chains.ts";

/** One batch to be recorded, judged by itself already. */
export interface Incoming {
  readonly head: BatchHead;
  readonly body: Uint8Array;
  readonly inflatedBytes: number;
}
export type AppendOutcome =
  | { readonly kind: "recorded"; readonly watermark: number; readonly fresh: number }
  | { readonly kind: "gap" | "fork"; readonly watermark: number }
  /** `locked`: another replica, or a hello, holds this lane. */
  | { readonly kind: "fenced" | "session-unknown" | "backlogged" | "locked" };

export interface AppendDeps {
  readonly clock: Clock;
  readonly alarms: Alarms;
  /** Messages of a site that may wait for projection before its samples and bulk are refused. */
  readonly maxBacklog: number;
}

interface LaneState {
  batches: number;
  recorded: number;
  epochs: Map<string, RecordedEpoch | undefined>;
}
export interface RecordedEpoch extends EpochState {
  readonly firstChain: string;
  readonly lost: number;
}

/**
 * Records what is new of some batches, each judged as if it had come alone, in the order given. Runs in one transaction, which the caller
 * flushes. The lanes' rows are locked, in one order, so that replicas and hellos take turns; sessions are asked for behind that lock: after
 * a newer session's hello was answered no batch of an older one is recorded. A lane that somebody else holds is not waited for: a replica
 * that froze with one would hold up all others.
 */
export async function appendGroup(
  tx: StorageTransaction,
  group: readonly Incoming[],
  deps: AppendDeps,
): Promise<{ readonly outcomes: readonly AppendOutcome[]; readonly alarms: readonly Alarm[] }> {
  const states = new Map<string, LaneState | "locked" | undefined>();
  for (const key of [...new Set(group.map(({ head }) => laneKey(head)))].sort()) {
    const { head } = group.find((each) => laneKey(each.head) === key) as Incoming;
    states.set(key, await lockLane(tx, head));
  }
  const outcomes: AppendOutcome[] = [];
  const alarms: Alarm[] = [];
  for (const incoming of group) {
    const state = states.get(laneKey(incoming.head));
    outcomes.push(await appendOne(tx, incoming, state, deps, alarms));
  }
  return { outcomes, alarms: await deps.alarms.raise(tx, alarms) };
}

async function appendOne(
  tx: StorageTransaction,
  { head, body, inflatedBytes }: Incoming,
  state: LaneState | "locked" | undefined,
  deps: AppendDeps,
  alarms: Alarm[],
): Promise<AppendOutcome> {
  if (state === "locked") return { kind: "locked" };
  const session = await sessionState(tx, head.site, head.session);
  if (session !== "current") return { kind: session };
  // a new epoch is announced in a hello, with what it continues
  const epoch = state && (await epochOf(tx, state, head));
  if (!state || !epoch) return { kind: "session-unknown" };
  const { watermark } = epoch;
  const known = head.firstSequence <= watermark ? await recordedChains(tx, head, epoch) : undefined;
  const overlap = judgeOverlap(head, body, epoch, (sequence) => known?.get(sequence));
  if (overlap.kind === "known") return { kind: "recorded", watermark, fresh: 0 };
  if (overlap.kind !== "fresh") return { kind: overlap.kind, watermark };
  if (head.lane !== "transaction" && (await backlogOf(tx, head.site)) > deps.maxBacklog) return { kind: "backlogged" };

  const { fresh } = overlap;
  const now = deps.clock.now();
  if (fresh.count > 0) await insertBatch(tx, head, fresh, body, inflatedBytes, ++state.batches, now);
  await insertHoles(tx, head, fresh, now);
  for (const hole of fresh.holes) alarms.push(holeAlarmOf(head.site, head.lane, hole));
  const lost = epoch.lost + fresh.last - fresh.first + 1 - fresh.count;
  state.recorded += fresh.count;
  state.epochs.set(head.epoch, { ...epoch, watermark: fresh.last, chain: fresh.chain, lost });
  await tx
    .updateTable("epochs")
    .set({ watermark: fresh.last, chain: fresh.chain, lost, moved_at: now })
    .where("site", "=", head.site)
    .where("lane", "=", head.lane)
    .where("epoch", "=", head.epoch)
    .execute();
  if (fresh.count > 0) {
    await tx
      .updateTable("lanes")
      .set({ batches: state.batches, recorded: state.recorded })
      .where("site", "=", head.site)
      .where("lane", "=", head.lane)
      .execute();
  }
  return { kind: "recorded", watermark: fresh.last, fresh: fresh.count };
}

async function lockLane(tx: StorageTransaction, { site, lane }: BatchHead): Promise<LaneState | "locked" | undefined> {
  const query = tx.selectFrom("lanes").select(["batches", "recorded"]).where("site", "=", site).where("lane", "=", lane);
  const row = await lockingFree(tx, query).executeTakeFirst();
  if (row) return { ...row, epochs: new Map() };
  // left out, or not there
  return (await query.executeTakeFirst()) && "locked";
}

async function epochOf(tx: StorageTransaction, state: LaneState, head: BatchHead): Promise<RecordedEpoch | undefined> {
  if (state.epochs.has(head.epoch)) return state.epochs.get(head.epoch);
  const row = await tx
    .selectFrom("epochs")
    .select(["first_sequence", "first_chain", "watermark", "chain", "lost"])
    .where("site", "=", head.site)
    .where("lane", "=", head.lane)
    .where("epoch", "=", head.epoch)
    .executeTakeFirst();
  const found = row && {
    first: row.first_sequence,
    firstChain: row.first_chain,
    watermark: row.watermark,
    chain: row.chain,
    lost: row.lost,
  };
  state.epochs.set(head.epoch, found);
  return found;
}

/** Messages of a site that are recorded and not yet projected. */
async function backlogOf(tx: StorageTransaction, site: string): Promise<number> {
  const row = await tx
    .selectFrom("lanes")
    .innerJoin("projections", (join) =>
      join.onRef("projections.site", "=", "lanes.site").onRef("projections.lane", "=", "lanes.lane"),
    )
    .select(sql<number | null>`sum(lanes.recorded - projections.projected)`.as("waiting"))
    .where("lanes.site", "=", site)
    .executeTakeFirst();
  return row?.waiting ?? 0;
}

async function insertBatch(
  tx: StorageTransaction,
  { site, lane, epoch, ageMs }: BatchHead,
  fresh: Fresh,
  body: Uint8Array,
  inflatedBytes: number,
  number: number,
  now: number,
): Promise<void> {
  await tx
    .insertInto("batches")
    .values({
      site,
      lane,
      number,
      epoch,
      first_sequence: fresh.first,
      last_sequence: fresh.last,
      count: fresh.count,
      frames: formatEntries(fresh.entries),
      chain_before: fresh.chainBefore,
      chains: Buffer.from(fresh.chains.join(""), "hex"),
      inflated_bytes: inflatedBytes,
      received_at: now,
      age_ms: ageMs,
      body: body.subarray(fresh.bodyOffset, fresh.bodyOffset + fresh.bodyBytes),
    })
    .execute();
}

async function insertHoles(tx: StorageTransaction, { site, lane, epoch }: BatchHead, fresh: Fresh, at: number): Promise<void> {
  for (const { first, last, reason, chain } of fresh.holes) {
    await tx
      .insertInto("holes")
      .values({ site, lane, epoch, first_sequence: first, last_sequence: last, reason, chain, at })
      .execute();
  }
}

export function laneKey({ site, lane }: { readonly site: string; readonly lane: Lane }): string {
  return `${site}/${lane}`;
}
