import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { describe, expect, it } from "vitest";
import type { Connector, ConnectorDeps, Outbound } from "../../../../gateway/connector/connector.ts";
import { odooKind } from "../../../../gateway/connector/odoo/kind.ts";
import { openLogger } from "../../../../gateway/telemetry/logger.ts";
import { type Clock, makeEvent, type OdooConnectorConfig } from "../../../../protocol/index.ts";

/** As much of Odoo as a scrap order needs; `validate` decides what happens to the answer. */
async function startScrapServer() {
  const made: { state: "draft" | "done"; tag: string }[] = [];
  let validations = 0;
  let onValidate: (commit: () => void) => "answer" | "lose" = (commit) => {
    commit();
    return "answer";
  };
  const rows: Record<string, unknown[]> = {
    "mrp.production": [
      {
        id: 4,
        name: "LYO/MO/00004",
        state: "progress",
        product_id: [1, "FG"],
        product_qty: 100,
        product_uom_id: [1, "Units"],
        production_group_id: false,
        backorder_sequence: 0,
        location_src_id: [21, "Pre"],
        location_dest_id: [16, "Stock"],
        warehouse_id: [2, "Lyon"],
        picking_ids: [],
        priority: "0",
        date_deadline: false,
        write_date: "2026-11-24 02:00:00",
      },
    ],
    "product.product": [{ id: 5, default_code: "RM-ALU", uom_id: [16, "kg"], tracking: "none" }],
  };
  const server = createServer((request, response) => {
    let body = "";
    request.on("data", (chunk: Buffer) => {
      body += chunk.toString();
    });
    request.on("end", () => {
      const [model = "", method = ""] = (request.url ?? "").replace("/json/2/", "").split("/");
      const args = JSON.parse(body) as {
        domain?: [string, string, unknown][];
        vals_list?: { message_ids: [0, 0, { message_id: string }][] }[];
        ids?: number[];
      };
      const send = (value: unknown) => response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify(value));
      if (method === "precision_get") return send(2);
      if (model === "mail.message")
        return send(
          made.flatMap((scrap, index) =>
            scrap.tag === args.domain?.[0]?.[2]
              ? [{ id: index + 1, model: "stock.scrap", res_id: index + 1, message_id: scrap.tag }]
              : [],
          ),
        );
      if (model === "stock.scrap" && method === "create") {
        made.push({ state: "draft", tag: args.vals_list![0]!.message_ids[0]![2].message_id });
        return send([made.length]);
      }
      if (model === "stock.scrap" && method === "search_read")
        return send(made.map((scrap, index) => ({ id: index + 1, name: `SP/0000${index + 1}`, state: scrap.state })));
      if (method === "action_validate") {
        validations += 1;
        const verdict = onValidate(() => {
          made[0]!.state = "done";
        });
        return verdict === "answer" ? send(true) : response.destroy();
      }
      return send(rows[model] ?? []);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    validations: () => validations,
    onValidate(decide: typeof onValidate) {
      onValidate = decide;
    },
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

/** Time that passes only by waiting, and tells who waits. */
function steppingClock(onSleep: (ms: number) => void): Clock {
  let at = 0;
  return {
    now: () => 1_790_000_000_000 + at,
    monotonic: () => at,
    async sleep(ms) {
      at += ms;
      onSleep(ms);
    },
  };
}

function connectorOf(url: string, clock: Clock): Connector {
  const config: OdooConnectorConfig = {
    type: "odoo",
    url,
    database: "plant",
    apiKey: { secret: "odoo" },
    erp: "hq",
    warehouses: ["LYO"],
    units: { Units: "C62", kg: "KGM" },
    every: "5s",
    timeout: "60s",
  };
  const deps: ConnectorDeps<OdooConnectorConfig> = {
    site: "hq",
    name: "erp",
    config,
    wiring: { topics: [], answers: [], webhooks: [], polls: [], items: [], sources: [] },
    inlet: {
      accept: () => Promise.reject(new Error("nothing comes in")),
      prepare: () => Promise.reject(new Error("nothing comes in")),
      commit: () => Promise.reject(new Error("nothing comes in")),
      cursor: async () => undefined,
      release: async () => {},
    },
    secret: () => "k3y",
    webhooks: { mount: () => () => {} },
    folder: () => "",
    clock,
    log: openLogger({ level: "silent", site: "hq" }),
  };
  return odooKind.create(deps);
}

const data = {
  txnId: "S-12",
  moId: "hq-mo-4",
  item: "RM-ALU",
  qty: { value: "0.4", unitCode: "KGM", scale: 1 },
  reason: { code: "burr" },
  reportedAt: "2026-11-24T08:00:00.000Z",
};
const scrap: Outbound = {
  kind: "operation",
  operation: "scrap.book",
  event: makeEvent("mfg.scrap.reported.v1", data, { id: "m1", site: "lyon", connector: "floor", recordedAt: 1_790_000_000_000 }),
  key: "hq-mo-4",
  attempt: 1,
};
const signal = new AbortController().signal;

describe("a call whose answer was lost while Odoo still worked on it", () => {
  it("is not made again: the connector waits until it can no longer commit, and asks then", async () => {
    await using odoo = await startScrapServer();
    let commit = () => {};
    odoo.onValidate((done) => {
      commit = done;
      return "lose";
    });
    // Odoo commits while the connector waits
    const connector = connectorOf(
      odoo.url,
      steppingClock(() => commit()),
    );
    expect(await connector.deliver!(scrap, signal)).toMatchObject({ kind: "unknown" });
    expect(await connector.verify!(scrap, signal)).toEqual({ kind: "done", detail: "SP/00001" });
    expect(await connector.deliver!({ ...scrap, attempt: 2 }, signal)).toEqual({ kind: "done", detail: "SP/00001" });
    expect(odoo.validations()).toBe(1);
  });

  it("is made again after that wait when Odoo dropped it, on the scrap order that is there", async () => {
    await using odoo = await startScrapServer();
    const waits: number[] = [];
    odoo.onValidate(() => "lose");
    const connector = connectorOf(
      odoo.url,
      steppingClock((ms) => waits.push(ms)),
    );
    expect(await connector.deliver!(scrap, signal)).toMatchObject({ kind: "unknown" });
    expect(await connector.verify!(scrap, signal)).toEqual({ kind: "not-done" });
    expect(waits).toHaveLength(1);
    odoo.onValidate((done) => {
      done();
      return "answer";
    });
    expect(await connector.deliver!({ ...scrap, attempt: 2 }, signal)).toEqual({ kind: "done", detail: "SP/00001" });
    expect(odoo.validations()).toBe(2);
  });

  it("is waited for after a restart as well, when nobody remembers what was sent", async () => {
    await using odoo = await startScrapServer();
    let commit = () => {};
    odoo.onValidate((done) => {
      commit = done;
      return "lose";
    });
    const before = connectorOf(
      odoo.url,
      steppingClock(() => {}),
    );
    expect(await before.deliver!(scrap, signal)).toMatchObject({ kind: "unknown" });
    const after = connectorOf(
      odoo.url,
      steppingClock(() => commit()),
    );
    expect(await after.deliver!({ ...scrap, attempt: 2 }, signal)).toEqual({ kind: "done", detail: "SP/00001" });
    expect(odoo.validations()).toBe(1);
  });

  it("delays nothing when no answer was lost", async () => {
    await using odoo = await startScrapServer();
    const waits: number[] = [];
    const connector = connectorOf(
      odoo.url,
      steppingClock((ms) => waits.push(ms)),
    );
    expect(await connector.deliver!(scrap, signal)).toEqual({ kind: "done", detail: "SP/00001" });
    expect(waits).toEqual([]);
  });
});
