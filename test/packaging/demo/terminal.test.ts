import { createServer, type Server } from "node:net";
import { Aedes, type AedesPublishPacket } from "aedes";
import { expect, it } from "vitest";
import { startDevices } from "../../../packaging/demo/simulators/device.ts";
import type { PickFact } from "../../../packaging/demo/simulators/entry.ts";
import { shopOrder } from "../../../packaging/demo/simulators/shop-order.ts";
import { startTerminals } from "../../../packaging/demo/simulators/terminal.ts";
import { entriesOf, order, temporaryFolder, until } from "./systems.ts";

interface TestBroker {
  readonly url: string;
  readonly port: number;
  readonly got: { topic: string; text: string; qos: number }[];
  stop(): Promise<void>;
}

/** `deaf`: takes messages and never acknowledges them, as a broker does whose disk hangs. */
async function startBroker(options: { port?: number; deaf?: () => boolean } = {}): Promise<TestBroker> {
  const broker = await Aedes.createBroker();
  const got: TestBroker["got"] = [];
  broker.authorizePublish = (_client, packet, done) => {
    got.push({ topic: packet.topic, text: packet.payload.toString(), qos: (packet as AedesPublishPacket).qos });
    if (!options.deaf?.()) done(null);
  };
  const server: Server = createServer(broker.handle);
  await new Promise<void>((resolve) => server.listen(options.port ?? 0, "127.0.0.1", resolve));
  const { port } = server.address() as { port: number };
  return {
    url: `mqtt://127.0.0.1:${port}`,
    port,
    got,
    stop: async () => {
      await new Promise<void>((resolve) => broker.close(() => resolve()));
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
}

const picks: readonly PickFact[] = [
  {
    fact: "pick",
    txn: "T-1",
    task: "PK-1",
    order: "hq-mo-6",
    lines: [{ no: 1, sku: "RM-ALU", lot: "L-2291", qty: "12.5", uom: "KGM", sscc: "340123450000000018" }],
  },
];

it("reports a part, scrap and the rest in order, good pieces at QoS 2 and scrap at QoS 1", async () => {
  using folder = temporaryFolder();
  const broker = await startBroker();
  const completed: string[] = [];
  const terminals = await startTerminals({
    brokerUrl: broker.url,
    username: "terminal",
    password: "secret",
    lines: ["LINE-1", "LINE-2"],
    plantDigit: 1,
    workMs: 1,
    logFile: folder.file("terminals.jsonl"),
    completed: (id) => completed.push(id),
  });
  try {
    terminals.picked(shopOrder.parse(order(6)), picks);
    await until(() => completed.includes("hq-mo-6"));
  } finally {
    await terminals.stop();
    await broker.stop();
  }
  expect(broker.got.map(({ topic, qos }) => [topic.split("/")[2], qos])).toEqual([
    ["finished", 2],
    ["scrap", 1],
    ["finished", 2],
  ]);
  const [part, , rest] = broker.got.map(({ text }) => JSON.parse(text));
  expect([part.good, part.final, rest.good, rest.final]).toEqual(["50", false, "50", true]);
  expect([part.consumed[0].qty, rest.consumed[0].qty]).toEqual(["6.25", "6.21"]);
  expect(entriesOf(folder.file("terminals.jsonl")).map(({ kind }) => kind)).toEqual([
    "sending",
    "acked",
    "sending",
    "acked",
    "sending",
    "acked",
  ]);
});

it("sends a report that was not acknowledged again with its txn, before any later one, when the gateway is back", async () => {
  using folder = temporaryFolder();
  const first = await startBroker({ deaf: () => true });
  const terminals = await startTerminals({
    brokerUrl: first.url,
    username: "terminal",
    password: "secret",
    lines: ["LINE-1"],
    plantDigit: 1,
    workMs: 1,
    logFile: folder.file("terminals.jsonl"),
  });
  try {
    terminals.picked(shopOrder.parse(order(6)), picks);
    const unanswered = await until(() => first.got[0]);
    await first.stop();
    const second = await startBroker({ port: first.port });
    try {
      await until(() => terminals.status().acked === 3);
      expect(second.got[0]!.text).toBe(unanswered.text);
      expect(new Set(second.got.map(({ text }) => JSON.parse(text).txn)).size).toBe(3);
    } finally {
      await terminals.stop();
      await second.stop();
    }
  } finally {
    await terminals.stop();
    await first.stop();
  }
});

it("gives each sample of a device a stamp of its own, and notes which were acknowledged", async () => {
  using folder = temporaryFolder();
  const broker = await startBroker();
  const devices = await startDevices({
    brokerUrl: broker.url,
    username: "devices",
    password: "secret",
    lines: ["LINE-1"],
    count: 3,
    samplesPerSecond: 100,
    logFile: folder.file("devices.jsonl"),
  });
  try {
    await until(() => devices.status().acked >= 30);
    devices.quiet();
    await until(() => devices.status().open === 0);
  } finally {
    await devices.stop();
    await broker.stop();
  }
  const entries = entriesOf(folder.file("devices.jsonl"));
  const samples = entries.flatMap((entry) => (entry.kind === "sample" ? [`${entry.device} ${entry.sampleAt}`] : []));
  const acked = entries.flatMap((entry) => (entry.kind === "sample-acked" ? [`${entry.device} ${entry.sampleAt}`] : []));
  expect(new Set(samples).size).toBe(samples.length);
  expect(new Set(acked)).toEqual(new Set(samples));
});
