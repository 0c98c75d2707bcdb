import { type Clock, describeError } from "../../protocol/index.ts";
import type { Logger } from "../telemetry/logger.ts";
import type { RecordedInput } from "./recorded-input.ts";
import type { RehearsalStore } from "./store.ts";
import { type RecordedShare, sizeOf } from "./store.ts";

export interface RecorderLimits {
  /** Of each flow, so many inputs. */
  readonly perFlow: number;
  /** Of all flows, on disk. */
  readonly maxBytes: number;
  /** Of all flows, in memory: what is not written yet, or all where nothing may be written. */
  readonly maxMemoryBytes: number;
  /** A larger input is not recorded. */
  readonly maxInputBytes: number;
}

export const recorderLimits: RecorderLimits = {
  perFlow: 1000,
  maxBytes: 64 * 1024 * 1024,
  maxMemoryBytes: 16 * 1024 * 1024,
  maxInputBytes: 256 * 1024,
};

export interface RecorderDeps {
  readonly clock: Clock;
  readonly log: Logger;
  readonly limits?: Partial<RecorderLimits>;
}

/** What is written at once, so that nothing else waits for it. */
const rowsPerTurn = 50;
const bytesPerTurn = 256 * 1024;

/**
 * The last inputs of each flow, for dry runs. What is noted stays in memory until it is written, in small transactions that are never flushed; a
 * disk that takes nothing ends the recording and nothing else. Modes: in memory alone; on disk (`#store`); ended.
 */
export class Recorder {
  readonly #deps: RecorderDeps;
  readonly #limits: RecorderLimits;
  /** Not written yet, oldest first. */
  #rings = new Map<string, RecordedShare[]>();
  #bytes = 0;
  #store: RehearsalStore | undefined;
  #lastInput = 0;
  #ended = false;

  constructor(deps: RecorderDeps) {
    this.#deps = deps;
    this.#limits = { ...recorderLimits, ...deps.limits };
  }

  /** From now on there, or in memory alone. What is in memory is written with what comes. */
  keepIn(store: RehearsalStore | undefined): void {
    if (store) this.#lastInput = Math.max(this.#lastInput, store.lastInput);
    this.#store = store;
  }

  /** Costs a copy of the input; never fails. */
  note(flows: readonly string[], recorded: RecordedInput): void {
    const bytes = sizeOf(recorded);
    if (this.#ended || flows.length === 0 || recorded.body.byteLength > this.#limits.maxInputBytes) return;
    this.#lastInput += 1;
    // a view of what a socket read would keep all of that
    const own = { ...recorded, body: Buffer.from(recorded.body) };
    for (const flow of flows) {
      const ring = this.#rings.get(flow) ?? [];
      this.#rings.set(flow, ring);
      ring.push({ input: this.#lastInput, flow, recorded: own });
      this.#bytes += bytes;
      if (ring.length > this.#limits.perFlow) this.#forget(ring);
    }
    while (this.#bytes > this.#limits.maxMemoryBytes && this.#forgetOldest());
  }

  /** Writes what was noted, a little at a time, so that nothing else waits for it. */
  async write(): Promise<void> {
    while (this.#store && !this.#ended) {
      const shares = this.#take(rowsPerTurn);
      if (shares.length === 0) return;
      this.attempt(() => this.#store?.add(shares, this.#limits));
      await new Promise((resolve) => setImmediate(resolve));
    }
  }

  /** What is in memory, of the newest inputs. */
  inMemory(inputs: number): RecordedShare[] {
    const shares = [...this.#rings.values()].flat().sort((a, b) => a.input - b.input);
    const numbers = [...new Set(shares.map(({ input }) => input))];
    const from = numbers.at(-inputs) ?? 0;
    return shares.filter(({ input }) => input >= from);
  }

  /** Work on the disk: what fails ends the recording, and is said once. */
  attempt(work: () => void): boolean {
    if (this.#ended) return false;
    try {
      work();
      return true;
    } catch (error) {
      this.#ended = true;
      this.#rings.clear();
      this.#bytes = 0;
      this.#deps.log.warn(
        { event: "rehearsal.recording.ended", reason: describeError(error) },
        "inputs are not recorded for dry runs any more until the gateway is started again",
      );
      return false;
    }
  }

  /** Whole inputs of one flow each, oldest first. */
  #take(rows: number): RecordedShare[] {
    const taken: RecordedShare[] = [];
    let bytes = 0;
    for (const [flow, ring] of this.#rings) {
      for (let first = ring[0]; first && taken.length < rows && bytes < bytesPerTurn; first = ring[0]) {
        taken.push(first);
        bytes += sizeOf(first.recorded);
        ring.shift();
      }
      if (ring.length === 0) this.#rings.delete(flow);
    }
    for (const { recorded } of taken) this.#bytes -= sizeOf(recorded);
    return taken;
  }

  #forget(ring: RecordedShare[]): void {
    const gone = ring.shift();
    if (gone) this.#bytes -= sizeOf(gone.recorded);
  }

  #forgetOldest(): boolean {
    let oldest: RecordedShare[] | undefined;
    for (const ring of this.#rings.values())
      if (ring[0] && (oldest?.[0] === undefined || ring[0].input < oldest[0].input)) oldest = ring;
    if (oldest) this.#forget(oldest);
    return oldest !== undefined;
  }
}
