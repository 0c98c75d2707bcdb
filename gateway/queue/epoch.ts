import { createHash, randomUUID } from "node:crypto";
import { hasDisposition } from "../../protocol/index.ts";
import type { QueueLane } from "./change.ts";
import { chainGenesis, chainNext } from "./frame.ts";
import type { LaneState } from "./lane-state.ts";
import { framePosition, laneEnd, sequenceAt } from "./schema.ts";
import { places, type Sealing } from "./sealing.ts";
import type { Statements } from "./statements.ts";

/** Frames looked at together: after a long outage a lane does not fit into memory. */
const framesAtOnce = 100;

export interface RechainDeps {
  readonly statements: Statements;
  readonly sealing: Sealing;
}

/**
 * Gives what central has not acknowledged a new random epoch that names this one (rule 4). Sequences and messages stay as they are,
 * the chain begins anew. What was kept for central's recovery point belongs to the old epoch, which is closed, and goes. Inside the caller's
 * transaction.
 */
export function openEpoch(deps: RechainDeps & { readonly site: string }, lane: QueueLane, state: LaneState): void {
  const before = state.epoch;
  const first = state.acknowledged + 1;
  state.epoch = randomUUID();
  state.predecessor = { epoch: before, lastSequence: state.acknowledged };
  state.epochFirst = first;
  state.acknowledgedChain = chainGenesis(deps.site, lane, state.epoch);
  state.chain = rechain(deps, lane, { first, chain: state.acknowledgedChain, sealedIn: before, epoch: state.epoch });
}

/**
 * Links the frames from `first` on anew, behind `chain`; those that are sealed are sealed again, as their place names the epoch. One that
 * does not open keeps its bytes and a value that it cannot have: whoever reads it finds it as what it is.
 * @returns the last value
 */
export function rechain(
  { statements, sealing }: RechainDeps,
  lane: QueueLane,
  { first, chain, sealedIn, epoch }: { first: number; chain: Buffer; sealedIn: string; epoch: string },
): Buffer {
  let last = chain;
  let position = framePosition(lane, first) - 1;
  for (;;) {
    const page =
      "SELECT position, count, hole, key, events, inputs FROM frames WHERE position > ? AND position <= ? ORDER BY position LIMIT ?";
    const rows = statements.all(page, position, laneEnd(lane), framesAtOnce);
    if (rows.length === 0) return last;
    for (const row of rows) {
      position = row.position as number;
      const [at, count, key] = [sequenceAt(position), row.count as number, row.key as number | null];
      if (row.hole !== null) last = createHash("sha256").update(last).update(`hole:${at}:${count}`).digest();
      else {
        try {
          const open = (part: "events" | "inputs", bytes: Uint8Array): Uint8Array =>
            sealing.open(key, bytes, places.frame(lane, sealedIn, at, count, part));
          const events = open("events", row.events as Uint8Array);
          const inputs = row.inputs === null ? undefined : open("inputs", row.inputs as Uint8Array);
          last = chainNext(last, events);
          if (key !== null && sealedIn !== epoch) {
            const sealed = sealing.seal(events, places.frame(lane, epoch, at, count, "events"));
            const sealedInputs = inputs && sealing.seal(inputs, places.frame(lane, epoch, at, count, "inputs"));
            const update = "UPDATE frames SET key = ?, events = ?, inputs = ? WHERE position = ?";
            statements.run(update, sealed.key, sealed.bytes, sealedInputs?.bytes ?? null, position);
          }
        } catch (error) {
          if (!hasDisposition(error, "quarantine")) throw error;
          last = createHash("sha256").update(last).update(`unreadable:${at}:${count}`).digest();
        }
      }
      statements.run("UPDATE frames SET chain = ? WHERE position = ?", last, position);
    }
  }
}
