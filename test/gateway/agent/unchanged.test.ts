import { readFileSync } from "node:fs";
import type { Socket } from "node:net";
import { connectAsync } from "mqtt";
import { expect, it } from "vitest";
import { connectorKinds } from "../../../gateway/connector/kinds.ts";
import type { Bundle, Document } from "../../../protocol/index.ts";
import { pickPayload, plantDocuments } from "../../support/documents.ts";
import { bundleOf, openParts, type Parts } from "../../support/gateway-parts.ts";
import { startMosquitto } from "../../support/mosquitto.ts";
import { startPressProcess } from "../../support/opcua-server.ts";
import { until } from "../../support/process.ts";
import { recorded } from "../../support/queue-on-disk.ts";
import { puback, publish, startScriptedBroker, suback } from "../../support/scripted-broker.ts";
import { requireService } from "../../support/services.ts";

const { mqtt, opcua } = connectorKinds;
const connack = Buffer.from([0x20, 2, 0, 0]);

/** A revision with a warehouse's broker and a press; of both nothing changes from one to the next, but of the flows and of `hooks`. */
function revision(of: number, { wmsUrl, endpoint }: { wmsUrl: string; endpoint?: string }): Promise<Bundle> {
  const documents: Document[] = plantDocuments({ site: "lyon", wmsUrl });
  const { connectors, flows } = documents[0]!.spec as Record<"connectors" | "flows", Record<string, Record<string, unknown>>>;
  Object.assign(connectors.wms as object, { version: "3.1.1" });
  connectors.hooks = { type: "http", url: `http://127.0.0.1:${of}` };
  Object.assign(flows.picks as object, { purpose: `Tell the ERP what was picked, as said ${of} times` });
  if (endpoint !== undefined) {
    const items = { strokes: { node: "nsu=urn:plantgate:demo:press;s=Strokes", sampling: "100ms" } };
    connectors.press = { type: "opcua", endpoint, items };
    flows.samples = {
      ...{ purpose: "Strokes", from: { connector: "press", items: ["strokes"] } },
      ...{ as: "equipment.sampled", to: [{ central: true }] },
    };
    (documents[1]!.spec as { grants: { send: string[] } }).grants.send.push("mfg.equipment.sampled.v1");
  }
  return bundleOf(documents, "lyon", of);
}
const reports = (parts: Parts, ...names: string[]) => parts.host.reports().filter(({ name }) => names.includes(name));
const epochs = async (parts: Parts) => (await parts.queue.depth()).lanes.map(({ lane, epoch }) => [lane, epoch]);

it.skipIf(!(await requireService("mosquitto")))(
  "leaves the sessions with a real broker and a real press alone, and the queue, whatever else changes and however often",
  async () => {
    await using broker = await startMosquitto();
    await using press = await startPressProcess();
    await using parts = await openParts({ kinds: { mqtt, opcua } });
    const peers = { wmsUrl: broker.url, endpoint: press.endpoint };
    await parts.apply(await revision(1, peers));
    await until(
      () => reports(parts, "wms", "press"),
      (all) => all.length === 2 && all.every(({ state }) => state === "up"),
    );
    const before = reports(parts, "wms", "press");
    expect(before.map(({ connects }) => connects)).toEqual([1, 1]);
    const queue = await epochs(parts);
    const floor = parts.connector("floor");
    const ports = [broker.port, Number(new URL(press.endpoint).port)];
    const connections = connectionsTo(...ports);
    expect(connections.length).toBe(2);
    for (const next of [1, 1, 2, 3, 1, 1]) await parts.apply(await revision(next, peers));
    expect(reports(parts, "wms", "press")).toEqual(before);
    expect([connectionsTo(...ports), await epochs(parts)]).toEqual([connections, queue]);
    expect([parts.connector("floor"), floor.starts, floor.stops]).toEqual([floor, 1, 0]);
    // and what comes over them is taken
    const client = await connectAsync(broker.url);
    await client.publishAsync("wms/picks/7/confirmed", pickPayload({ txn: "1" }), { qos: 1 });
    await until(
      () => recorded(parts).length,
      (count) => count > 0,
    );
    await client.endAsync();
  },
);

it("lets an unacknowledged message of an unchanged connection wait for the change, and acknowledges it once, in the same session", async () => {
  let line: Socket | undefined;
  await using broker = await startScriptedBroker((packet, socket) => {
    if (packet.name === "connect") socket.write(connack);
    if (packet.name === "subscribe") {
      socket.write(suback(packet));
      line = socket;
    }
  });
  let sent = false;
  let early: readonly string[] = [];
  const acknowledged = () => broker.packets.filter(({ name }) => name === "puback");
  const meanwhile = async (): Promise<void> => {
    if (line === undefined || sent) return;
    sent = true;
    const payload = Buffer.from(pickPayload({ txn: "in flight" }));
    line.write(publish("wms/picks/7/confirmed", payload, 11));
    // long enough for it to be taken, if it were
    for (let turn = 0; turn < 50; turn++) await new Promise((resolve) => setImmediate(resolve));
    early = acknowledged().map(({ name }) => name);
  };
  await using parts = await openParts({ kinds: { mqtt }, meanwhile });
  await parts.apply(await revision(1, { wmsUrl: broker.url }));
  await until(
    () => line,
    (socket) => socket !== undefined,
  );
  await parts.apply(await revision(2, { wmsUrl: broker.url }));
  await until(
    () => acknowledged().length,
    (count) => count > 0,
  );
  expect([sent, early]).toEqual([true, []]);
  expect(acknowledged().map(({ bytes }) => bytes)).toEqual([puback(11)]);
  expect([broker.connections, recorded(parts).length]).toEqual([1, 1]);
});

/** The connections to these ports, each by the port that it has on our side: a new session would have another one. */
function connectionsTo(...ports: readonly number[]): string[] {
  const lines = readFileSync("/proc/self/net/tcp", "utf8").split("\n").slice(1);
  const ends = ports.map((port) => `:${port.toString(16).toUpperCase().padStart(4, "0")}`);
  return lines
    .map((text) => text.trim().split(/\s+/))
    .filter(([, , remote, state]) => state === "01" && ends.some((end) => remote?.endsWith(end)))
    .map(([, local = ""]) => local)
    .sort();
}
