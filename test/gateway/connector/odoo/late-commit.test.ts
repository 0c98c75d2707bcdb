import { describe, expect, it } from "vitest";
import type { Connector, ConnectorDeps, Outbound } from "../../../../gateway/connector/connector.ts";
import { odooKind } from "../../../../gateway/connector/odoo/kind.ts";
import { openLogger } from "../../../../gateway/telemetry/logger.ts";
import { type Clock, makeEvent, type OdooConnectorConfig } from "../../../../protocol/index.ts";
import { freePort } from "../../../support/mosquitto.ts";
import { startScrapServer } from "./scrap-server.ts";

/** Time that passes only where a test says so. */
function handClock() {
  let at = 0;
  const clock: Clock = {
    now: () => 1_790_000_000_000 + at,
    monotonic: () => at,
    sleep: (_ms, signal) => new Promise((resolve) => signal?.addEventListener("abort", () => resolve())),
  };
  return {
    ...clock,
    pass: (ms: number) => {
      at += ms;
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
    settle: "150s",
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
    secrets: () => ["k3y"],
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

const settling = (settlesInMs: number) => ({ reason: expect.stringContaining("may still be at work"), settlesInMs });

describe("a call whose answer was lost while Odoo still worked on it", () => {
  it("is not made again while it may still commit, and is found once it has", async () => {
    await using odoo = await startScrapServer();
    let commit = () => {};
    odoo.onValidate((done) => {
      commit = done;
      return "lose";
    });
    const clock = handClock();
    const connector = connectorOf(odoo.url, clock);
    clock.pass(1_000_000);
    expect(await connector.deliver!(scrap, signal)).toMatchObject({ kind: "unknown" });
    clock.pass(100_000);
    expect(await connector.verify!(scrap, signal)).toEqual({ kind: "cannot-tell", ...settling(50_000) });
    expect(await connector.deliver!({ ...scrap, attempt: 2 }, signal)).toEqual({ kind: "retry", ...settling(50_000) });
    commit();
    expect(await connector.verify!(scrap, signal)).toEqual({ kind: "done", detail: "SP/00001" });
    expect(await connector.deliver!({ ...scrap, attempt: 2 }, signal)).toEqual({ kind: "done", detail: "SP/00001" });
    expect(odoo.validations()).toBe(1);
  });

  it("is made again once Odoo can no longer be at work on it, on the scrap order that is there", async () => {
    await using odoo = await startScrapServer();
    odoo.onValidate(() => "lose");
    const clock = handClock();
    const connector = connectorOf(odoo.url, clock);
    clock.pass(1_000_000);
    expect(await connector.deliver!(scrap, signal)).toMatchObject({ kind: "unknown" });
    clock.pass(149_999);
    expect(await connector.verify!(scrap, signal)).toEqual({ kind: "cannot-tell", ...settling(1) });
    clock.pass(1);
    expect(await connector.verify!(scrap, signal)).toEqual({ kind: "not-done" });
    odoo.onValidate((done) => {
      done();
      return "answer";
    });
    expect(await connector.deliver!({ ...scrap, attempt: 2 }, signal)).toEqual({ kind: "done", detail: "SP/00001" });
    expect(odoo.validations()).toBe(2);
  });

  it("is waited for after a restart as well, when nobody remembers what was sent", async () => {
    await using odoo = await startScrapServer();
    odoo.onValidate(() => "lose");
    expect(await connectorOf(odoo.url, handClock()).deliver!(scrap, signal)).toMatchObject({ kind: "unknown" });
    const clock = handClock();
    const after = connectorOf(odoo.url, clock);
    const again = { ...scrap, attempt: 2, perhapsDone: true } as const;
    expect(await after.verify!(again, signal)).toEqual({ kind: "cannot-tell", ...settling(150_000) });
    expect(await after.deliver!(again, signal)).toEqual({ kind: "retry", ...settling(150_000) });
    clock.pass(150_000);
    expect(await after.verify!(again, signal)).toEqual({ kind: "not-done" });
    expect(odoo.validations()).toBe(1);
  });

  it("is not held against Odoo while it does not answer either", async () => {
    const clock = handClock();
    const connector = connectorOf(`http://127.0.0.1:${await freePort()}`, clock);
    expect(await connector.verify!(scrap, signal)).toMatchObject({ kind: "cannot-tell", settlesInMs: 150_000 });
    clock.pass(150_000);
    expect(await connector.verify!(scrap, signal)).toEqual({
      kind: "cannot-tell",
      reason: expect.stringContaining("no connection"),
    });
  });

  it("delays nothing when no answer was lost, however often it was tried", async () => {
    await using odoo = await startScrapServer();
    const connector = connectorOf(odoo.url, handClock());
    expect(await connector.deliver!({ ...scrap, attempt: 7 }, signal)).toEqual({ kind: "done", detail: "SP/00001" });
  });

  it("delays the order's next message only until it was found", async () => {
    await using odoo = await startScrapServer();
    const connector = connectorOf(odoo.url, handClock());
    odoo.onValidate((done) => {
      done();
      return "lose";
    });
    expect(await connector.deliver!(scrap, signal)).toMatchObject({ kind: "unknown" });
    odoo.onValidate((done) => {
      done();
      return "answer";
    });
    const next = { ...scrap, event: { ...scrap.event, id: "m2", idempotencykey: "S-13", data: { ...data, txnId: "S-13" } } };
    expect(await connector.deliver!(next, signal)).toMatchObject({ kind: "retry", settlesInMs: 150_000 });
    expect(await connector.verify!(scrap, signal)).toMatchObject({ kind: "done" });
    expect(await connector.deliver!(next, signal)).toMatchObject({ kind: "done" });
  });
});
