import type { Clock, Lane } from "../../protocol/index.ts";
import { sessionState } from "../site/sessions.ts";
import type { Storage, StorageTransaction } from "../storage/storage.ts";
import { type BatchHead, chainGenesis, contentProblem, cutFrames, type Frame, headProblem, tooMuch } from "./batch.ts";

export type IngestOutcome =
  | { readonly kind: "recorded"; readonly watermark: number; readonly fresh: number }
  | { readonly kind: "gap" | "fork"; readonly watermark: number }
  | { readonly kind: "fenced" | "session-unknown" }
  | { readonly kind: "invalid" | "too-large"; readonly detail: string };

/** Lanes in the order in which their backlog is projected: live business facts first (P7). */
export const lanePriority: Readonly<Record<Lane, number>> = { transaction: 0, bulk: 1, telemetry: 2 };
/** Messages that the projector takes in one transaction at most. */
export const sliceSize = 500;

/** Takes in batches: each is one row, as it came, and its answer leaves only after that row is flushed. */
export class Ingest {
  readonly #deps: { readonly storage: Storage; readonly clock: Clock };

  constructor(deps: { readonly storage: Storage; readonly clock: Clock }) {
    this.#deps = deps;
  }

  /**
   * Records what is new of a batch. `recorded`: everything up to the watermark is flushed (COMMIT with synchronous=FULL has returned).
   * Overlapping frames are dropped where their chain is the recorded one, otherwise it is a `fork` (rule 4).
   */
  async record(head: BatchHead, body: Uint8Array): Promise<IngestOutcome> {
    const detail = headProblem(head, body.byteLength) ?? contentProblem(head, body);
    // fewer frames a batch: one always fits
    if (detail !== undefined) return { kind: detail === tooMuch && head.frames.length > 1 ? "too-large" : "invalid", detail };
    return this.#deps.storage.transaction().execute((tx) => this.#record(tx, head, body));
  }

  async #record(tx: StorageTransaction, head: BatchHead, body: Uint8Array): Promise<IngestOutcome> {
    const session = await sessionState(tx, head.site, head.session);
    if (session !== "current") return { kind: session };
    const epoch = await tx
      .selectFrom("epochs")
      .select(["first_sequence", "watermark", "chain"])
      .where("site", "=", head.site)
      .where("lane", "=", head.lane)
      .where("epoch", "=", head.epoch)
      .executeTakeFirst();
    // a new epoch is announced in a hello, with what it continues
    if (!epoch) return { kind: "session-unknown" };
    const { watermark } = epoch;
    if (head.firstSequence > watermark + 1) return { kind: "gap", watermark };
    if (head.firstSequence < epoch.first_sequence) return { kind: "fork", watermark };

    const recorded = await recordedChains(tx, head, epoch);
    const previous = recorded.get(head.firstSequence - 1);
    if (previous === undefined) return { kind: "fork", watermark };
    const frames = cutFrames(head, body, Buffer.from(previous, "hex"));
    const agrees = frames.every((frame) => frame.first > watermark || recorded.get(frame.last) === frame.chain);
    if (!agrees || frames.at(-1)?.chain !== head.chain) return { kind: "fork", watermark };

    const fresh = frames.filter((frame) => frame.first > watermark);
    const last = fresh.at(-1);
    if (!last) return { kind: "recorded", watermark, fresh: 0 };
    await this.#append(tx, head, fresh, last);
    return { kind: "recorded", watermark: last.last, fresh: last.last - watermark };
  }

  async #append(tx: StorageTransaction, head: BatchHead, fresh: readonly Frame[], last: Frame): Promise<void> {
    const now = this.#deps.clock.now();
    const { site, lane, epoch } = head;
    const first = fresh[0]?.first ?? last.first;
    const { value: position } = await tx
      .updateTable("counters")
      .set((eb) => ({ value: eb("value", "+", 1) }))
      .where("name", "=", "batch")
      .returning("value")
      .executeTakeFirstOrThrow();
    await tx
      .insertInto("batches")
      .values({
        position,
        site,
        lane,
        epoch,
        first_sequence: first,
        last_sequence: last.last,
        frames: JSON.stringify(fresh.map((frame) => [frame.last - frame.first + 1, frame.bytes.byteLength, frame.chain])),
        body: Buffer.concat(fresh.map((frame) => frame.bytes)),
        received_at: now,
      })
      .execute();
    await tx
      .insertInto("work")
      .values({
        batch: position,
        priority: lanePriority[lane],
        count: last.last - first + 1,
        done: 0,
        size: sliceSize,
        attempts: 0,
      })
      .execute();
    await tx
      .updateTable("epochs")
      .set({ watermark: last.last, chain: last.chain, moved_at: now })
      .where("site", "=", site)
      .where("lane", "=", lane)
      .where("epoch", "=", epoch)
      .execute();
  }
}

/** The chain's value after each recorded frame that a batch touches, by the frame's last sequence. */
async function recordedChains(
  tx: StorageTransaction,
  head: BatchHead,
  epoch: { readonly first_sequence: number; readonly watermark: number; readonly chain: string },
): Promise<Map<number, string>> {
  const chains = new Map<number, string>();
  if (epoch.watermark < epoch.first_sequence || head.firstSequence > epoch.watermark) {
    chains.set(epoch.watermark, epoch.chain);
    return chains;
  }
  chains.set(epoch.first_sequence - 1, chainGenesis(head.site, head.lane, head.epoch).toString("hex"));
  const batches = await tx
    .selectFrom("batches")
    .select(["first_sequence", "frames"])
    .where("site", "=", head.site)
    .where("lane", "=", head.lane)
    .where("epoch", "=", head.epoch)
    .where("last_sequence", ">=", head.firstSequence - 1)
    .where("first_sequence", "<", head.firstSequence + head.count)
    .orderBy("last_sequence")
    .execute();
  for (const batch of batches) {
    let sequence = batch.first_sequence;
    for (const [count, , chain] of storedFrames(batch.frames)) {
      sequence += count;
      chains.set(sequence - 1, chain);
    }
  }
  return chains;
}

/** `[count, bytes, chain]` of each frame of a recorded batch. */
export function storedFrames(frames: string): readonly (readonly [count: number, bytes: number, chain: string])[] {
  return JSON.parse(frames) as [number, number, string][];
}
