import { randomUUID } from "node:crypto";
import { isPostgres } from "../storage/dialect.ts";
import { isOutage, type Storage, type StorageTransaction } from "../storage/storage.ts";
import { batchesFrom, type Cursor, type CursorState, claimCursor, readCursor, type Which, writeCursor } from "./cursor.ts";
import { planStep } from "./plan.ts";

/** Attempts at a step before it is halved; a single message that fails as often is quarantined. */
export const maxAttempts = 3;
/** For so long after another replica has noted an attempt it is taken to be at it; then, to have ended in it. */
const othersTurnMs = 5000;

/**
 * Notes attempts at steps, durably, before they are made, so that a message which takes the whole process down is found as well (rule 16).
 * A step's own transaction notes the first attempt at the next one. A lane stays with the replica that noted last: two that note in turn
 * would take each other's attempts for failures.
 */
export class Attempts {
  readonly #storage: Storage;
  readonly #replica = randomUUID();
  /** Cursors whose next attempt is noted already, by this process. */
  readonly #noted = new Map<string, CursorState>();
  /** Steps that failed for reasons of the storage: nothing is said about their messages. */
  readonly #blameless = new Set<string>();

  constructor(storage: Storage) {
    this.#storage = storage;
  }

  /** The state that a step may begin with; `elsewhere` while another replica is at it, `nothing` where nothing is left. */
  async begin(which: Which): Promise<CursorState | "elsewhere" | "nothing"> {
    const key = keyOf(which);
    const noted = this.#noted.get(key) ?? (await this.#note(which));
    this.#noted.delete(key);
    return noted;
  }

  /** Whether a cursor is still where its attempt was noted. */
  stands(cursor: Cursor, noted: CursorState): boolean {
    const same = cursor.batch === noted.batch && cursor.done === noted.done && cursor.size === noted.size;
    return same && cursor.attempts === noted.attempts && cursor.noted_by === noted.noted_by;
  }

  /** The state after a step: the first attempt at what follows counts from here on. */
  first(cursor: Cursor, place: Pick<CursorState, "batch" | "done" | "size">): CursorState {
    return { ...place, attempts: 1, noted_by: this.#replica, noted_at: cursor.now };
  }

  succeeded(which: Which, next: CursorState): void {
    this.#blameless.delete(keyOf(which));
    this.#noted.set(keyOf(which), next);
  }

  failed(which: Which, error: unknown): void {
    if (isOutage(error)) this.excuse(which);
  }

  /** What was begun ended for no reason of its messages. */
  excuse(which: Which): void {
    this.#blameless.add(keyOf(which));
  }

  /** Whether another replica is at it. */
  #isOthers({ shared, noted_by, noted_at, attempts, now }: Cursor): boolean {
    // on SQLite there is no other: what has another name is this process before its start
    if (!shared || noted_by === this.#replica || attempts === 0) return false;
    // a clock that was ahead when it was noted says nothing of now
    return Math.abs(now - noted_at) < othersTurnMs;
  }

  #note(which: Which): Promise<CursorState | "elsewhere" | "nothing"> {
    return this.#storage.transaction().execute((tx) => this.#noteIn(tx, which));
  }

  /** Counts the attempt; after three the step is halved, down to one message. */
  async #noteIn(tx: StorageTransaction, which: Which): Promise<CursorState | "elsewhere" | "nothing"> {
    // who only looks takes no lock: it would be in the way of the one whose turn it is
    const seen = isPostgres(tx) ? await readCursor(tx, which) : undefined;
    if (seen && this.#isOthers(seen)) return "elsewhere";
    const cursor = await claimCursor(tx, which);
    if (!cursor || this.#isOthers(cursor)) return "elsewhere";
    const batches = await batchesFrom(tx, cursor);
    if (batches.length === 0 && cursor.batch > cursor.recorded) return "nothing";
    const blameless = this.#blameless.has(keyOf(which));
    const count = cursor.attempts >= maxAttempts ? planStep(cursor, batches).count : 0;
    const halve = count > 1 && !blameless;
    const noted = {
      batch: cursor.batch,
      done: cursor.done,
      size: halve ? Math.ceil(count / 2) : cursor.size,
      attempts: halve || blameless ? 1 : cursor.attempts + 1,
      noted_by: this.#replica,
      noted_at: cursor.now,
    };
    await writeCursor(tx, cursor, noted);
    return noted;
  }
}

function keyOf({ site, lane, damagedBatch }: Which): string {
  return `${site}/${lane}/${damagedBatch ?? ""}`;
}
