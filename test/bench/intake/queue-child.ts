import { createHash } from "node:crypto";
import { join } from "node:path";
import { monitorEventLoopDelay } from "node:perf_hooks";
import type { Change } from "../../../gateway/queue/change.ts";
import { Queue } from "../../../gateway/queue/queue.ts";
import { serveParent } from "../base/child.ts";
import { pickPayload, samplePayload, site } from "../base/lines.ts";

export interface QueueLoadOptions {
  readonly folder: string;
  /** Messages that wait for their commit at once; without it as many as the offered rate makes. */
  readonly window?: number;
  readonly offeredPerSecond?: number;
  readonly seconds: number;
  readonly lane: "telemetry" | "transaction";
  readonly perCommit: number;
}
export interface QueueLoad {
  readonly perSecond: number;
  /** Delay of the main thread's event loop, whose own clock ticks once a millisecond. */
  readonly loopDelayMs: { readonly p50: number; readonly p99: number; readonly max: number };
  readonly wrong: number;
}

const distinctMessages = 20_000;

// the gateway's queue with its worker, as the gateway's main thread uses it
await serveParent<QueueLoadOptions, QueueLoad>(async (options) => {
  const { folder, seconds, lane, perCommit } = options;
  const queue = await Queue.open({
    path: join(folder, "queue.sqlite"),
    site,
    onFailure: (error) => {
      throw error;
    },
  });
  const makeChange = changes(lane, perCommit);
  let [committed, given] = [0, 0];
  const commit = async (): Promise<void> => {
    const { appended } = await queue.commit(makeChange(given++));
    committed += appended;
  };
  const offer =
    options.offeredPerSecond === undefined ? closedLoop(options.window ?? 1, perCommit) : openLoop(options.offeredPerSecond);
  await offer(commit, Math.min(1, seconds / 5));
  const delay = monitorEventLoopDelay({ resolution: 1 });
  delay.enable();
  const [before, began] = [committed, performance.now()];
  let [after, tookMs] = [0, 0];
  await offer(commit, seconds, () => {
    [after, tookMs] = [committed, performance.now() - began];
    delay.disable();
  });
  const { last } = await queue.position(lane);
  await queue.close();
  const [p50, p99, max] = [delay.percentile(50), delay.percentile(99), delay.max].map((ns) => ns / 1e6) as [
    number,
    number,
    number,
  ];
  return {
    perSecond: ((after - before) / tookMs) * 1000,
    loopDelayMs: { p50, p99, max },
    wrong: Math.abs(last - given * perCommit) + Math.abs(committed - given * perCommit),
  };
});

/** Makes the nth change; messages are made before, so that only the queue is measured. */
function changes(lane: QueueLoadOptions["lane"], perCommit: number): (index: number) => Change {
  if (lane === "telemetry") {
    const lines = Array.from({ length: distinctMessages }, (_, ordinal) => samplePayload(ordinal));
    const messages = lines.map((line) => ({ lane, line }));
    const groups = Array.from({ length: Math.ceil(distinctMessages / perCommit) }, (_, group) => ({
      messages: messages.slice(group * perCommit, (group + 1) * perCommit),
    })).filter((group) => group.messages.length === perCommit);
    return (index) => groups[index % groups.length] as Change;
  }
  const bodies = Array.from({ length: distinctMessages }, (_, ordinal) => pickPayload(ordinal));
  const inputs = bodies.map((body) => [Buffer.from(body)]);
  const hashes = bodies.map((body) => createHash("sha256").update(body).digest("hex"));
  // a key is used once, however often its message is
  return (index) => {
    const at = index % distinctMessages;
    const message = {
      lane,
      line: bodies[at] as string,
      input: 0,
      repeat: { key: `picks\n${index}`, hash: hashes[at] as string },
    };
    return { messages: [message], inputs: inputs[at] as Buffer[] };
  };
}

type Offer = (commit: () => Promise<void>, seconds: number, timeIsUp?: () => void) => Promise<void>;

/** Keeps the window full until time is up, then waits for what is under way. */
function closedLoop(window: number, perCommit: number): Offer {
  return async (commit, seconds, timeIsUp) => {
    const end = performance.now() + seconds * 1000;
    const one = async (): Promise<void> => {
      while (performance.now() < end) await commit();
    };
    const all = Promise.all(Array.from({ length: window / perCommit }, one));
    await new Promise((resolve) => setTimeout(resolve, seconds * 1000));
    timeIsUp?.();
    await all;
  };
}

/** Gives what is due by the clock every millisecond, whatever is still under way. */
function openLoop(perSecond: number): Offer {
  return async (commit, seconds, timeIsUp) => {
    const underWay = new Set<Promise<void>>();
    const began = performance.now();
    for (let given = 0; performance.now() - began < seconds * 1000; ) {
      const due = Math.floor(((performance.now() - began) / 1000) * perSecond);
      for (; given < due; given++) {
        const one = commit().finally(() => underWay.delete(one));
        underWay.add(one);
      }
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
    timeIsUp?.();
    await Promise.all(underWay);
  };
}
