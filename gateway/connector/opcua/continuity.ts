import type { Sample } from "./sample.ts";

export type Cause = "gateway-restarted" | "session-lost" | "queue-overflow" | "sequence-gap";

/** What `mfg.equipment.sampling-interrupted.v1` holds. */
export interface Interruption {
  readonly equipment: string;
  readonly item: string;
  readonly after: string;
  readonly until: string;
  readonly cause: Cause;
}

export type Admission = { readonly kind: "repeat" } | { readonly kind: "sample"; readonly interrupted?: Interruption };

/**
 * Whether the samples of one item follow one another without a hole. A doubt is raised when samples may have been missed and settled by
 * the next sample: either it is the one that we have already (nothing happened in between), or the hole is stated before it. An item
 * without any earlier sample has no hole: nothing was promised yet.
 */
export class Continuity {
  #last: { readonly sourceTimestamp: string; readonly value?: Sample["value"]; readonly statusCode?: number } | undefined;
  #doubt: Cause | undefined;

  /** `cursor`: source timestamp of the last sample on disk when this process started. */
  constructor(cursor: string | undefined) {
    if (cursor === undefined) return;
    this.#last = { sourceTimestamp: cursor };
    this.#doubt = "gateway-restarted";
  }

  /** Samples may have been missed since the last one admitted. The first cause of a hole is the one stated. */
  doubt(cause: Cause): void {
    if (this.#last !== undefined) this.#doubt ??= cause;
  }

  admit(sample: Sample): Admission {
    const last = this.#last;
    const repeated = last !== undefined && last.sourceTimestamp === sample.sourceTimestamp && this.#mayRepeat(last, sample);
    if (repeated && sample.overflow !== true) {
      this.#doubt = undefined;
      this.#last = { sourceTimestamp: sample.sourceTimestamp, value: sample.value, statusCode: sample.statusCode };
      return { kind: "repeat" };
    }
    const cause = this.#doubt ?? (sample.overflow === true ? "queue-overflow" : undefined);
    this.#doubt = undefined;
    this.#last = { sourceTimestamp: sample.sourceTimestamp, value: sample.value, statusCode: sample.statusCode };
    if (cause === undefined || last === undefined) return { kind: "sample" };
    const interrupted = {
      equipment: sample.equipment,
      item: sample.item,
      after: last.sourceTimestamp,
      until: sample.sourceTimestamp,
      cause,
    };
    return { kind: "sample", interrupted };
  }

  /** A new subscription begins with the current value: often the one that we have. After a restart only its timestamp is known. */
  #mayRepeat(last: { readonly value?: Sample["value"]; readonly statusCode?: number }, sample: Sample): boolean {
    if (last.statusCode === undefined) return true;
    return last.value === sample.value && last.statusCode === sample.statusCode;
  }
}
