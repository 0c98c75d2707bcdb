import { freePort } from "../../support/mosquitto.ts";
import { nowMs } from "../base/child.ts";
import { diskMiB, peakRssMiB } from "../base/disk.ts";
import { makeMosquitto } from "../base/mosquitto.ts";
import type { Report } from "../base/report.ts";
import { openWorkspace } from "../base/workspace.ts";
import type { PeerConsumed } from "./peer-consumed.ts";
import { arrivals, type PeerReplay } from "./replayed.ts";

const topic = "plant/samples";

/** A Mosquitto in the plant with a bridge (in flight 1000, persistence) to a Mosquitto at the centre that comes back. */
export async function replayMosquitto(options: { messages: number; outageSeconds: number; report: Report }): Promise<PeerReplay> {
  const { messages, outageSeconds, report } = options;
  await using workspace = await openWorkspace();
  const [hubPort, plantPort] = [await freePort(), await freePort()];
  const hub = await makeMosquitto(workspace, "hub", hubPort, []);
  const plant = await makeMosquitto(workspace, "plant", plantPort, [
    "connection centre",
    `address 127.0.0.1:${hubPort}`,
    `topic ${topic} out 1`,
    "cleansession false",
    "restart_timeout 1",
    "bridge_protocol_version mqttv311",
    "notifications false",
    "try_private false",
  ]);
  await hub.start();
  await plant.start();
  // its session has to be known to the hub before the outage: what arrives for nobody is dropped
  await workspace.child<void>("load/mqtt-subscribe", { port: hubPort, topic }).result;
  await hub.stop();
  report.progress(`mosquitto: fills the plant's broker with ${messages} messages`);
  const fill = { to: "mqtt", port: plantPort, place: topic, first: 1, count: messages, window: 1000 };
  const filled = await workspace.child<{ seconds: number }>("load/fill", fill).result;
  const consumer = workspace.child<PeerConsumed>("replay/mqtt-consumer", { port: hubPort, topic, first: 1, count: messages });
  report.progress(`mosquitto: the link stays down for ${outageSeconds} s`);
  await new Promise((resolve) => setTimeout(resolve, outageSeconds * 1000));
  await hub.start();
  const returnedAt = nowMs();
  const read = await consumer.result;
  report.progress(`mosquitto: all read ${((read.lastAt - returnedAt) / 1000).toFixed(1)} s after the link's return`);
  return {
    fillPerSecond: messages / filled.seconds,
    ...arrivals(read, messages, returnedAt),
    diskMiB: diskMiB(workspace.path("plant")),
    peakRssMiB: peakRssMiB(plant.pid),
  };
}
