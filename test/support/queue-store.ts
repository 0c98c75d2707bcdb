import { createHash } from "node:crypto";
import { join } from "node:path";
import type { LaneDepth, NewDelivery, QueueLane } from "../../gateway/queue/change.ts";
import { DeadLetters } from "../../gateway/queue/dead-letters.ts";
import { decodeLines } from "../../gateway/queue/frame.ts";
import type { KernelTime } from "../../gateway/queue/running-time.ts";
import { QueueStore, type StoreOptions } from "../../gateway/queue/store.ts";

/** Time of a machine that only a test moves. */
export class TestKernel implements KernelTime {
  boot: string;
  uptime: number;

  constructor(boot = "boot-1", uptime = 1000) {
    this.boot = boot;
    this.uptime = uptime;
  }
  uptimeMs(): number {
    return this.uptime;
  }
}

export function openStore(folder: string, options: Partial<StoreOptions> = {}): QueueStore {
  return new QueueStore({
    path: join(folder, "queue.sqlite"),
    site: "lyon",
    kernel: new TestKernel(),
    now: () => 1_700_000_000_000,
    ...options,
  });
}

export const hash = (text: string): string => createHash("sha256").update(text).digest("hex");

export function laneOf(store: QueueStore, lane: QueueLane): LaneDepth {
  return store.depth().lanes.find((entry) => entry.lane === lane)!;
}

/** Every message of a lane that lies on disk, as [sequence, line]. */
export function messagesIn(store: QueueStore, lane: QueueLane): [number, string][] {
  const found: [number, string][] = [];
  for (let after = 0; ; ) {
    const frames = store.frames(lane, after, { frames: 100, bytes: 1e9 });
    for (const frame of frames) {
      after = frame.first + frame.count - 1;
      if (frame.hole !== undefined) continue;
      for (const [index, line] of decodeLines(frame.events, frame.count).entries()) found.push([frame.first + index, line]);
    }
    if (frames.length === 0) return found;
  }
}

export function linesIn(store: QueueStore, lane: QueueLane = "transaction"): string[] {
  return messagesIn(store, lane).map(([, line]) => line);
}

/** The lane as it lies on disk: `first-last` of messages, `first-last reason` of holes, neighbours of one kind joined. */
export function rangesIn(store: QueueStore, lane: QueueLane): string[] {
  const ranges: { first: number; last: number; what: string }[] = [];
  for (let after = 0; ; ) {
    const frames = store.frames(lane, after, { frames: 100, bytes: 1e9 });
    for (const { first, count, hole = "" } of frames) {
      after = first + count - 1;
      const before = ranges.at(-1);
      if (before?.what === hole && before.last + 1 === first) before.last = after;
      else ranges.push({ first, last: after, what: hole });
    }
    if (frames.length === 0) return ranges.map(({ first, last, what }) => `${first}-${last}${what === "" ? "" : ` ${what}`}`);
  }
}

export function deadLettersIn(store: QueueStore) {
  // a second view on the same handle; what is sealed does not matter to who only counts and reads plain ones
  const statements = { prepare: (sql: string) => store.database.prepare(sql) };
  const plain = { open: (_key: number | null, bytes: Uint8Array) => bytes };
  return new DeadLetters(statements as never, plain as never).search({ limit: 1000 });
}

export function delivery(rest: Partial<NewDelivery> = {}): NewDelivery {
  return {
    connector: "wms",
    flow: "orders",
    target: "wms/orders",
    key: "mo-1",
    line: "{}",
    type: "mfg.production-order.released.v1",
    messageId: "m-1",
    createdAt: 1,
    waitedMs: 0,
    again: false,
    ...rest,
  };
}
