import { nowMs, type Parent } from "../base/child.ts";

/** One run of a load: `window` messages are always under way, or `offeredPerSecond` are sent whatever is. */
export interface LoadRun {
  readonly what: "samples" | "picks";
  /** Ordinals go on from here, so that none is sent twice. */
  readonly firstOrdinal: number;
  readonly window: number;
  readonly offeredPerSecond?: number;
  readonly warmUpSeconds: number;
  readonly seconds: number;
}

export interface LoadResult {
  /** Within the measured time. */
  readonly acknowledgedPerSecond: number;
  /** With warm-up and what was under way at the end: all of it has to be found at the receiver. */
  readonly sent: number;
  readonly acknowledged: number;
  /** Of messages that were refused or whose connection ended: they may be there or not. */
  readonly failed: number;
}

/** Sends the message with this ordinal; resolves when it is acknowledged. */
export type Send = (ordinal: number) => Promise<void>;

/** Tells the parent when the measured time begins and ends, so that it can look at the receiver meanwhile. */
export async function drive(run: LoadRun, send: Send, parent: Parent): Promise<LoadResult> {
  const { window, offeredPerSecond, warmUpSeconds, seconds } = run;
  const began = nowMs();
  const [measureFrom, end] = [began + warmUpSeconds * 1000, began + (warmUpSeconds + seconds) * 1000];
  let [sent, acknowledged, measured, failed] = [0, 0, 0, 0];
  const underWay = new Set<Promise<void>>();
  const sendOne = async (): Promise<void> => {
    try {
      await send(run.firstOrdinal + sent++);
      acknowledged += 1;
      const at = nowMs();
      if (at >= measureFrom && at < end) measured += 1;
    } catch {
      failed += 1;
    }
  };
  setTimeout(() => parent.say("measuring"), warmUpSeconds * 1000);
  const over = new Promise<void>((resolve) => setTimeout(resolve, (warmUpSeconds + seconds) * 1000)).then(() =>
    parent.say("measured"),
  );
  if (offeredPerSecond === undefined) {
    const keepFull = async (): Promise<void> => {
      while (nowMs() < end) await sendOne();
    };
    await Promise.all(Array.from({ length: window }, keepFull));
  } else {
    while (nowMs() < end) {
      const due = Math.floor(((nowMs() - began) / 1000) * offeredPerSecond);
      while (sent < due && underWay.size < window) {
        const one = sendOne().finally(() => underWay.delete(one));
        underWay.add(one);
      }
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
    await Promise.all(underWay);
  }
  await over;
  return { acknowledgedPerSecond: measured / seconds, sent, acknowledged, failed };
}
