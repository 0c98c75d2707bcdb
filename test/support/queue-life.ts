import { closeSync, cpSync, openSync, readSync, statSync, writeSync } from "node:fs";
import { join } from "node:path";
import type { QueueLane, StoredFrame } from "../../gateway/queue/change.ts";
import { noteFailure } from "../../gateway/queue/damage.ts";
import { decodeLines } from "../../gateway/queue/frame.ts";
import type { QueueStore } from "../../gateway/queue/store.ts";
import { delivery, hash, laneOf, openStore } from "./queue-store.ts";

export const liveLanes: readonly QueueLane[] = ["transaction", "bulk", "telemetry", "inbound"];
const uplinkLanes = ["transaction", "bulk", "telemetry"] as const;
/** How often a supervisor starts it again before it gives up. */
const mostStarts = 5;
/** No test writes a reserve out. */
const readSpace = () => ({ freeBytes: 1e10, sizeBytes: 64 * 4096 });
const limits = { frames: 50, bytes: 1e6 };

export const lineOf = (lane: QueueLane, n: number): string => JSON.stringify({ id: `${lane}-${n}`, text: hash(`${lane}/${n}`) });

export function openLive(folder: string): QueueStore {
  const store = openStore(folder, { readSpace });
  // no test cuts the power: what is written is as good as flushed
  store.database.exec("PRAGMA synchronous = OFF");
  return store;
}

/** What those outside know of a queue: its senders, central, and who delivers. */
export interface Known {
  /** Highest sequence that a sender has an acknowledgement for. */
  readonly last: Record<QueueLane, number>;
  readonly epoch: Record<QueueLane, string>;
  /** What central has, and what was dispatched. */
  readonly watermark: Record<QueueLane, number>;
  readonly dispatched: Record<QueueLane, number>;
  readonly deliveries: number;
}

const perLane = <Value>(value: (lane: QueueLane) => Value) =>
  Object.fromEntries(liveLanes.map((lane) => [lane, value(lane)])) as Record<QueueLane, Value>;

/** A queue with something in each of its tables, on pages of every kind. */
export function fillLive(store: QueueStore, flushes = 120): Known {
  const last = perLane(() => 0);
  const append = (lane: QueueLane, count: number, inputBytes = 0): void => {
    const input = Buffer.from(Array.from({ length: inputBytes }, (_, at) => (at * 7919 * (last[lane] + 1)) & 255));
    const messages = Array.from({ length: count }, () => {
      const n = ++last[lane];
      return {
        lane,
        line: lineOf(lane, n),
        repeat: { key: `${lane}${n}`, hash: hash(`${n}`) },
        ...(inputBytes ? { input: 0 } : {}),
      };
    });
    store.commit([{ messages, ...(inputBytes ? { inputs: [input] } : {}) }]);
  };
  for (let n = 0; n < flushes; n++) {
    append("transaction", 1 + (n % 3), n % 10 === 0 ? 9000 : 0);
    append("bulk", 1);
    append("telemetry", 5);
    append("inbound", 1);
  }
  const deliveries = 60;
  const newDeliveries = Array.from({ length: deliveries }, (_, n) =>
    delivery({ key: `k${n}`, line: lineOf("inbound", n), messageId: `m${n}` }),
  );
  // as a dispatcher writes them: a file that loses them has not dispatched what they are made of
  store.commit([{ newDeliveries, dispatched: { lane: "inbound", upTo: 40 } }, { cursors: [{ name: "downlink", value: "7" }] }]);
  const epoch = perLane((lane) => store.position(lane).epoch);
  // nothing is kept for central, so that some of it is deleted and its pages are free
  store.keepAcknowledged(0);
  for (const lane of uplinkLanes) {
    store.commit([{ acknowledged: { lane, epoch: epoch[lane], watermark: 40 }, control: true }]);
    store.commit([{ dispatched: { lane, upTo: 60 }, control: true }]);
  }
  store.keepAcknowledged(3_600_000);
  const watermark = perLane((lane) => store.position(lane).acknowledged);
  return { last, epoch, watermark, dispatched: perLane((lane) => store.position(lane).dispatched), deliveries };
}

/** Turns one bit of a file over. */
export function flipBit(file: string, at: number, bit: number): void {
  const handle = openSync(file, "r+");
  const byte = Buffer.alloc(1);
  readSync(handle, byte, 0, 1, at);
  writeSync(handle, Buffer.from([(byte[0] as number) ^ (1 << bit)]), 0, 1, at);
  closeSync(handle);
}

/** A copy of a queue's folder, as a crash leaves it. */
export function copyQueue(from: string, to: string): void {
  cpSync(from, to, { recursive: true, filter: (source) => !source.endsWith("reserve") && statSync(source).size >= 0 });
}

export interface Life {
  /** What was promised and did not hold. */
  readonly problems: string[];
  /** What people were told. */
  readonly told: string[];
  /** With what it ended before its supervisor started it again. */
  readonly ends: string[];
}

/**
 * Lives as a gateway does under its supervisor: takes in, sends all to central, dispatches, delivers, deletes, and is started again when it
 * ends. `harm` is done while it runs, once. Every message has to be found whole at its place, or inside a range that is reported.
 */
export function live(folder: string, known: Known, harm?: (store: QueueStore) => void): Life {
  const life = new QueueLife(folder, known);
  for (let start = 0; start < mostStarts; start++) if (life.run(start === 0 ? harm : undefined)) return life;
  life.problems.push(`it ends again and again: ${life.ends.at(-1)}`);
  return life;
}

class QueueLife implements Life {
  readonly problems: string[] = [];
  readonly told: string[] = [];
  readonly ends: string[] = [];
  readonly #folder: string;
  readonly #known: Known;
  readonly #delivered = new Set<number>();

  constructor(folder: string, known: Known) {
    this.#folder = folder;
    this.#known = structuredClone(known);
  }

  /** @returns whether it ran to its end */
  run(harm: ((store: QueueStore) => void) | undefined): boolean {
    let store: QueueStore | undefined;
    try {
      store = openLive(this.#folder);
      if (store.found.salvaged) this.told.push(`salvaged ${store.found.salvaged.incomplete.join(", ")}`);
      for (const { lane, first, count } of store.found.lost) this.told.push(`lost ${lane} ${first}+${count}`);
      store.onSetAside = ({ lane, kind, first, count }) => this.told.push(`${kind} ${lane} ${first}+${count}`);
      for (const lane of liveLanes) this.#append(store, lane);
      harm?.(store);
      store.maintain();
      for (const lane of liveLanes) this.#append(store, lane);
      for (const lane of uplinkLanes) this.#send(store, lane);
      for (const lane of ["transaction", "bulk", "inbound"] as const) this.#dispatch(store, lane);
      this.#deliver(store);
      store.keepAcknowledged(0);
      for (let step = 0; step < 20 && store.maintain(); step++);
      store.close();
      return true;
    } catch (error) {
      noteFailure(join(this.#folder, "queue.sqlite"), error);
      const cause = error instanceof Error && error.cause instanceof Error ? `: ${error.cause.message}` : "";
      this.ends.push((error instanceof Error ? error.message : String(error)) + cause);
      try {
        store?.close();
      } catch {
        // a process that ends closes nothing
      }
      return false;
    }
  }

  #append(store: QueueStore, lane: QueueLane): void {
    const n = store.position(lane).last + 1;
    store.commit([{ messages: [{ lane, line: lineOf(lane, n) }] }]);
    if (n <= this.#known.last[lane]) this.problems.push(`${lane}: ${n} was given out twice`);
    this.#known.last[lane] = n;
  }

  #send(store: QueueStore, lane: (typeof uplinkLanes)[number]): void {
    const { watermark, epoch, last } = this.#known;
    const position = store.position(lane);
    const seen = new Set<number>();
    let after = watermark[lane];
    if (position.epoch === epoch[lane]) store.confirm(lane, after);
    else {
      const { predecessor } = laneOf(store, lane);
      if (predecessor?.epoch !== epoch[lane]) this.problems.push(`${lane}: its epoch does not name the one before`);
      for (let n = after + 1; n <= (predecessor?.lastSequence ?? 0); n++) seen.add(n);
      after = position.epochFirst - 1;
    }
    this.#readAll(lane, after, seen, (from) => store.next(lane, from, { ...limits, pin: true }).frames);
    this.#expectAll(`${lane} to central`, seen, watermark[lane], last[lane]);
    store.commit([{ acknowledged: { lane, epoch: position.epoch, watermark: last[lane] }, control: true }]);
    [watermark[lane], epoch[lane]] = [last[lane], position.epoch];
  }

  #dispatch(store: QueueStore, lane: QueueLane): void {
    const { dispatched, last } = this.#known;
    const seen = new Set<number>();
    const from = store.position(lane).dispatched;
    if (from < dispatched[lane]) this.told.push(`dispatches ${lane} again from ${from}`);
    this.#readAll(lane, from, seen, (from) => store.frames(lane, from, { ...limits, inputs: true }));
    this.#expectAll(`${lane} to local systems`, seen, dispatched[lane], last[lane]);
    store.commit([{ dispatched: { lane, upTo: last[lane] }, control: true }]);
    dispatched[lane] = last[lane];
  }

  #readAll(lane: QueueLane, after: number, seen: Set<number>, read: (from: number) => readonly StoredFrame[]): void {
    for (let from = after, rounds = 0; ; rounds++) {
      const frames = read(from);
      const end = frames.at(-1);
      if (!end) return;
      for (const { first, count, hole, events } of frames) {
        if (first + count - 1 > this.#known.last[lane]) this.problems.push(`${lane}: ${first}+${count} is more than there was`);
        for (let n = first; n < first + Math.min(count, 10_000); n++) seen.add(n);
        if (hole !== undefined) continue;
        for (const [index, text] of decodeLines(events, count).entries())
          if (text !== lineOf(lane, first + index)) this.problems.push(`${lane} ${first + index}: not what was written`);
      }
      from = end.first + end.count - 1;
      if (rounds > 1000) throw new Error(`${lane} has no end`);
    }
  }

  #expectAll(what: string, seen: ReadonlySet<number>, after: number, last: number): void {
    for (let n = after + 1; n <= last; n++)
      if (!seen.has(n)) {
        this.problems.push(`${what}: ${n} is missing and nobody was told`);
        return;
      }
  }

  #deliver(store: QueueStore): void {
    for (let heads = store.deliveryHeads("wms", 50); heads.length > 0; heads = store.deliveryHeads("wms", 50)) {
      store.commit([{ doneDeliveries: heads.map(({ id }) => id), control: true }]);
      for (const { id } of heads) this.#delivered.add(id);
    }
    const gone = this.#known.deliveries - this.#delivered.size - store.depth().deliveries.unknown;
    const said = this.told.some(
      (text) =>
        text.startsWith("lost") ||
        text.startsWith("dispatches inbound") ||
        (text.startsWith("salvaged") && text.includes("deliveries")),
    );
    if (gone > 0 && !said) this.problems.push(`${gone} deliveries are gone and nobody was told`);
  }
}
