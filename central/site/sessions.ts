import { randomUUID } from "node:crypto";
import { sql } from "kysely";
import { type Clock, chainGenesis, type Epoch, type Hello, type HelloAnswer, type Lane } from "../../protocol/index.ts";
import type { Alarm, Alarms } from "../alert/alarms.ts";
import { wholeStep } from "../ledger/plan.ts";
import { noteHello } from "../recovery/notes.ts";
import { isPostgres, locking } from "../storage/dialect.ts";
import type { SharedCommits } from "../storage/shared-commits.ts";
import type { Storage, StorageTransaction } from "../storage/storage.ts";
import { describeLoss, type EndedEpoch, endEpoch, lostRange } from "./ended-epochs.ts";
import { beginsAfter, keptEmptyEpochs, pruneEpochs, pruneSessions } from "./retention.ts";

export type SessionState = "current" | "fenced" | "session-unknown";
export type HelloOutcome =
  | { readonly kind: "begun"; readonly session: string; readonly watermarks: HelloAnswer["watermarks"] }
  | { readonly kind: "conflict"; readonly detail: string };

/** Who calls, as far as it tells whether it still lives. */
export interface Caller {
  /** The site's newest session when the call came. */
  readonly newestThen: string | null;
  /** Whether nobody waits for the answer any more. */
  readonly isGone: () => boolean;
}

export interface SessionDeps {
  readonly storage: Storage;
  readonly commits: SharedCommits;
  readonly clock: Clock;
  readonly alarms: Alarms;
}

/** How long a hello waits for a lane: several transactions of other replicas. */
const lockWaitMs = 1000;

/** How long it may take until it is seen that a caller is gone. */
const hangUpMs = 50;

/** Sessions of the sites' gateways: the newest wins, older ones are fenced (rule 5). */
export class Sessions {
  readonly #deps: SessionDeps;

  constructor(deps: SessionDeps) {
    this.#deps = deps;
  }

  /**
   * Begins a session and takes up the lanes' epochs; on return the session is durable and all older ones are fenced: the lanes' rows are
   * locked before watermarks are read, so that no batch of an older session comes behind them. They are locked before the site's row, so
   * that whoever waits for a lane holds up nobody who sends to the site; and once more behind it, as another hello may have made them.
   */
  async begin(site: string, hello: Hello): Promise<HelloOutcome> {
    const { commits, clock, alarms } = this.#deps;
    const begun = await commits
      .run(async (tx): Promise<{ outcome: HelloOutcome; alarms: readonly Alarm[] }> => {
        const session = randomUUID();
        if (isPostgres(tx)) await sql.raw(`SET LOCAL lock_timeout = ${lockWaitMs}`).execute(tx);
        await lockLanes(tx, site);
        await tx.updateTable("sites").set({ session }).where("name", "=", site).execute();
        await lockLanes(tx, site);
        const now = clock.now();
        const watermarks: HelloAnswer["watermarks"] = [];
        const begun = new Set<string>();
        const raised: Alarm[] = [];
        for (const epoch of hello.epochs) {
          const taken = await takeUp(tx, site, epoch, now, raised);
          if (taken === undefined) throw new EpochConflict(epoch);
          watermarks.push({ lane: epoch.lane, epoch: epoch.epoch, watermark: taken.watermark });
          if (taken.isNew) begun.add(epoch.epoch);
        }
        await noteSession(tx, site, session, hello, now);
        for (const left of await noteHello(tx, site, hello, { watermarks, begun }, now))
          await endEpoch(tx, site, left.lane, left, now);
        return { outcome: { kind: "begun", session, watermarks }, alarms: await alarms.raise(tx, raised) };
      })
      .catch((error: unknown) => {
        if (error instanceof EpochConflict) return { outcome: { kind: "conflict" as const, detail: error.message }, alarms: [] };
        throw error;
      });
    alarms.log(begun.alarms);
    return begun.outcome;
  }

  /**
   * Judges the session of a call. An older one of another boot leaves a mark on the site: two gateways may be running as one. Not so what
   * a gateway had under way when it died: it came while its session was the newest, or nobody waits for its answer any more.
   */
  async judge(site: string, session: string, caller: Caller): Promise<SessionState> {
    const { storage, clock, alarms } = this.#deps;
    const state = await sessionState(storage, site, session);
    if (state !== "fenced" || caller.newestThen === session) return state;
    // the end of a connection is read behind what it brought
    await clock.sleep(hangUpMs);
    if (caller.isGone()) return state;
    await storage.updateTable("sites").set({ fenced_at: clock.now() }).where("name", "=", site).execute();
    const reason = `a gateway with an older session of ${site} called and was turned away: is a clone of it running?`;
    alarms.log(await alarms.raise(storage, [{ site, kind: "clone", target: session, count: 1, reason }]));
    return state;
  }

  /** What was the site's gateway once has called, and is turned away: left on the hardware that it moved from, or replaced by another enrollment. */
  async leftBehind(site: string, by: "moved" | "replaced"): Promise<void> {
    const { storage, alarms } = this.#deps;
    const who = {
      moved: `a copy of ${site}'s gateway from before it moved to other hardware, or a second one that took in the same file,`,
      replaced: `the gateway that ${site} had before another one was enrolled`,
    }[by];
    const reason = `${who} called and was turned away: switch it off`;
    alarms.log(await alarms.raise(storage, [{ site, kind: "clone", target: by, count: 1, reason }]));
  }
}

async function noteSession(tx: StorageTransaction, site: string, id: string, hello: Hello, now: number): Promise<void> {
  const { bootId: boot_id, gatewayVersion: gateway_version } = hello;
  const { newest } = await tx
    .selectFrom("sessions")
    .select((eb) => eb.fn.max<number | null>("started_at").as("newest"))
    .where("site", "=", site)
    .executeTakeFirstOrThrow();
  const started_at = beginsAfter(newest, now);
  await tx.insertInto("sessions").values({ id, site, boot_id, gateway_version, started_at }).execute();
  await pruneSessions(tx, site, boot_id);
}

/** @throws what counts as an outage where one of them does not become free soon: a hello that waits has a connection to itself */
async function lockLanes(tx: StorageTransaction, site: string): Promise<void> {
  if (!isPostgres(tx)) return;
  await locking(tx, tx.selectFrom("lanes").select("lane").where("site", "=", site).orderBy("lane")).execute();
}

/** Ends a hello without a trace of it. */
class EpochConflict extends Error {
  constructor({ epoch, lane }: Epoch) {
    super(`epoch ${epoch} of lane ${lane} is known with another first sequence`);
  }
}

/** Whether `session` is the site's newest one, or an older one of another process; also asked inside the transaction that records a batch. */
export async function sessionState(db: Storage | StorageTransaction, site: string, session: string): Promise<SessionState> {
  const row = await db.selectFrom("sites").select("session").where("name", "=", site).executeTakeFirst();
  if (row?.session === session) return "current";
  // nobody has said hello since the ledger was restored, or the site was added again
  if (!row || row.session === null) return "session-unknown";
  const boots = await db
    .selectFrom("sessions")
    .select(["id", "boot_id"])
    .where("id", "in", [session, row.session])
    .where("site", "=", site)
    .execute();
  const older = boots.find(({ id }) => id === session);
  // the same process said hello again meanwhile: this request of its own came late
  const sameProcess = older?.boot_id === boots.find(({ id }) => id === row.session)?.boot_id;
  return older && !sameProcess ? "fenced" : "session-unknown";
}

/** @returns the epoch's watermark, and whether it was not known before; undefined where it is known with another first sequence */
async function takeUp(
  tx: StorageTransaction,
  site: string,
  { lane, epoch, firstSequence, chain, predecessor }: Epoch,
  now: number,
  alarms: Alarm[],
): Promise<{ readonly watermark: number; readonly isNew: boolean } | undefined> {
  const known = await tx
    .selectFrom("epochs")
    .select(["first_sequence", "watermark"])
    .where("site", "=", site)
    .where("lane", "=", lane)
    .where("epoch", "=", epoch)
    .executeTakeFirst();
  if (known) return known.first_sequence === firstSequence ? { watermark: known.watermark, isNew: false } : undefined;
  await tx
    .insertInto("lanes")
    .values({ site, lane, batches: 0, recorded: 0 })
    .onConflict((conflict) => conflict.doNothing())
    .execute();
  await tx
    .insertInto("projections")
    .values({ site, lane, batch: 1, done: 0, size: wholeStep(lane), attempts: 0, noted_by: "", noted_at: 0, projected: 0 })
    .onConflict((conflict) => conflict.doNothing())
    .execute();
  // an epoch that continues another one goes on with its chain
  const firstChain = chain ?? chainGenesis(site, lane, epoch).toString("hex");
  const before = await epochsBefore(tx, site, lane);
  const [latest] = before;
  const ended = latest && !predecessor ? await endEpoch(tx, site, lane, latest, now) : undefined;
  const changed = epochChange(site, { lane, epoch, firstSequence, predecessor }, before, ended);
  if (changed) alarms.push(changed);
  await tx
    .insertInto("epochs")
    .values({
      site,
      lane,
      epoch,
      first_sequence: firstSequence,
      first_chain: firstChain,
      predecessor_epoch: predecessor?.epoch ?? null,
      predecessor_last: predecessor?.lastSequence ?? null,
      watermark: firstSequence - 1,
      chain: firstChain,
      lost: 0,
      started_at: beginsAfter(before[0]?.started_at, now),
      moved_at: now,
      ended_at: null,
      said_last: null,
      said_at: null,
    })
    .execute();
  if (before.length >= keptEmptyEpochs) await pruneEpochs(tx, site, lane);
  return { watermark: firstSequence - 1, isNew: true };
}

type EpochBefore = Awaited<ReturnType<typeof epochsBefore>>[number];

/** Newest first. */
function epochsBefore(tx: StorageTransaction, site: string, lane: Lane) {
  return tx
    .selectFrom("epochs")
    .select(["epoch", "watermark", "started_at"])
    .where("site", "=", site)
    .where("lane", "=", lane)
    .orderBy("started_at", "desc")
    .orderBy("epoch")
    .execute();
}

/** The alarm that a lane goes on under another epoch; undefined for its first one. Says what of the one before is not recorded. */
function epochChange(
  site: string,
  next: Epoch,
  before: readonly EpochBefore[],
  ended: EndedEpoch | undefined,
): Alarm | undefined {
  const { predecessor, lane, epoch } = next;
  const [latest] = before;
  if (!latest && !predecessor) return undefined;
  const begins = `lane ${lane} goes on as epoch ${epoch} at ${next.firstSequence.toLocaleString("en-US")}`;
  const alarm = (reason: string): Alarm => ({ site, kind: "epoch-changed", lane, target: epoch, count: 1, reason });
  if (!predecessor) {
    const known = `epoch ${latest?.epoch}, recorded up to ${latest?.watermark.toLocaleString("en-US")}`;
    const lost = ended ? { ...lostRange(ended), loss: describeLoss(ended) } : { loss: "what came after that is not known" };
    const { loss, ...range } = lost;
    return { ...alarm(`${begins} and names none before it; central knew ${known}: ${loss}`), ...range };
  }
  const named = before.find((each) => each.epoch === predecessor.epoch);
  const after = `${begins}, after epoch ${predecessor.epoch}`;
  if (!named) return alarm(`${after}, which central does not know: nothing of it is recorded`);
  const missing = predecessor.lastSequence > named.watermark;
  const range = `${(named.watermark + 1).toLocaleString("en-US")} to ${predecessor.lastSequence.toLocaleString("en-US")}`;
  return alarm(missing ? `${after}, of which ${range} are not recorded so far` : `${after}, which is recorded to its end`);
}
