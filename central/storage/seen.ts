import { closeSync, openSync, readFileSync, writeSync } from "node:fs";
import { join } from "node:path";
import type { Clock } from "../../protocol/index.ts";
import type { Logger } from "../telemetry/logger.ts";
import { renameOver } from "./files.ts";
import type { LedgerGate } from "./gate.ts";
import type { Storage, StorageTransaction } from "./storage.ts";

/** How far a ledger was when it was last looked at. One that is called the same and holds less was put back. */
export interface Seen {
  readonly incarnation: string;
  readonly positions: number;
}

export interface SeenDeps {
  readonly storage: Storage;
  readonly gate: LedgerGate;
  readonly dataDir: string;
  readonly clock: Clock;
  readonly log: Logger;
}

const lookEveryMs = 2000;

/** What the ledger says of itself; undefined for an empty one. */
export async function lookAt(db: Storage | StorageTransaction): Promise<Seen | undefined> {
  return db
    .selectFrom("counters")
    .innerJoin("meta", (join) => join.on("meta.name", "=", "incarnation"))
    .select(["meta.value as incarnation", "counters.value as positions"])
    .where("counters.name", "=", "ledger")
    .executeTakeFirst();
}

/** What a data folder noted last; undefined where there is nothing that can be read, which is no harm: it only sees less. */
export function readSeen(dataDir: string): Seen | undefined {
  try {
    const { incarnation, positions } = JSON.parse(readFileSync(join(dataDir, file), "utf8")) as Partial<Seen>;
    if (typeof incarnation !== "string" || typeof positions !== "number") return undefined;
    return { incarnation, positions };
  } catch {
    return undefined;
  }
}

/**
 * Notes in the data folder how far the ledger is, and shuts the gate once it was put back under our feet, or another replica found that
 * out: a restore into the same database is seen from nothing else.
 */
export async function watchLedger(deps: SeenDeps, first: Seen, signal: AbortSignal): Promise<void> {
  const { clock, log, gate } = deps;
  let [seen, failed] = [first, false];
  // at once, as another incarnation may have been noted here; and once more when it ends
  for (let last = false; !last && !gate.isShut; ) {
    try {
      seen = await look(deps, seen);
      failed = false;
    } catch (err) {
      if (gate.isShut) return;
      const said = { event: "ledger.look.failed", err };
      if (!failed) log.warn(said, "nobody can tell whether the ledger is still the same; it is looked at again");
      failed = true;
    }
    last = signal.aborted;
    await clock.sleep(lookEveryMs, signal);
  }
}

async function look({ storage, gate, dataDir }: SeenDeps, before: Seen): Promise<Seen> {
  const now = await lookAt(storage);
  if (now?.incarnation !== before.incarnation)
    throw gate.shut(`the ledger is ${now?.incarnation ?? "empty"} now, ${before.incarnation} before: it was restored`);
  if (now.positions < before.positions)
    throw gate.shut(`the ledger ends at ${now.positions} now, at ${before.positions} before: it was restored`);
  const noted = readSeen(dataDir);
  if (noted?.incarnation !== now.incarnation || noted.positions < now.positions) writeSeen(dataDir, now);
  return now;
}

const file = "ledger.seen";

/** Not flushed: what a power cut takes back only makes a restore harder to see. */
function writeSeen(dataDir: string, seen: Seen): void {
  const staged = join(dataDir, `${file}.new`);
  const handle = openSync(staged, "w", 0o600);
  writeSync(handle, JSON.stringify(seen));
  closeSync(handle);
  renameOver(staged, join(dataDir, file));
}
