import { readFileSync } from "node:fs";
import { join } from "node:path";
import { connectAsync, type MqttClient } from "mqtt";
import { describe, expect, it } from "vitest";
import type { MessagesAnswer } from "../../central/http/views.ts";
import { pickPayload, plantDocuments, shortagePayload } from "../support/documents.ts";
import { freePort, startMosquitto } from "../support/mosquitto.ts";
import { until } from "../support/process.ts";
import { requireService } from "../support/services.ts";
import { parseStrace } from "../support/strace-log.ts";
import { checkSyscallOrder, type OrderReport, straceFlags } from "../support/syscall-order.ts";
import { openSystem, reported } from "../support/system.ts";

const strace = await requireService("strace");
const eatmydata = await requireService("eatmydata");
const secrets = { terminal: "floor-password" };
// the traced process itself runs without flushes, strace and the test do not
const withoutFlush = ["-E", "LD_PRELOAD=libeatmydata.so"];

function finished(txn: string): string {
  return JSON.stringify({
    txn,
    order: "hq-mo-42",
    item: "FG-HSG",
    lot: "B-117",
    good: "50",
    uom: "C62",
    final: false,
    consumed: [{ no: 1, item: "RM-ALU", lot: "L-2291", qty: "6.25", uom: "KGM" }],
    at: "2026-11-24T08:00:00.000Z",
  });
}

/** strace ends with what it traces; strace itself would leave it running. */
function endTraced(pid: unknown): void {
  process.kill(Number(pid), "SIGTERM");
}

/** Each way in, one message at a time, so that every acknowledgement has a flush of its own. */
async function runGateway(flags: readonly string[]): Promise<{ order: OrderReport; sent: number }> {
  await using broker = await startMosquitto();
  await using system = openSystem();
  const floorPort = await freePort();
  const central = await system.central();
  const log = join(system.folder, "gateway.strace");
  const lyon = await system.gateway("lyon", central, { secrets });
  await reported(central, "lyon", await central.push("lyon", plantDocuments({ site: "lyon", wmsUrl: broker.url, floorPort })));
  await lyon.process.kill("SIGTERM");
  const traced = await lyon.restart({ wrapper: [strace as string, ...straceFlags(log), ...flags] });
  const clients: MqttClient[] = [];
  let sent = 0;
  try {
    const terminal = await connectAsync(`mqtt://127.0.0.1:${floorPort}`, { username: "terminal", password: secrets.terminal });
    const wms = await connectAsync(broker.url, { clientId: "wms" });
    clients.push(terminal, wms);
    await traced.process.logged("mqtt.session.started");
    for (let round = 0; round < 5; round++) {
      await terminal.publishAsync("floor/L1/finished", finished(`F1-${round}`), { qos: 1 });
      await terminal.publishAsync("floor/L1/finished", finished(`F2-${round}`), { qos: 2 });
      expect(
        (await fetch(`${traced.url}/in/hooks/shortages`, { method: "POST", body: shortagePayload(`S-${round}`) })).status,
      ).toBe(202);
      await wms.publishAsync("wms/picks/PK-7/confirmed", pickPayload({ txn: `T-${round}` }), { qos: 1 });
      sent += 4;
      await until(
        async () => (await central.get<MessagesAnswer>("/v1/messages?type=mfg.pick.confirmed.v1")).messages.length,
        (count) => count === round + 1,
      );
    }
  } finally {
    for (const client of clients) await client.endAsync(true);
  }
  endTraced((await traced.process.logged("gateway.process.started")).pid);
  await traced.process.ended;
  return { order: checkSyscallOrder(parseStrace(readFileSync(log, "utf8")), lyon.dataDir, /^\/in\//), sent };
}

async function runCentral(flags: readonly string[]): Promise<OrderReport> {
  await using system = openSystem();
  const log = join(system.folder, "central.strace");
  const central = await system.central({ wrapper: [strace as string, ...straceFlags(log), ...flags] });
  const lyon = await system.gateway("lyon", central, { secrets });
  await reported(
    central,
    "lyon",
    await central.push("lyon", plantDocuments({ site: "lyon", wmsUrl: "mqtt://127.0.0.1:9", floorPort: await freePort() })),
  );
  for (let round = 0; round < 5; round++) {
    await fetch(`${lyon.url}/in/hooks/shortages`, { method: "POST", body: shortagePayload(`S-${round}`) });
    await until(
      async () => (await central.get<MessagesAnswer>("/v1/messages?type=mfg.shortage.reported.v1")).messages.length,
      (count) => count === round + 1,
    );
  }
  const started = await central.process.logged("central.process.started");
  endTraced(started.pid);
  await central.process.ended;
  return checkSyscallOrder(parseStrace(readFileSync(log, "utf8")), central.dataDir, /\/batches$/);
}

describe.skipIf(!strace)("acknowledged means on disk, by the order of system calls", () => {
  it("flushes before PUBACK, PUBREC and 2xx leave the gateway", async () => {
    const { order, sent } = await runGateway([]);
    expect(order.violations).toEqual([]);
    expect(order.checked).toBeGreaterThanOrEqual(sent);
  });

  it.skipIf(!eatmydata)("is found out when the gateway's flushes are taken away", async () => {
    const { order, sent } = await runGateway(withoutFlush);
    expect(order.violations.length).toBeGreaterThanOrEqual(sent);
    const kinds = new Set(order.violations.map(({ acknowledgement }) => acknowledgement.split(" ")[0]));
    expect(kinds).toEqual(new Set(["PUBACK", "PUBREC", "HTTP"]));
  });

  it("flushes before the watermark leaves central", async () => {
    const order = await runCentral([]);
    expect(order.violations).toEqual([]);
    expect(order.checked).toBeGreaterThanOrEqual(5);
  });

  it.skipIf(!eatmydata)("is found out when central's flushes are taken away", async () => {
    const order = await runCentral(withoutFlush);
    expect(order.violations.length).toBeGreaterThanOrEqual(5);
  });
});
