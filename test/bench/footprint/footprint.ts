import { freePort } from "../../support/mosquitto.ts";
import { missingAtCentral } from "../base/account.ts";
import { nowMs } from "../base/child.ts";
import { rssMiB } from "../base/disk.ts";
import { loadUser, plantDocuments } from "../base/documents.ts";
import type { Filled } from "../base/fill-child.ts";
import { type Plant, preparePlant } from "../base/plant.ts";
import type { RunOptions, RunResult } from "../base/run.ts";
import { median, rounded, spread } from "../base/statistics.ts";
import { openWorkspace } from "../base/workspace.ts";
import type { LoadResult, LoadRun } from "../load/driver.ts";

const loadPerSecond = 1000;
const deadlineMs = 1_800_000;

/** From the start of the process to its word that it runs, and its memory some seconds later. */
interface Start {
  readonly ms: number;
  readonly rssMiB: number;
}

/** What one gateway needs on its machine, with central beside it and everything flushed as always. */
export async function runFootprint(options: RunOptions): Promise<RunResult> {
  const { quick, report } = options;
  const backlog = options.messages ?? (quick ? 2000 : 1_000_000);
  const starts = options.rounds ?? (quick ? 1 : 5);
  const [idleSeconds, loadSeconds] = quick ? [1, 2] : [30, 60];
  await using workspace = await openWorkspace();
  const floorPort = await freePort();
  const plant = await preparePlant(workspace, {
    documents: plantDocuments({ floorPort }),
    secrets: { [loadUser.secret]: loadUser.password },
  });
  const { process: central } = await plant.startCentral();
  const { process: gateway } = await plant.startGateway();
  await plant.adopted();
  await gateway.logged("mqttBroker.listener.opened");
  report.progress(`idle for ${idleSeconds} s`);
  const idle = await watchMemory({ gateway: gateway.pid, central: central.pid }, idleSeconds);

  report.progress(`${loadPerSecond} messages a second for ${loadSeconds} s`);
  const load = workspace.child<void>("load/mqtt", { port: floorPort, connections: 4, user: loadUser });
  await load.heard("ready");
  const run: LoadRun = {
    what: "picks",
    firstOrdinal: 0,
    window: loadPerSecond,
    offeredPerSecond: loadPerSecond,
    warmUpSeconds: 0,
    seconds: loadSeconds,
  };
  load.tell("run", run);
  const loaded = await watchMemory({ gateway: gateway.pid, central: central.pid }, loadSeconds);
  const taken = await load.heard<LoadResult>("ran");
  const wrong = taken.failed + (await missingAtCentral(plant, { transaction: taken.sent }, deadlineMs));
  await gateway.kill("SIGTERM");

  const empty = await start(plant, starts, quick);
  await central.kill("SIGTERM");
  report.progress(`fills the queue with ${backlog} messages`);
  await workspace.child<Filled>("base/fill", { folder: plant.gatewayFolder, first: 1, count: backlog }).result;
  const full = await start(plant, starts, quick);

  const waiting = backlog.toLocaleString("en-US");
  report.table(
    "Resident memory, MiB: median and range of once a second",
    ["", "gateway", "central"],
    [
      ["idle", spread(idle.gateway), spread(idle.central)],
      [`${rounded(taken.acknowledgedPerSecond)} messages/s, each flushed`, spread(loaded.gateway), spread(loaded.central)],
    ],
  );
  report.table(
    "Start of the gateway, ms until it runs, and its memory then",
    ["queue", "ms", "MiB"],
    [
      ["empty", spread(empty.map(({ ms }) => ms)), spread(empty.map((each) => each.rssMiB))],
      [`${waiting} waiting`, spread(full.map(({ ms }) => ms)), spread(full.map((each) => each.rssMiB))],
    ],
  );
  return {
    figures: {
      idleRssMiB: rounded(median(idle.gateway)),
      loadedRssMiB: rounded(median(loaded.gateway)),
      loadedPeakRssMiB: rounded(Math.max(...loaded.gateway)),
      takenPerSecond: rounded(taken.acknowledgedPerSecond),
      centralIdleRssMiB: rounded(median(idle.central)),
      centralLoadedRssMiB: rounded(median(loaded.central)),
      startMs: rounded(median(empty.map(({ ms }) => ms))),
      startWithBacklogMs: rounded(median(full.map(({ ms }) => ms))),
      backlogRssMiB: rounded(Math.max(...full.map((each) => each.rssMiB))),
      backlog,
      wrong,
    },
    wrong,
  };
}

async function watchMemory<Name extends string>(
  pids: Readonly<Record<Name, number>>,
  seconds: number,
): Promise<Record<Name, number[]>> {
  const seen = {} as Record<Name, number[]>;
  for (let second = 0; second < seconds; second++) {
    await new Promise((resolve) => setTimeout(resolve, 1000));
    for (const name of Object.keys(pids) as Name[]) seen[name] = [...(seen[name] ?? []), rssMiB(pids[name])];
  }
  return seen;
}

async function start(plant: Plant, times: number, quick: boolean): Promise<Start[]> {
  const starts: Start[] = [];
  for (let time = 0; time < times; time++) {
    const began = nowMs();
    const { process } = await plant.startGateway();
    const ms = nowMs() - began;
    const { gateway } = await watchMemory({ gateway: process.pid }, quick ? 1 : 5);
    starts.push({ ms, rssMiB: Math.max(...gateway) });
    await process.kill("SIGTERM");
  }
  return starts;
}
