import { sql } from "kysely";
import { batchLimits, type Lane, PlantgateError } from "../../protocol/index.ts";
import { isOutage, isStorageDamage, type Storage, type StorageTransaction } from "../storage/storage.ts";
import { ByteLru } from "./byte-lru.ts";
import { inflate, release } from "./inflate.ts";

/** Where some whole frames of a recorded batch lie. */
export interface FramePlace {
  readonly site: string;
  readonly lane: Lane;
  readonly batch: number;
  readonly bodyOffset: number;
  readonly bodyBytes: number;
  /** When the batch was recorded. A ledger that lost its end gives a number out again, for something else. */
  readonly receivedAt: number;
}

/** Inflated texts and compressed bodies that were used last; both the projector and those who read behind it come here. */
const maxTextBytes = 48 * 1024 * 1024;
const maxBodyBytes = 16 * 1024 * 1024;

/** Text of recorded frames, each line with its newline. */
export class Frames {
  readonly #texts = new ByteLru(maxTextBytes, release);
  readonly #bodies = new ByteLru(maxBodyBytes);

  /**
   * Calls back with the text of some frames, which is there during the call alone.
   * @throws PlantgateError FRAME_CORRUPT when the batch is not there, or what lies there cannot be inflated
   */
  async use<Value>(db: Storage | StorageTransaction, place: FramePlace, use: (text: Buffer) => Value): Promise<Value> {
    const batch = nameOf(place);
    const key = `${batch}/${place.bodyOffset}+${place.bodyBytes}`;
    const known = this.#texts.get(key);
    if (known) return use(known);
    const text = await this.#inflated(db, place, batch);
    const value = use(text);
    this.#texts.set(key, text);
    return value;
  }

  /** Forgets a batch that could not be read: what is on the disk may change. */
  forget(place: Pick<FramePlace, "site" | "lane" | "batch">): void {
    this.#bodies.deleteAll(beginningOf(place));
  }

  async #inflated(db: Storage | StorageTransaction, place: FramePlace, batch: string): Promise<Buffer> {
    try {
      return inflate(await this.#compressed(db, place, batch), batchLimits.inflatedBytes);
    } catch (cause) {
      // what the storage cannot read of one batch is damage of that batch, and no reason for all others to wait
      if (isOutage(cause) && !isStorageDamage(cause)) throw cause;
      throw new PlantgateError("FRAME_CORRUPT", "frames of a recorded batch cannot be read", { context: { ...place }, cause });
    }
  }

  /** A body is read whole where most of it is wanted soon: the stretches of a batch follow each other. */
  async #compressed(db: Storage | StorageTransaction, place: FramePlace, key: string): Promise<Uint8Array> {
    const { site, lane, batch, bodyOffset: offset, bodyBytes: bytes } = place;
    let body = this.#bodies.get(key);
    if (!body) {
      const row = await db
        .selectFrom("batches")
        .select([sql<Uint8Array>`body`.as("body"), "received_at"])
        .where("site", "=", site)
        .where("lane", "=", lane)
        .where("number", "=", batch)
        .executeTakeFirstOrThrow();
      // a damaged index leads to another batch's row
      if (row.received_at !== place.receivedAt) throw new Error("another batch lies in its place");
      body = Buffer.from(row.body.buffer, row.body.byteOffset, row.body.byteLength);
      if (bytes < body.byteLength) this.#bodies.set(key, body);
    }
    return body.subarray(offset, offset + bytes);
  }
}

function nameOf(place: FramePlace): string {
  return `${beginningOf(place)}${place.receivedAt}`;
}

/** Of the names of all batches that had a number. */
function beginningOf({ site, lane, batch }: Pick<FramePlace, "site" | "lane" | "batch">): string {
  return `${site}/${lane}/${batch}@`;
}
