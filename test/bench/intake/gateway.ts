import { existsSync, readFileSync, rmSync } from "node:fs";
import { freePort } from "../../support/mosquitto.ts";
import { until } from "../../support/process.ts";
import type { Child } from "../base/child.ts";
import { loadUser, plantDocuments } from "../base/documents.ts";
import { checkFlushes, type FlushCheck } from "../base/flushes.ts";
import { makeMosquitto } from "../base/mosquitto.ts";
import { preparePlant } from "../base/plant.ts";
import type { Tally } from "../base/seen.ts";
import { openWorkspace } from "../base/workspace.ts";
import type { LoadResult, LoadRun } from "../load/driver.ts";

export const ways = ["broker", "mqtt", "http"] as const;
export type Way = (typeof ways)[number];
export const whats = ["samples", "picks"] as const;

export interface GatewayIntake {
  readonly perSecond: Readonly<Record<Way, Readonly<Record<LoadRun["what"], number | undefined>>>>;
  /** Of the gateway's main thread while its broker is offered 20,000 samples a second. */
  readonly at20k: { readonly takenPerSecond: number; readonly p50: number; readonly p99: number; readonly max: number };
  readonly flushes: FlushCheck | undefined;
  readonly tally: Tally & { readonly deadLetters: number };
  readonly failed: number;
}

export interface GatewayIntakeOptions {
  readonly seconds: number;
  readonly warmUpSeconds: number;
  /** Whether a real Mosquitto is there to feed the `mqtt` connector. */
  readonly mosquitto: boolean;
  readonly checkFlushes: boolean;
}

const window = 1000;
const httpConnections = 64;
const offeredPerSecond = 20_000;

/** A whole gateway takes in over each of its ways, while central is away: nothing but the intake runs. */
export async function measureGateway(options: GatewayIntakeOptions): Promise<GatewayIntake> {
  const { seconds, warmUpSeconds } = options;
  await using workspace = await openWorkspace();
  const [floorPort, plantPort, tapPort] = [await freePort(), await freePort(), await freePort()];
  const plantUrl = options.mosquitto ? `mqtt://127.0.0.1:${tapPort}` : undefined;
  if (options.mosquitto) await (await makeMosquitto(workspace, "mosquitto", plantPort, [])).start();
  const plant = await preparePlant(workspace, {
    documents: plantDocuments({ floorPort, ...(plantUrl === undefined ? {} : { plantUrl }) }),
    secrets: { [loadUser.secret]: loadUser.password },
  });
  const loads: Partial<Record<Way, Child<void>>> = {
    broker: workspace.child("load/mqtt", { port: floorPort, connections: 4, user: loadUser }),
  };
  if (options.mosquitto) loads.mqtt = workspace.child("load/mqtt", { port: plantPort, connections: 4, tapPort });
  const delayFile = workspace.path("loop-delay.json");
  const { process: central } = await plant.startCentral();
  const { process: gateway, url } = await plant.startGateway({
    probes: ["loop-delay"],
    env: { PLANTGATE_BENCH_LOOP_DELAY: delayFile },
  });
  await plant.adopted();
  await central.kill("SIGTERM");
  loads.http = workspace.child("load/http", { url, connections: httpConnections });
  await Promise.all(Object.values(loads).map((load) => load.heard("ready")));
  await loads.mqtt?.heard("subscribed");

  let [sent, failed] = [0, 0];
  const run = async (load: Child<void>, settings: Partial<LoadRun>, mark = (): void => {}): Promise<LoadResult> => {
    load.tell("run", { what: "samples", firstOrdinal: sent, window, warmUpSeconds, seconds, ...settings } satisfies LoadRun);
    for (const event of ["measuring", "measured"]) {
      await load.heard(event);
      mark();
    }
    const result = await load.heard<LoadResult>("ran");
    sent += result.sent;
    failed += result.failed;
    return result;
  };
  const perSecond = { broker: {}, mqtt: {}, http: {} } as Record<Way, Record<LoadRun["what"], number | undefined>>;
  for (const what of whats)
    for (const way of ways) {
      const load = loads[way];
      const settings = { what, window: way === "http" ? httpConnections : window };
      if (load) perSecond[way][what] = (await run(load, settings)).acknowledgedPerSecond;
    }

  const broker = loads.broker as Child<void>;
  const paced = await run(broker, { offeredPerSecond, window: offeredPerSecond }, () => process.kill(gateway.pid, "SIGUSR2"));
  await until(
    () => existsSync(delayFile),
    (there) => there,
  );
  const delay = JSON.parse(readFileSync(delayFile, "utf8")) as { p50: number; p99: number; max: number };
  const flushes = options.checkFlushes
    ? await checkFlushes(
        workspace,
        gateway.pid,
        async () => (await run(broker, { window: 1, warmUpSeconds: 0, seconds: 0.5 })).acknowledged,
      )
    : undefined;
  await gateway.kill("SIGTERM");
  rmSync(delayFile);
  const tally = await workspace.child<GatewayIntake["tally"]>("intake/verify", { folder: plant.gatewayFolder, expected: sent })
    .result;
  return { perSecond, at20k: { takenPerSecond: paced.acknowledgedPerSecond, ...delay }, flushes, tally, failed };
}

export interface PeerIntake {
  readonly perSecond: number;
  readonly flushes: FlushCheck | undefined;
}

/** Mosquitto takes the same publishes for a subscriber that is away: it has to keep them. */
export async function measureMosquitto(options: Omit<GatewayIntakeOptions, "mosquitto">): Promise<PeerIntake> {
  const { seconds, warmUpSeconds } = options;
  await using workspace = await openWorkspace();
  const port = await freePort();
  const mosquitto = await makeMosquitto(workspace, "mosquitto", port, []);
  await mosquitto.start();
  await workspace.child<void>("load/mqtt-subscribe", { port, topic: "bench/#" }).result;
  const load = workspace.child<void>("load/mqtt", { port, connections: 4 });
  await load.heard("ready");
  const run = async (settings: Partial<LoadRun>): Promise<LoadResult> => {
    load.tell("run", { what: "samples", firstOrdinal: 0, window, warmUpSeconds, seconds, ...settings } satisfies LoadRun);
    for (const event of ["measuring", "measured"]) await load.heard(event);
    return load.heard<LoadResult>("ran");
  };
  const { acknowledgedPerSecond } = await run({});
  const flushes = options.checkFlushes
    ? await checkFlushes(
        workspace,
        mosquitto.pid,
        async () => (await run({ window: 1, warmUpSeconds: 0, seconds: 0.5 })).acknowledged,
      )
    : undefined;
  return { perSecond: acknowledgedPerSecond, flushes };
}
