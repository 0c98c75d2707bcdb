import type { Routes } from "../router/routes.ts";
import type { Storage, StorageTransaction } from "../storage/storage.ts";
import { maxAttempts } from "./attempts.ts";
import type { Cursor } from "./cursor.ts";
import { isDamage } from "./damage.ts";
import type { Frames } from "./frames.ts";
import { type JudgedLines, judgeLines } from "./judge.ts";
import { type BatchRow, planStep, type Step, type Stretch } from "./plan.ts";
import type { JudgedStretch } from "./slice.ts";

/** What a step projects, read and judged. */
export interface StepLines {
  readonly step: Step;
  readonly judged: readonly JudgedStretch[];
}

/** Reads what was recorded, for the projector. */
export class StepReader {
  readonly #deps: { readonly frames: Frames; readonly routes: Routes };
  /** How often reading a batch failed, in a row. */
  readonly #tries = new Map<string, number>();

  constructor(deps: { readonly frames: Frames; readonly routes: Routes }) {
    this.#deps = deps;
  }

  /**
   * Reads and judges the lines of the next step; what lies before a batch that cannot be read is a step of its own. Undefined: the batch
   * is damaged.
   */
  async read(tx: StorageTransaction, cursor: Cursor, batches: readonly BatchRow[]): Promise<StepLines | undefined> {
    const { routes, frames } = this.#deps;
    const step = planStep(cursor, batches);
    const judging: { stretch: Stretch; lines: () => JudgedLines }[] = [];
    const judged = (before?: BatchRow): JudgedStretch[] =>
      judging
        .filter(({ stretch }) => before === undefined || stretch.batch.number < before.number)
        .map(({ stretch, lines }) => ({ stretch, ...lines() }));
    for (const stretch of step.stretches) {
      const { skipLines, count, batch } = stretch;
      const key = `${cursor.site}/${cursor.lane}/${batch.number}`;
      try {
        // what fails in judging is found message by message; only what cannot be read is damage
        const lines = await this.use(tx, stretch, (text) => attempt(() => judgeLines(text, skipLines, count, cursor, routes)));
        this.#tries.delete(key);
        judging.push({ stretch, lines });
      } catch (error) {
        if (!isDamage(error)) throw error;
        frames.forget({ ...cursor, batch: batch.number });
        if (cursor.kind === "damaged") return undefined;
        const before = batches.filter(({ number }) => number < batch.number);
        if (before.length > 0) return { step: planStep(cursor, before), judged: judged(batch) };
        const tries = (this.#tries.get(key) ?? 0) + 1;
        this.#tries.set(key, tries);
        if (tries < maxAttempts) throw error;
        this.#tries.delete(key);
        return undefined;
      }
    }
    return { step, judged: judged() };
  }

  /** Lends the text of the frames that hold a stretch. @throws PlantgateError FRAME_CORRUPT where they cannot be read */
  use<Value>(db: Storage | StorageTransaction, stretch: Stretch, use: (text: Buffer) => Value): Promise<Value> {
    const { batch, bodyOffset, bodyBytes } = stretch;
    const { site, lane, number, receivedAt } = batch;
    return this.#deps.frames.use(db, { site, lane, batch: number, bodyOffset, bodyBytes, receivedAt }, use);
  }
}

/** The value, or the error, once it is asked for. */
function attempt<Value>(make: () => Value): () => Value {
  try {
    const value = make();
    return () => value;
  } catch (error) {
    if (isDamage(error)) throw error;
    return () => {
      throw error;
    };
  }
}
