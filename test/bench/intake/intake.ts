import { requireService } from "../../support/services.ts";
import type { RunOptions, RunResult } from "../base/run.ts";
import { median, rounded, spread } from "../base/statistics.ts";
import { openWorkspace } from "../base/workspace.ts";
import type { QueueLoad, QueueLoadOptions } from "./queue-child.ts";
import { measureWays } from "./ways.ts";
import { measureWindows } from "./windows.ts";

const offeredPerSecond = 20_000;

/** How fast messages of 300 bytes become durable, from the bare disk up to the whole gateway. */
export async function runIntake(options: RunOptions): Promise<RunResult> {
  const { quick, report } = options;
  const rounds = options.rounds ?? (quick ? 1 : 3);
  const seconds = quick ? 0.2 : 5;
  const mosquitto = (await requireService("mosquitto")) !== undefined;
  const ways = await measureWays(rounds, seconds, mosquitto, options);

  const paced: QueueLoad[] = [];
  for (let round = 0; round < rounds; round++) {
    report.progress(`round ${round + 1} of ${rounds}: the queue at ${offeredPerSecond} messages a second`);
    paced.push(await offerToQueue(seconds));
  }
  const delay = (pick: (load: QueueLoad) => number): number[] => paced.map(pick);
  report.table(
    "The queue alone, offered 20,000 messages a second: its caller's thread",
    ["durable/s", "loop delay p50 ms", "p99 ms", "max ms"],
    [
      [
        spread(delay((load) => load.perSecond)),
        spread(delay((load) => load.loopDelayMs.p50)),
        spread(delay((load) => load.loopDelayMs.p99)),
        spread(delay((load) => load.loopDelayMs.max)),
      ],
    ],
  );
  const { wrong, ...windows } = await measureWindows(rounds, seconds, quick, report);
  const wrongInAll = wrong + ways.wrong + paced.reduce((sum, load) => sum + load.wrong, 0);
  const loopDelayP99MsAt20k = rounded(median(delay((load) => load.loopDelayMs.p99)));
  return { figures: { ...windows, loopDelayP99MsAt20k, ...ways.figures, rounds, seconds, wrong: wrongInAll }, wrong: wrongInAll };
}

async function offerToQueue(seconds: number): Promise<QueueLoad> {
  await using workspace = await openWorkspace();
  const options: QueueLoadOptions = { folder: workspace.folder, offeredPerSecond, seconds, lane: "telemetry", perCommit: 1 };
  return await workspace.child<QueueLoad>("intake/queue", options).result;
}
