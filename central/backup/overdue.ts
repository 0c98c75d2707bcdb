import { z } from "zod";
import { type Clock, parseJson } from "../../protocol/index.ts";
import type { Alarms } from "../alert/alarms.ts";
import { readMeta, writeMeta } from "../storage/incarnation.ts";
import type { Storage } from "../storage/storage.ts";
import type { Logger } from "../telemetry/logger.ts";
import { type BackupNote, readLedgersNote } from "./note.ts";

export interface BackupWatchDeps {
  readonly storage: Storage;
  readonly dataDir: string;
  /** For so many days central may run without a new backup; 0: for ever. */
  readonly overdueDays: number;
  readonly alarms: Alarms;
  readonly clock: Clock;
  readonly log: Logger;
}

const lookEveryMs = 60_000;
const dayMs = 86_400_000;

/** How long central has run since it saw a new backup: what it recorded meanwhile is in none. */
interface Unprotected {
  /** Its id; null: there was never one. */
  readonly backup: string | null;
  readonly heldMs: number;
}

/**
 * Raises an alarm while central runs for too long without a backup that was read back whole, and ends it with the next one. It counts running time,
 * kept in the ledger beside the backup's name: a clock that is set neither raises it nor keeps it away (ADR 0130). Replicas count side by side:
 * the one that counted longest is right.
 */
export async function watchBackups(deps: BackupWatchDeps, signal: AbortSignal): Promise<void> {
  const { clock, log } = deps;
  let own: Unprotected | undefined;
  let lookedAt = clock.monotonic();
  for (;;) {
    await clock.sleep(lookEveryMs, signal);
    if (signal.aborted) return;
    try {
      const now = clock.monotonic();
      own = await look(deps, own, now - lookedAt);
      lookedAt = now;
    } catch (err) {
      log.warn({ event: "backup.watch.failed", err }, "it could not be noted for how long there was no backup");
    }
  }
}

/** Why a person should take one; null: it is not overdue. */
export async function overdueNow({
  storage,
  dataDir,
  overdueDays,
}: Pick<BackupWatchDeps, "storage" | "dataDir" | "overdueDays">) {
  const held = await readUnprotected(storage);
  return held ? reasonOf(held, await readLedgersNote(storage, dataDir), overdueDays) : null;
}

async function look(
  { storage, dataDir, overdueDays, alarms }: BackupWatchDeps,
  own: Unprotected | undefined,
  passedMs: number,
): Promise<Unprotected> {
  const note = await readLedgersNote(storage, dataDir);
  const known = await readUnprotected(storage);
  const held = goOn(known, note?.id, own, passedMs);
  await writeMeta(storage, metaName, JSON.stringify(held));
  const alarm = { site: "", kind: "backup-overdue" } as const;
  const reason = reasonOf(held, note, overdueDays);
  if (reason === null) await alarms.end(storage, alarm);
  else alarms.log(await alarms.raiseOnce(storage, { ...alarm, count: 1, reason }));
  return held;
}

/** A note that is gone is no new backup. */
function goOn(
  known: Unprotected | undefined,
  newest: string | undefined,
  own: Unprotected | undefined,
  passedMs: number,
): Unprotected {
  if (newest !== undefined && newest !== known?.backup) return { backup: newest, heldMs: 0 };
  const { backup, heldMs } = known ?? { backup: null, heldMs: 0 };
  const before = own?.backup === backup ? own.heldMs : heldMs;
  return { backup, heldMs: Math.max(heldMs, before + passedMs) };
}

function reasonOf({ backup, heldMs }: Unprotected, note: BackupNote | undefined, overdueDays: number): string | null {
  const days = Math.floor(heldMs / dayMs);
  if (overdueDays === 0 || days < overdueDays) return null;
  const ran = `central has run for more than ${days} ${days === 1 ? "day" : "days"}`;
  if (note) return `the last backup that was read back whole was taken at ${note.takenAt}, and ${ran} since`;
  return backup === null
    ? `no backup was ever taken, and ${ran}`
    : `${ran} since the last backup, of which nothing is noted any more`;
}

const metaName = "backup-watch";
const unprotected = z.object({ backup: z.string().nullable(), heldMs: z.number().min(0) });

async function readUnprotected(storage: Storage): Promise<Unprotected | undefined> {
  const text = await readMeta(storage, metaName);
  try {
    return text === undefined ? undefined : unprotected.safeParse(parseJson(text)).data;
  } catch {
    return undefined;
  }
}
