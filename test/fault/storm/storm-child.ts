import { setTimeout as sleep } from "node:timers/promises";
import { generateGatewayKey, TestGateway } from "../../support/gateway-client.ts";
import { SimulatedGateway } from "./simulated-gateway.ts";
import { backlogOf } from "./site-messages.ts";

/**
 * A process with many simulated gateways. Arguments: central's address, names of the sites joined by commas, batches, frames a batch,
 * messages a frame, longest run in ms. Tells the gateways' public keys, waits for `go`, comes back within one second, tells what it saw.
 */
const [url = "", names = "", batches = "", frames = "", messages = "", withinMs = ""] = process.argv.slice(2);
const sizes = { frames: Number(frames), messages: Number(messages) };
const telemetryShare = 0.75;

process.on("disconnect", () => process.exit(1));
const keys: { site: string; publicKey: string }[] = [];
const gateways: SimulatedGateway[] = [];
for (const site of names.split(",")) {
  const { publicKey, privateKey } = await generateGatewayKey();
  keys.push({ site, publicKey });
  const gateway = new TestGateway({ url: () => url, site, privateKey });
  const samples = Math.round(Number(batches) * telemetryShare);
  const backlog = [
    backlogOf(site, "telemetry", { ...sizes, parcels: samples }),
    backlogOf(site, "transaction", { ...sizes, parcels: Number(batches) - samples }),
  ];
  gateways.push(new SimulatedGateway({ gateway, backlog, url }));
}
const go = Promise.withResolvers<void>();
process.once("message", () => go.resolve());
process.send?.({ kind: "prepared", keys });
await go.promise;
await Promise.all(gateways.map((gateway) => gateway.prepare()));
const deadline = performance.now() + Number(withinMs);
await Promise.all(
  gateways.map(async (gateway) => {
    await sleep(Math.random() * 1000);
    await gateway.run(deadline);
  }),
);
process.send?.({ kind: "seen", seen: gateways.map(({ seen }) => seen) }, () => process.exit(0));
