import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { expect, it } from "vitest";
import { odooKind } from "../../../../gateway/connector/odoo/kind.ts";
import { startErp } from "../../../../packaging/demo/simulators/erp/erp.ts";
import type { OdooConnectorConfig } from "../../../../protocol/index.ts";
import { connectorDeps } from "../../../support/connector-deps.ts";
import { until } from "../../../support/process.ts";
import { RecordingInlet } from "../../../support/recording-inlet.ts";

/** Forwards to the ERP; `before` runs when a call arrives, before it is forwarded. */
async function startRelay(target: string, before: (call: string) => void) {
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("end", async () => {
      before(request.url ?? "");
      const headers = {
        authorization: String(request.headers.authorization),
        "x-odoo-database": String(request.headers["x-odoo-database"]),
        "content-type": "application/json",
      };
      const answer = await fetch(new URL(request.url ?? "", target), { method: "POST", headers, body: Buffer.concat(chunks) });
      response.writeHead(answer.status, { "content-type": answer.headers.get("content-type") ?? "" }).end(await answer.text());
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

it("releases no revision that is half of one state of the order and half of the next", async () => {
  const erp = await startErp();
  const order = erp.createOrder({ plant: "LYO", item: "FG-HSG", quantity: 100 });
  let changes = 1;
  await using relay = await startRelay(erp.url, (call) => {
    // the order's own row was read already
    if (call.includes("mrp.workorder") && changes-- > 0) erp.changeQuantity(order.id, 60);
  });
  const inlet = new RecordingInlet();
  const config: OdooConnectorConfig = {
    type: "odoo",
    url: relay.url,
    database: erp.database,
    apiKey: { secret: "erp" },
    erp: "hq",
    warehouses: ["LYO", "POR"],
    units: { Units: "C62", kg: "KGM" },
    every: "100ms",
    timeout: "10s",
    settle: "15s",
  };
  const deps = connectorDeps({
    name: "erp",
    config,
    inlet,
    secrets: { erp: erp.apiKey },
    wiring: { sources: [{ flow: "release", source: "production-order.released", overlap: "5m" }] },
  });
  const connector = odooKind.create(deps);
  const stopping = new AbortController();
  try {
    await connector.start(stopping.signal);
    const released = await until(
      () =>
        inlet.accepted.map(
          (input) =>
            input.decoded as { revision: number; quantity: { value: string }; components: { quantity: { value: string } }[] },
        ),
      (found) => found.length > 0,
    );
    expect(changes).toBeLessThan(1);
    const whole = erp.createOrder({ plant: "LYO", item: "FG-HSG", quantity: 60 });
    const all = await until(
      () => inlet.accepted.map((input) => input.decoded as (typeof released)[number] & { moId: string }),
      (found) => found.some(({ moId }) => moId === whole.moId),
    );
    const [first, other] = [all.find(({ moId }) => moId === order.moId), all.find(({ moId }) => moId === whole.moId)];
    expect(all.filter(({ moId }) => moId === order.moId)).toHaveLength(1);
    expect(first).toMatchObject({ revision: 1, quantity: { value: "60" } });
    expect(first!.components.map(({ quantity }) => quantity.value)).toEqual(
      other!.components.map(({ quantity }) => quantity.value),
    );
  } finally {
    stopping.abort();
    await connector.stop();
    await erp.stop();
  }
});
