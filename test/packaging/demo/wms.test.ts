import mqtt, { type MqttClient } from "mqtt";
import { expect, it } from "vitest";
import { startWms } from "../../../packaging/demo/simulators/wms.ts";
import { entriesOf, order, temporaryFolder, until } from "./systems.ts";

interface Seen {
  readonly topic: string;
  readonly text: string;
}

/** A gateway's side of the WMS's broker: a persistent session that acknowledges what it saw, unless it is told to be silent. */
async function listen(url: string, options: { silent?: () => boolean } = {}): Promise<{ client: MqttClient; seen: Seen[] }> {
  const client = await mqtt.connectAsync(url, {
    clientId: "plantgate-lyon-wms",
    clean: false,
    username: "gateway",
    password: "secret",
    protocolVersion: 4,
    reconnectPeriod: 0,
  });
  const seen: Seen[] = [];
  client.handleMessage = (packet, done) => {
    if (packet.cmd === "publish") seen.push({ topic: packet.topic, text: packet.payload.toString() });
    if (!options.silent?.()) done();
  };
  await client.subscribeAsync(["wms/orders/+/ack", "wms/picks/+/confirmed", "wms/shortages/+"], { qos: 1 });
  return { client, seen };
}

it("accepts an order, repeats its yes for a repeat, and counts the effect once", async () => {
  using folder = temporaryFolder();
  const wms = await startWms({ port: 0, password: "secret", plantDigit: 1, logFile: folder.file("wms.jsonl"), workMs: 60_000 });
  const { client, seen } = await listen(wms.url);
  try {
    await client.publishAsync("wms/orders/hq-mo-5", JSON.stringify(order(5)), { qos: 1 });
    await client.publishAsync("wms/orders/hq-mo-5", JSON.stringify(order(5)), { qos: 1 });
    await until(() => seen.filter(({ topic }) => topic === "wms/orders/hq-mo-5/ack").length === 2);
    expect(JSON.parse(seen[0]!.text)).toEqual({ order: "hq-mo-5", revision: 1, accepted: true });
  } finally {
    await client.endAsync(true);
    await wms.stop();
  }
  expect(entriesOf(folder.file("wms.jsonl"))).toMatchObject([
    { kind: "order", order: "hq-mo-5", revision: 1, effect: true },
    { kind: "order", order: "hq-mo-5", revision: 1, effect: false },
  ]);
});

it("refuses an order that it cannot read", async () => {
  using folder = temporaryFolder();
  const wms = await startWms({ port: 0, password: "secret", plantDigit: 1, logFile: folder.file("wms.jsonl") });
  const { client, seen } = await listen(wms.url);
  try {
    await client.publishAsync("wms/orders/hq-mo-6", "{", { qos: 1 });
    const answer = await until(() => seen[0]);
    expect(JSON.parse(answer.text)).toMatchObject({ accepted: false, reason: "the order cannot be read" });
  } finally {
    await client.endAsync(true);
    await wms.stop();
  }
});

it("confirms picks with the SSCC as a bare number, and writes them down before they leave and after they were acknowledged", async () => {
  using folder = temporaryFolder();
  const picked: string[] = [];
  const wms = await startWms({
    port: 0,
    password: "secret",
    plantDigit: 1,
    logFile: folder.file("wms.jsonl"),
    workMs: 1,
    picked: ({ order: id }) => picked.push(id),
  });
  const { client, seen } = await listen(wms.url);
  try {
    // a number that divides by 4 comes in two parts, one that divides by 9 starts with a shortage
    await client.publishAsync("wms/orders/hq-mo-36", JSON.stringify(order(36)), { qos: 1 });
    await until(() => picked.includes("hq-mo-36"));
  } finally {
    await client.endAsync(true);
    await wms.stop();
  }
  const facts = seen.filter(({ topic }) => !topic.endsWith("/ack"));
  expect(facts.map(({ topic }) => topic.split("/")[1])).toEqual(["shortages", "picks", "picks"]);
  expect(facts[1]!.text).toMatch(/"sscc":34\d{16}[,}]/);
  const entries = entriesOf(folder.file("wms.jsonl"));
  expect(entries.map(({ kind }) => kind)).toEqual(["order", "sending", "acked", "sending", "acked", "sending", "acked"]);
  const lines = entries.flatMap((entry) => (entry.kind === "sending" && entry.fact.fact === "pick" ? entry.fact.lines : []));
  const total = (sku: string): number => lines.filter((line) => line.sku === sku).reduce((sum, { qty }) => sum + Number(qty), 0);
  expect([total("RM-ALU"), total("RM-SCR")]).toEqual([12.5, 200]);
});

it("sends what was not acknowledged again, and the last minute once more, to a gateway that comes back", async () => {
  using folder = temporaryFolder();
  let silent = false;
  const wms = await startWms({ port: 0, password: "secret", plantDigit: 1, logFile: folder.file("wms.jsonl"), workMs: 1 });
  const first = await listen(wms.url, { silent: () => silent });
  try {
    await first.client.publishAsync("wms/orders/hq-mo-8", JSON.stringify(order(8)), { qos: 1 });
    const before = await until(() => first.seen.find(({ topic }) => topic.startsWith("wms/picks/")));
    silent = true;
    const unacknowledged = await until(() => first.seen.filter(({ topic }) => topic.startsWith("wms/picks/"))[1]);
    await first.client.endAsync(true);
    const again = await listen(wms.url);
    try {
      await until(() => again.seen.some(({ text }) => text === unacknowledged.text));
      await until(() => again.seen.some(({ text }) => text === before.text));
    } finally {
      await again.client.endAsync(true);
    }
  } finally {
    await first.client.endAsync(true);
    await wms.stop();
  }
});
