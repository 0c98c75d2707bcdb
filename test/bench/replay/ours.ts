import { until } from "../../support/process.ts";
import { acknowledged } from "../base/acknowledgements.ts";
import { nowMs } from "../base/child.ts";
import type { Consumed } from "../base/consumer-child.ts";
import { diskMiB, peakRssMiB } from "../base/disk.ts";
import { plantDocuments } from "../base/documents.ts";
import type { Filled } from "../base/fill-child.ts";
import { preparePlant } from "../base/plant.ts";
import type { Report } from "../base/report.ts";
import { openWorkspace } from "../base/workspace.ts";
import type { Replayed } from "./replayed.ts";
import { makeTlsFiles } from "./tls.ts";

export interface OwnReplay extends Replayed {
  readonly openMs: number;
  readonly gatewayPeakRssMiB: number;
  readonly centralPeakRssMiB: number;
  readonly diskBeforeMiB: number;
  readonly diskAfterMiB: number;
  readonly batches: number;
  readonly format: string;
}

export interface OwnOptions {
  readonly messages: number;
  readonly outageSeconds: number;
  readonly tls: boolean;
  readonly recoveryPointSeconds?: number;
  readonly report: Report;
}

const deadlineMs = 1_800_000;
const settleMs = 20_000;

/** A backlog in a gateway's queue, drained to a central that comes back; a consumer of central's API reads it at the same time. */
export async function replayOurs(options: OwnOptions): Promise<OwnReplay> {
  const { messages, outageSeconds, report } = options;
  const name = options.tls ? "plantgate over TLS" : "plantgate";
  await using workspace = await openWorkspace();
  const plant = await preparePlant(workspace, {
    documents: plantDocuments({}),
    ...(options.recoveryPointSeconds === undefined ? {} : { recoveryPointSeconds: options.recoveryPointSeconds }),
  });
  report.progress(`${name}: fills the gateway's queue with ${messages} messages`);
  const filled = await workspace.child<Filled>("base/fill", { folder: plant.gatewayFolder, first: 1, count: messages }).result;
  const openMs = (await workspace.builtChild<{ openMs: number }>("open", { folder: plant.gatewayFolder }).result).openMs;
  const diskBeforeMiB = diskMiB(plant.gatewayFolder);

  const tls = options.tls ? await makeTlsFiles(workspace.folder) : undefined;
  const proxy = tls && workspace.child("replay/tls-proxy", { ...tls, target: plant.centralUrl });
  const address = proxy && (await proxy.heard<{ url: string }>("ready")).url;
  const { process: gateway } = await plant.startGateway({
    ...(address === undefined || tls === undefined ? {} : { centralUrl: address, args: ["--central-ca", tls.authorityFile] }),
  });
  const consumer = workspace.child<Consumed>("base/consumer", {
    url: plant.centralUrl,
    token: plant.token,
    first: 1,
    count: messages,
  });
  report.progress(`${name}: the link stays down for ${outageSeconds} s`);
  await new Promise((resolve) => setTimeout(resolve, outageSeconds * 1000));

  const batchLog = workspace.path("batches.log");
  const central = await plant.startCentral({ probes: ["batches"], env: { PLANTGATE_BENCH_BATCHES: batchLog } });
  let returnedAt = central.listensSince;
  if (proxy) {
    proxy.tell("listen");
    returnedAt = await proxy.heard<number>("listening");
  }
  report.progress(`${name}: central is back, the backlog drains`);
  const acks = await acknowledged(batchLog, "telemetry", messages, deadlineMs);
  report.progress(`${name}: all acknowledged ${((acks.lastAt - returnedAt) / 1000).toFixed(1)} s after the link's return`);
  const read = await consumer.result;
  report.progress(`${name}: all read ${((read.lastAt - returnedAt) / 1000).toFixed(1)} s after the link's return`);
  const gatewayPeakRssMiB = peakRssMiB(gateway.pid);
  const centralPeakRssMiB = peakRssMiB(central.process.pid);
  const diskAfterMiB = await settledDisk(plant.gatewayFolder);
  return {
    fillPerSecond: messages / filled.seconds,
    firstBatchSeconds: (acks.firstAt - returnedAt) / 1000,
    acknowledgedPerSecond: perSecond(messages - acks.firstCount, acks.lastAt - acks.firstAt),
    acknowledgedSeconds: (acks.lastAt - returnedAt) / 1000,
    readPerSecond: perSecond(messages - read.firstCount, read.lastAt - read.firstAt),
    readSeconds: (read.lastAt - returnedAt) / 1000,
    tally: read,
    openMs,
    gatewayPeakRssMiB,
    centralPeakRssMiB,
    diskBeforeMiB,
    diskAfterMiB,
    batches: acks.batches,
    format: read.format,
  };
}

function perSecond(messages: number, ms: number): number {
  return (messages / Math.max(ms, 1)) * 1000;
}

/** What the gateway's folder takes once it has stopped shrinking. */
async function settledDisk(folder: string): Promise<number> {
  const end = nowMs() + settleMs;
  let [before, same] = [diskMiB(folder), 0];
  return until(
    () => {
      const now = diskMiB(folder);
      same = now < before ? 0 : same + 1;
      before = now;
      return now;
    },
    () => same >= 60 || nowMs() > end,
    settleMs * 2,
  );
}
