import type { Clock, Lane } from "../../protocol/index.ts";
import type { Hints } from "../router/hints.ts";
import type { Routes } from "../router/routes.ts";
import { isOutage, type Storage } from "../storage/storage.ts";
import type { Logger } from "../telemetry/logger.ts";
import { frameLines } from "./batch.ts";
import { sliceSize, storedFrames } from "./ingest.ts";
import type { PlacedLine } from "./judge.ts";
import { projectSlice } from "./slice.ts";

export interface ProjectorDeps {
  readonly storage: Storage;
  readonly routes: Routes;
  readonly hints: Hints;
  readonly clock: Clock;
  readonly log: Logger;
}
interface Work {
  readonly batch: number;
  readonly priority: number;
  readonly count: number;
  readonly done: number;
  readonly size: number;
  readonly attempts: number;
}
interface Batch {
  readonly position: number;
  readonly site: string;
  readonly lane: Lane;
  readonly epoch: string;
  readonly first: number;
  readonly receivedAt: number;
  readonly frames: readonly { readonly from: number; readonly count: number; readonly bytes: Uint8Array }[];
}

/** Attempts at a slice before it is halved; a single message that fails as often is quarantined. */
const maxAttempts = 3;
/** Behind all lanes. */
const damagedPriority = 100;
const idleMs = 1000;
const outageMs = 1000;
const retryMs = 20;

/**
 * Turns recorded batches into ledger rows, routes and quarantine, in slices of one transaction each that also moves the batch's cursor:
 * a crash anywhere doubles and loses nothing. Each attempt is noted, durably, before it is made, so that a message which takes the
 * whole process down is found as well (rule 16). Transactions go before bulk, bulk before telemetry; in a lane, order is that of arrival.
 */
export class Projector {
  readonly #deps: ProjectorDeps;
  #batch: Batch | undefined;
  #wake: AbortController | undefined;

  constructor(deps: ProjectorDeps) {
    this.#deps = deps;
  }

  /** There is something new; without it the projector looks by itself once a second. */
  wake(): void {
    this.#wake?.abort();
  }

  /** Runs until the signal aborts, between two slices. */
  async run(signal: AbortSignal): Promise<void> {
    const { clock, log } = this.#deps;
    const stop = (): void => this.wake();
    signal.addEventListener("abort", stop);
    while (!signal.aborted) {
      this.#wake = new AbortController();
      try {
        if (!(await this.step())) await clock.sleep(idleMs, this.#wake.signal);
        // other work of the process gets its turn between two slices
        else await new Promise((resolve) => setImmediate(resolve));
      } catch (error) {
        if (isOutage(error)) {
          log.error({ event: "projector.storage.failed", err: error }, "the ledger's storage fails, projection waits");
          await clock.sleep(outageMs, signal);
        } else {
          log.warn(
            { event: "projector.slice.failed", err: error },
            "a slice could not be projected, it is tried again in smaller parts",
          );
          await clock.sleep(retryMs, signal);
        }
      }
    }
    signal.removeEventListener("abort", stop);
  }

  /**
   * Projects one slice.
   * @returns whether there was one
   * @throws what the slice failed with; the attempt stays noted, unless the storage itself is out of order
   */
  async step(): Promise<boolean> {
    const { storage } = this.#deps;
    const next = await storage.selectFrom("work").selectAll().orderBy("priority").orderBy("batch").limit(1).executeTakeFirst();
    if (!next) return false;
    const work = await this.#noteAttempt(next);
    const found = await this.#read(work);
    // one that was already known as damaged is looked at again when there is nothing else
    if (!found) return work.priority < damagedPriority;
    const { batch, lines } = found;
    if (work.attempts > maxAttempts && lines.length === 1) {
      await this.#quarantine(work, batch, lines);
      return true;
    }
    try {
      await this.#project(work, batch, lines);
    } catch (error) {
      // a full disk says nothing about the messages
      if (isOutage(error)) await storage.updateTable("work").set({ attempts: 0 }).where("batch", "=", work.batch).execute();
      throw error;
    }
    return true;
  }

  /**
   * A batch was judged when it came, so one that cannot be read is damage on our disk. It goes behind everything else and stays there,
   * counted as waiting, so that it holds nobody back and a repaired disk brings its messages.
   */
  async #read(work: Work): Promise<{ batch: Batch; lines: PlacedLine[] } | undefined> {
    const { storage, log } = this.#deps;
    try {
      const batch = await this.#load(work.batch);
      return { batch, lines: linesOf(batch, work.done, work.size) };
    } catch (error) {
      const known = work.priority >= damagedPriority;
      if (isOutage(error) || (!known && work.attempts <= maxAttempts)) throw error;
      this.#batch = undefined;
      const anew = { priority: damagedPriority, attempts: 0, size: sliceSize };
      await storage.updateTable("work").set(anew).where("batch", "=", work.batch).execute();
      const fields = { event: "projector.batch.damaged", err: error, batch: work.batch };
      if (!known) log.error(fields, "a recorded batch cannot be read from the disk");
      return undefined;
    }
  }

  /** Counts the attempt before it is made; after three the slice is halved, down to one message. */
  async #noteAttempt(work: Work): Promise<Work> {
    const size = Math.min(work.size, work.count - work.done);
    const halve = work.attempts >= maxAttempts && size > 1;
    const noted = { size: halve ? Math.ceil(size / 2) : work.size, attempts: halve ? 1 : work.attempts + 1 };
    await this.#deps.storage.updateTable("work").set(noted).where("batch", "=", work.batch).execute();
    return { ...work, ...noted };
  }

  async #project(work: Work, batch: Batch, lines: readonly PlacedLine[]): Promise<void> {
    const { storage, routes, hints, clock } = this.#deps;
    const sites = await storage.transaction().execute(async (tx) => {
      const woken = await projectSlice(tx, batch, lines, routes, clock.now());
      if (work.done + lines.length >= work.count) await tx.deleteFrom("work").where("batch", "=", work.batch).execute();
      else
        await tx
          .updateTable("work")
          .set({ done: work.done + lines.length, attempts: 0 })
          .where("batch", "=", work.batch)
          .execute();
      return woken;
    });
    hints.wakeAll(sites);
  }

  async #quarantine(work: Work, batch: Batch, lines: readonly PlacedLine[]): Promise<void> {
    const { storage, log } = this.#deps;
    const { site, lane, epoch, receivedAt } = batch;
    const reason = `its projection failed ${maxAttempts} times`;
    await storage.transaction().execute(async (tx) => {
      for (const { sequence, line } of lines) {
        await tx
          .insertInto("quarantine")
          .values({
            site,
            lane,
            epoch,
            sequence,
            code: "projection-failed",
            reason,
            conflicts_with: null,
            line,
            received_at: receivedAt,
          })
          .execute();
      }
      const done = work.done + lines.length;
      if (done >= work.count) await tx.deleteFrom("work").where("batch", "=", work.batch).execute();
      else await tx.updateTable("work").set({ done, attempts: 0, size: sliceSize }).where("batch", "=", work.batch).execute();
    });
    log.error(
      { event: "projector.message.quarantined", site, lane, epoch, sequence: lines[0]?.sequence },
      "a message could not be projected and was set aside",
    );
  }

  /** The batch in work stays in memory: its slices follow each other. */
  async #load(position: number): Promise<Batch> {
    if (this.#batch?.position === position) return this.#batch;
    const row = await this.#deps.storage
      .selectFrom("batches")
      .selectAll()
      .where("position", "=", position)
      .executeTakeFirstOrThrow();
    let [from, offset] = [0, 0];
    const frames = storedFrames(row.frames).map(([count, bytes]) => {
      const frame = { from, count, bytes: row.body.subarray(offset, offset + bytes) };
      from += count;
      offset += bytes;
      return frame;
    });
    const { site, lane, epoch, first_sequence: first, received_at: receivedAt } = row;
    this.#batch = { position, site, lane, epoch, first, receivedAt, frames };
    return this.#batch;
  }
}

/** `size` lines of a batch from the `done`th on; only the frames that hold them are inflated. */
function linesOf(batch: Batch, done: number, size: number): PlacedLine[] {
  const lines: PlacedLine[] = [];
  for (const frame of batch.frames) {
    if (frame.from + frame.count <= done) continue;
    if (lines.length >= size) break;
    const skipped = Math.max(0, done - frame.from);
    const taken = frameLines(frame.bytes).slice(skipped, skipped + size - lines.length);
    for (const [index, line] of taken.entries()) lines.push({ sequence: batch.first + frame.from + skipped + index, line });
  }
  return lines;
}
