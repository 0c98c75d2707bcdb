import type { Clock, Lane } from "../../protocol/index.ts";
import type { Alarms } from "../alert/alarms.ts";
import { isOutage, type Storage } from "../storage/storage.ts";
import { type AppendOutcome, appendGroup, type Incoming, laneKey } from "./append.ts";
import { type BatchHead, headProblem, judgeContent, tooMuch } from "./batch.ts";

export type IngestOutcome = AppendOutcome | { readonly kind: "invalid" | "too-large"; readonly detail: string };

export interface IngestDeps {
  readonly storage: Storage;
  readonly clock: Clock;
  readonly alarms: Alarms;
  /** Messages of a site that may wait for projection before its samples and bulk are refused. */
  readonly maxBacklog: number;
  /** Told after a flush, with the lanes that have more than before. */
  readonly recorded: (lanes: readonly { readonly site: string; readonly lane: Lane; readonly fresh: number }[]) => void;
}

/** What one transaction takes at most: what comes next waits so long. */
const groupLimits = { batches: 32, bytes: 4 * 1024 * 1024 } as const;
/** The longest that batches are judged without a turn for others. */
const turnMs = 8;
/** How long a batch waits for one before it that is on its way, over another connection or to another replica. */
const gapWaitMs = 400;
/** How long a batch waits for its lane that another replica or a hello holds: mostly for one transaction, else for a replica that froze. */
const lockedWaitMs = 2000;
/** How often a waiting batch is looked at for what other replicas recorded. */
const gapLookMs = 100;
/** A lane is mostly free again in a moment; who has waited for long looks less often. */
const lockedLookMs = { first: 5, last: 100 } as const;

interface Waiting {
  readonly head: BatchHead;
  readonly body: Uint8Array;
  /** When it came, by monotonic time. */
  readonly since: number;
  /** Known once its content was judged. */
  inflatedBytes?: number;
  readonly resolve: (outcome: IngestOutcome) => void;
  readonly reject: (error: unknown) => void;
}

/**
 * Takes in batches: each is one row, as it came, and its answer leaves only after that row is flushed. All that wait together share one
 * transaction and one flush, each judged by itself.
 */
export class Ingest {
  readonly #deps: IngestDeps;
  /** Facts, and all else: they take turns, so that no fact waits for more than one group of samples (P7). */
  readonly #queues: [Waiting[], Waiting[]] = [[], []];
  /** Batches whose predecessor is not there yet, or whose lane is not free. */
  readonly #aside = new Set<Waiting>();
  #working = false;
  /** What a batch costs lately, all else that the process does between two of them included. */
  #batchMs = 3;

  constructor(deps: IngestDeps) {
    this.#deps = deps;
  }

  /** How far apart batches are answered lately while others wait, in ms. */
  get batchMs(): number {
    return this.#batchMs;
  }

  /**
   * Records what is new of a batch. `recorded`: everything up to the watermark is flushed (COMMIT has returned). `gap` only after a
   * predecessor had time to come, `locked` only after its lane had time to become free.
   */
  record(head: BatchHead, body: Uint8Array): Promise<IngestOutcome> {
    const { clock } = this.#deps;
    return new Promise((resolve, reject) => {
      this.#enqueue({ head, body, since: clock.monotonic(), resolve, reject });
    });
  }

  /** Another replica may have recorded something: waiting batches are judged again. */
  lookAgain(): void {
    this.#retry(() => true);
  }

  #enqueue(waiting: Waiting): void {
    this.#queues[waiting.head.lane === "transaction" ? 0 : 1].push(waiting);
    if (this.#working) return;
    this.#working = true;
    // all that the sockets hold now is read before the first transaction
    setImmediate(() => this.#work());
  }

  async #work(): Promise<void> {
    let began = performance.now();
    for (let turn = 0; this.#queues.some((queue) => queue.length > 0); turn ^= 1) {
      const group = takeGroup(this.#queues[turn] ?? []);
      if (group.length === 0) continue;
      await this.#recordGroup(group);
      await new Promise((resolve) => setImmediate(resolve));
      const now = performance.now();
      this.#batchMs += ((now - began) / group.length - this.#batchMs) * 0.2;
      began = now;
    }
    this.#working = false;
  }

  async #recordGroup(group: readonly Waiting[]): Promise<void> {
    const judged: { waiting: Waiting; incoming: Incoming }[] = [];
    let turnEnds = performance.now() + turnMs;
    for (const waiting of group) {
      // whoever connects or asks for something small does not wait for a whole group
      if (performance.now() > turnEnds) {
        await new Promise((resolve) => setImmediate(resolve));
        turnEnds = performance.now() + turnMs;
      }
      const wrong = judgeAlone(waiting);
      if (wrong) wrong();
      else
        judged.push({ waiting, incoming: { head: waiting.head, body: waiting.body, inflatedBytes: waiting.inflatedBytes ?? 0 } });
    }
    // batches of one window may come in any order
    judged.sort((a, b) => a.waiting.head.firstSequence - b.waiting.head.firstSequence);
    if (judged.length === 0) return;
    try {
      await this.#append(judged);
    } catch (error) {
      if (isOutage(error) || judged.length === 1) for (const { waiting } of judged) waiting.reject(error);
      // one that the storage chokes on fails alone
      else for (const each of judged) await this.#append([each]).catch((alone: unknown) => each.waiting.reject(alone));
    }
  }

  async #append(judged: readonly { waiting: Waiting; incoming: Incoming }[]): Promise<void> {
    const { storage, alarms } = this.#deps;
    const group = judged.map(({ incoming }) => incoming);
    const appended = await storage.transaction().execute((tx) => appendGroup(tx, group, this.#deps));
    alarms.log(appended.alarms);
    const fresh: { site: string; lane: Lane; fresh: number }[] = [];
    const moved = new Set<string>();
    for (const [index, outcome] of appended.outcomes.entries()) {
      const { waiting } = judged[index] as (typeof judged)[number];
      if (outcome.kind === "recorded") moved.add(laneKey(waiting.head));
      if (outcome.kind === "recorded" && outcome.fresh > 0)
        fresh.push({ site: waiting.head.site, lane: waiting.head.lane, fresh: outcome.fresh });
      if (outcome.kind === "gap" && this.#wait(waiting, gapWaitMs, () => gapLookMs)) continue;
      if (outcome.kind === "locked" && this.#wait(waiting, lockedWaitMs, lockedLook)) continue;
      waiting.resolve(outcome);
    }
    if (fresh.length > 0) this.#deps.recorded(fresh);
    this.#retry(({ head }) => moved.has(laneKey(head)));
  }

  /** Keeps a batch that cannot be recorded yet. @returns false once it has waited long enough */
  #wait(waiting: Waiting, waitMs: number, lookAfter: (waitedMs: number) => number): boolean {
    const { clock } = this.#deps;
    const waitedMs = clock.monotonic() - waiting.since;
    if (waitedMs >= waitMs) return false;
    this.#aside.add(waiting);
    clock.sleep(Math.min(waitMs - waitedMs, lookAfter(waitedMs))).then(() => this.#retry((each) => each === waiting));
    return true;
  }

  #retry(which: (waiting: Waiting) => boolean): void {
    for (const waiting of [...this.#aside]) {
      if (!which(waiting)) continue;
      this.#aside.delete(waiting);
      this.#enqueue(waiting);
    }
  }
}

function lockedLook(waitedMs: number): number {
  return Math.min(lockedLookMs.last, Math.max(lockedLookMs.first, waitedMs / 2));
}

function takeGroup(queue: Waiting[]): Waiting[] {
  let bytes = 0;
  const end = queue.findIndex(({ body }, index) => {
    bytes += body.byteLength;
    return index === groupLimits.batches || (index > 0 && bytes > groupLimits.bytes);
  });
  return queue.splice(0, end === -1 ? queue.length : end);
}

/** How a batch ends that is wrong by itself; undefined for one that may be recorded. */
function judgeAlone(waiting: Waiting): (() => void) | undefined {
  try {
    const wrong = judge(waiting);
    return wrong && (() => waiting.resolve(wrong));
  } catch (error) {
    return () => waiting.reject(error);
  }
}

/** Judged once, however long it then waits for a predecessor. */
function judge(waiting: Waiting): IngestOutcome | undefined {
  const { head, body } = waiting;
  if (waiting.inflatedBytes !== undefined) return undefined;
  const detail = headProblem(head, body.byteLength);
  if (detail !== undefined) return { kind: "invalid", detail };
  const content = judgeContent(head, body);
  if (content.kind === "whole") {
    waiting.inflatedBytes = content.inflatedBytes;
    return undefined;
  }
  // fewer frames a batch: one always fits
  return { kind: content.detail === tooMuch && head.entries.length > 1 ? "too-large" : "invalid", detail: content.detail };
}
