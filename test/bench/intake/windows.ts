import type { Report } from "../base/report.ts";
import { median, medianRatio, ratio, rounded, spread } from "../base/statistics.ts";
import { openWorkspace } from "../base/workspace.ts";
import type { QueueLoad, QueueLoadOptions } from "./queue-child.ts";
import type { RawWrites, RawWritesOptions } from "./raw-disk-child.ts";
import type { SqliteWrites, SqliteWritesOptions } from "./sqlite-child.ts";

/** Messages that wait for one flush at the most. */
const windows = [1, 16, 1000] as const;
type Window = (typeof windows)[number];

const ways = {
  growing: "raw write+fdatasync, growing file",
  preallocated: "raw write+fdatasync, preallocated file",
  engine: "SQLite alone, a compressed batch a commit",
  each: "queue, a commit for each message",
  transactions: "queue, transactions with input and key, a commit each",
  batch: "queue, a commit for each batch",
} as const;
type Way = keyof typeof ways;
type Name = `${Way} ${Window}`;

export interface WindowFigures {
  readonly durablePerSecond: number;
  readonly ratioToRawSync: number | null;
  readonly ratioToPreallocated: number | null;
  /** Of what the queue's engine does with batches that are ready, from one thread. */
  readonly ratioToEngine: number | null;
  readonly windows: Readonly<Record<string, Readonly<Record<string, number | null>>>>;
  readonly asFound: Readonly<Record<string, number | null>>;
  readonly wrong: number;
}

interface Measured {
  readonly perSecond: number;
  readonly wrong: number;
}

const settleGiB = 4;
const settleSeconds = 20;

/**
 * How many messages of 300 bytes become durable in a second: what the disk allows, and what the gateway's queue makes of it.
 *
 * Virtual disks let some gigabytes pass at a speed that they do not keep. So the disk is written first until that is over, as one does
 * before a solid-state disk is measured; what it showed before stands beside it as "as found".
 */
export async function measureWindows(rounds: number, seconds: number, quick: boolean, report: Report): Promise<WindowFigures> {
  const found = {
    growing: await measure("growing 1000", seconds),
    each: await measure("each 1000", seconds),
    preallocated: await measure("preallocated 1000", seconds),
  };
  const names = (quick ? [1000 as const] : [...windows].reverse()).flatMap((window) =>
    (Object.keys(ways) as Way[])
      // a batch of one is what a commit for each is
      .filter((way) => (way !== "batch" || window > 1) && (way !== "transactions" || window === 1000))
      .map((way): Name => `${way} ${window}`),
  );
  const results = new Map<Name, Measured[]>(names.map((name) => [name, []]));
  for (let round = 0; round < rounds; round++) {
    if (!quick) {
      report.progress(
        `round ${round + 1} of ${rounds}: writes ${settleGiB} GiB, ${settleSeconds} s at most, to get past the disk's burst`,
      );
      await settleDisk();
    }
    // neighbours of a round stand next to each other, each round in the other direction
    for (const name of round % 2 === 0 ? names : [...names].reverse()) {
      const [way, window] = name.split(" ") as [Way, string];
      report.progress(`round ${round + 1} of ${rounds}: ${ways[way]}, window ${window}`);
      results.get(name)?.push(await measure(name, seconds));
    }
  }
  const rates = (way: Way, window: Window): number[] => (results.get(`${way} ${window}`) ?? []).map((load) => load.perSecond);
  report.table(
    `Durable messages of 300 bytes a second, flushed before each is acknowledged: median (range) of ${rounds} × ${seconds} s`,
    ["way", ...windows.map((window) => `window ${window}`), "of raw, growing", "of raw, preallocated"],
    (Object.keys(ways) as Way[]).map((way) => [
      ways[way],
      ...windows.map((window) => spread(rates(way, window))),
      String(ratio(medianRatio(rates(way, 1000), rates("growing", 1000)))),
      String(ratio(medianRatio(rates(way, 1000), rates("preallocated", 1000)))),
    ]),
  );
  report.note(
    "\nWindow: messages that wait for their flush at once. Ratios are those of window 1000. Preallocated: 256 MiB by fallocate, used again from its start.",
  );
  report.note(
    `As found, before the disk had been written to, window 1000: ${spread([found.growing.perSecond])} raw growing, ${spread([found.preallocated.perSecond])} raw preallocated, ${spread([found.each.perSecond])} through the queue.`,
  );
  return {
    durablePerSecond: rounded(median(rates("each", 1000))),
    ratioToRawSync: ratio(medianRatio(rates("each", 1000), rates("growing", 1000))),
    ratioToPreallocated: ratio(medianRatio(rates("each", 1000), rates("preallocated", 1000))),
    ratioToEngine: ratio(medianRatio(rates("each", 1000), rates("engine", 1000))),
    windows: Object.fromEntries(
      windows
        .filter((window) => rates("each", window).length > 0)
        .map((window) => [
          window,
          {
            ...Object.fromEntries(
              (Object.keys(ways) as Way[])
                .filter((way) => rates(way, window).length > 0)
                .map((way) => [way, rounded(median(rates(way, window)))]),
            ),
            ratioToRawSync: ratio(medianRatio(rates("each", window), rates("growing", window))),
            ratioToPreallocated: ratio(medianRatio(rates("each", window), rates("preallocated", window))),
          },
        ]),
    ),
    asFound: {
      growing: rounded(found.growing.perSecond),
      preallocated: rounded(found.preallocated.perSecond),
      each: rounded(found.each.perSecond),
      ratioToRawSync: ratio(found.each.perSecond / found.growing.perSecond),
      ratioToPreallocated: ratio(found.each.perSecond / found.preallocated.perSecond),
    },
    wrong: [...results.values()].flat().reduce((sum, load) => sum + load.wrong, found.each.wrong),
  };
}

async function settleDisk(): Promise<void> {
  await using workspace = await openWorkspace();
  const options: RawWritesOptions = {
    folder: workspace.folder,
    window: 1000,
    seconds: settleSeconds,
    bytes: settleGiB * 1024 ** 3,
    preallocated: false,
  };
  await workspace.child<RawWrites>("intake/raw-disk", options).result;
}

async function measure(name: Name, seconds: number): Promise<Measured> {
  const [way, windowText] = name.split(" ") as [Way, string];
  const window = Number(windowText);
  await using workspace = await openWorkspace();
  if (way === "growing" || way === "preallocated") {
    const options: RawWritesOptions = { folder: workspace.folder, window, seconds, preallocated: way === "preallocated" };
    return { ...(await workspace.child<RawWrites>("intake/raw-disk", options).result), wrong: 0 };
  }
  if (way === "engine") {
    const options: SqliteWritesOptions = { folder: workspace.folder, window, seconds };
    return { ...(await workspace.child<SqliteWrites>("intake/sqlite", options).result), wrong: 0 };
  }
  const options: QueueLoadOptions = {
    folder: workspace.folder,
    window,
    seconds,
    lane: way === "transactions" ? "transaction" : "telemetry",
    perCommit: way === "batch" ? window : 1,
  };
  return await workspace.child<QueueLoad>("intake/queue", options).result;
}
