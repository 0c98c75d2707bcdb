import { freePort } from "../../support/mosquitto.ts";
import { until } from "../../support/process.ts";
import { missingAtCentral } from "../base/account.ts";
import { type AcknowledgedBatch, acknowledged, readAcknowledgements, readBatches } from "../base/acknowledgements.ts";
import { nowMs } from "../base/child.ts";
import { loadUser, plantDocuments } from "../base/documents.ts";
import type { Filled } from "../base/fill-child.ts";
import { preparePlant } from "../base/plant.ts";
import type { Report } from "../base/report.ts";
import type { RunOptions, RunResult } from "../base/run.ts";
import { median, percentile, rounded, spread } from "../base/statistics.ts";
import { openWorkspace } from "../base/workspace.ts";
import type { LiveLatencies, LiveOptions } from "./publisher-child.ts";

const livePerSecond = 50;
const deadlineMs = 1_800_000;

interface Live {
  readonly latenciesMs: readonly number[];
  readonly pubackMs: readonly number[];
  /** To the arrival at central of the batch that held it, and to central's answer. */
  readonly arrivedMs: readonly number[];
  readonly recordedMs: readonly number[];
  readonly drainSeconds: number;
  readonly acknowledgedSeconds: number;
  readonly wrong: number;
  readonly seenBy: string;
}

/** How long a live transaction takes from the plant's broker to central's API while a backlog of samples drains beside it (P7). */
export async function runLive(options: RunOptions): Promise<RunResult> {
  const { quick, report } = options;
  const samples = options.messages ?? (quick ? 2000 : 1_000_000);
  const rounds = options.rounds ?? 1;
  const runs: Live[] = [];
  for (let round = 0; round < rounds; round++) {
    report.progress(`round ${round + 1} of ${rounds}`);
    runs.push(await drainWithLive(samples, quick ? 1 : 8, report));
  }
  const stages: Readonly<Record<string, (run: Live) => readonly number[]>> = {
    "acknowledged by the gateway's broker (PUBACK)": (run) => run.pubackMs,
    "its batch arrives at central": (run) => run.arrivedMs,
    "recorded at central": (run) => run.recordedMs,
    "visible at central's API": (run) => run.latenciesMs,
  };
  report.table(
    `Live transactions, ${livePerSecond} a second at QoS 1, while ${samples.toLocaleString("en-US")} samples drain: from the publish on`,
    ["until", "p50 ms", "p95 ms", "p99 ms", "max ms", "messages"],
    Object.entries(stages).map(([stage, times]) => [
      stage,
      ...[50, 95, 99, 100].map((percent) => spread(runs.map((run) => percentile(times(run), percent)))),
      spread(runs.map((run) => times(run).length)),
    ]),
  );
  report.table(
    "The backlog beside it",
    ["all acknowledged after s", "all visible after s"],
    [[spread(runs.map((run) => run.acknowledgedSeconds)), spread(runs.map((run) => run.drainSeconds))]],
  );
  const at = (percent: number, times: (run: Live) => readonly number[] = (run) => run.latenciesMs): number =>
    rounded(median(runs.map((run) => percentile(times(run), percent))));
  report.note(
    `\nEvery hop flushes: the gateway before PUBACK, central before its acknowledgement. Publishing begins with central's first acknowledgement and ends when the last sample is visible. Seen by ${runs[0]?.seenBy}.`,
  );
  const wrong = runs.reduce((sum, run) => sum + run.wrong, 0);
  return {
    figures: {
      p95Ms: at(95),
      p50Ms: at(50),
      p99Ms: at(99),
      pubackP95Ms: at(95, (run) => run.pubackMs),
      recordedP95Ms: at(95, (run) => run.recordedMs),
      messages: runs.reduce((sum, { latenciesMs }) => sum + latenciesMs.length, 0),
      samples,
      drainSeconds: rounded(median(runs.map((run) => run.drainSeconds))),
      acknowledgedSeconds: rounded(median(runs.map((run) => run.acknowledgedSeconds))),
      wrong,
    },
    wrong,
  };
}

async function drainWithLive(samples: number, outageSeconds: number, report: Report): Promise<Live> {
  await using workspace = await openWorkspace();
  const floorPort = await freePort();
  const plant = await preparePlant(workspace, {
    documents: plantDocuments({ floorPort }),
    secrets: { [loadUser.secret]: loadUser.password },
  });
  // the gateway keeps its configuration through the outage
  const { process: firstCentral } = await plant.startCentral();
  const { process: firstGateway } = await plant.startGateway();
  await plant.adopted();
  await firstGateway.kill("SIGTERM");
  await firstCentral.kill("SIGTERM");
  report.progress(`fills the gateway's queue with ${samples} samples`);
  await workspace.child<Filled>("base/fill", { folder: plant.gatewayFolder, first: 1, count: samples }).result;

  const { process: gateway } = await plant.startGateway();
  await gateway.logged("mqttBroker.listener.opened");
  const publisher = workspace.child<LiveLatencies>("live/publisher", {
    port: floorPort,
    user: loadUser,
    centralUrl: plant.centralUrl,
    token: plant.token,
    perSecond: livePerSecond,
  } satisfies LiveOptions);
  await publisher.heard("ready");
  report.progress(`the link stays down for ${outageSeconds} s`);
  await new Promise((resolve) => setTimeout(resolve, outageSeconds * 1000));
  const batchLog = workspace.path("batches.log");
  const central = await plant.startCentral({ probes: ["batches"], env: { PLANTGATE_BENCH_BATCHES: batchLog } });
  await until(
    () => readAcknowledgements(batchLog, "telemetry").count,
    (count) => count > 0,
    deadlineMs,
  );
  report.progress("the backlog drains, live transactions flow");
  publisher.tell("go");
  const acks = await acknowledged(batchLog, "telemetry", samples, deadlineMs);
  report.progress(`all samples acknowledged after ${((acks.lastAt - central.listensSince) / 1000).toFixed(1)} s`);
  // a projected message behind as many as the backlog has: all but a few hundred of it are visible
  await until(
    () => plant.get<{ messages: unknown[] }>(`/v1/messages?after=${samples}&limit=1`),
    ({ messages }) => messages.length > 0,
    deadlineMs,
  );
  const drainedAt = nowMs();
  publisher.tell("stop");
  const { latenciesMs, pubackMs, publishedAt, seenBy } = await publisher.result;
  const published = publishedAt.length;
  const batches = batchOfEach(batchLog);
  return {
    latenciesMs,
    pubackMs,
    arrivedMs: batches.map(({ cameAt }, index) => cameAt - (publishedAt[index] ?? cameAt)),
    recordedMs: batches.map(({ at }, index) => at - (publishedAt[index] ?? at)),
    seenBy,
    drainSeconds: (drainedAt - central.listensSince) / 1000,
    acknowledgedSeconds: (acks.lastAt - central.listensSince) / 1000,
    wrong:
      published -
      latenciesMs.length +
      (await missingAtCentral(plant, { telemetry: samples, transaction: published }, deadlineMs)),
  };
}

/** The batch that brought each live message: they are all that comes in the lane of transactions, in their order. */
function batchOfEach(batchLog: string): AcknowledgedBatch[] {
  const batches: AcknowledgedBatch[] = [];
  for (const batch of readBatches(batchLog, "transaction"))
    for (let sequence = batch.first; sequence < batch.first + batch.count; sequence++) batches[sequence - 1] ??= batch;
  return batches;
}
