import { expect, it } from "vitest";
import { Configuration } from "../../../gateway/agent/configuration.ts";
import { Changeover } from "../../../gateway/flow/changeover.ts";
import { openLogger } from "../../../gateway/telemetry/logger.ts";
import { type Bundle, type ConnectorConfig, type Document, makeEvent } from "../../../protocol/index.ts";
import { orderPayload, plantDocuments } from "../../support/documents.ts";
import { bundleOf, openParts, type Parts } from "../../support/gateway-parts.ts";
import { until } from "../../support/process.ts";

/** Each revision changes the warehouse's and the scheduler's connector; the floor's stays. */
function revision(of: number): Promise<Bundle> {
  const documents: Document[] = plantDocuments({ site: "lyon", wmsUrl: `mqtt://127.0.0.1:${of}` });
  const spec = documents[0]!.spec as { flows: Record<string, Record<string, unknown>>; connectors: Record<string, unknown> };
  spec.connectors.scheduler = { type: "http", url: `http://127.0.0.1:${of}` };
  spec.flows.orders = {
    ...spec.flows.orders,
    to: [{ connector: "scheduler", post: `/orders/${of}`, effect: "idempotent" }],
  };
  return bundleOf(documents, "lyon", of);
}
const urlOf = (config: ConnectorConfig): string => ("url" in config ? (config.url ?? "") : "");
const running = (parts: Parts): string[] =>
  ["wms", "scheduler"].map((name) => urlOf(parts.connector(name).deps.config).slice(-1));

it("runs the earlier configuration whole when a connector of a new one cannot start", async () => {
  const start = (config: ConnectorConfig): void => {
    if (urlOf(config).endsWith(":2")) throw new TypeError("no such route");
  };
  await using parts = await openParts({ receivers: { scheduler: { start, deliver: () => ({ kind: "done" }) } } });
  await parts.apply(await revision(1));
  const floor = parts.connector("floor");

  await expect(parts.apply(await revision(2))).rejects.toMatchObject({
    code: "CONFIG_INVALID",
    message: expect.stringContaining("scheduler"),
  });
  expect(running(parts)).toEqual(["1", "1"]);
  expect([parts.connector("floor"), floor.stops]).toEqual([floor, 0]);
  const origin = { id: "event-1", site: "hq", connector: "erp", recordedAt: 0 };
  const order = makeEvent("production-order.released", orderPayload({ id: 1 }), origin);
  await parts.queue.commit({ messages: [{ lane: "inbound", line: JSON.stringify(order) }] });
  const [sent] = await until(
    () => parts.connector("scheduler").attempts,
    (attempts) => attempts.length > 0,
  );
  expect(sent).toMatchObject({ kind: "post", path: "/orders/1" });

  // given again it is refused again, and never taken for one that runs already
  await expect(parts.apply(await revision(2))).rejects.toMatchObject({ code: "CONFIG_INVALID" });
  await parts.apply(await revision(3));
  expect(running(parts)).toEqual(["3", "3"]);
  expect([parts.connector("floor"), floor.starts, floor.stops]).toEqual([floor, 1, 0]);
});

it("runs all but one connector of the earlier configuration when that one cannot start any more", async () => {
  let broken = false;
  const start = (): void => {
    if (broken) throw new TypeError("broken");
  };
  await using parts = await openParts({ receivers: { scheduler: { start, deliver: () => ({ kind: "done" }) } } });
  await parts.apply(await revision(1));
  broken = true;
  await expect(parts.apply(await revision(2))).rejects.toMatchObject({ code: "CONFIG_INVALID" });
  expect(running(parts)[0]).toBe("1");
  expect(parts.host.reports().find(({ name }) => name === "scheduler")).toMatchObject({
    state: "down",
    reason: expect.stringContaining("broken"),
  });
});

it("is in effect again after its secrets changed, also where a connector could not be stopped cleanly", async () => {
  const settled: boolean[] = [];
  let fails = false;
  const applied: number[] = [];
  const changeover = new Changeover();
  const configuration = new Configuration({
    parts: [],
    host: {
      retire: async () => {
        if (fails) {
          fails = false;
          throw new TypeError("not stopped");
        }
      },
      apply: async ({ revision: number }: Bundle) => void applied.push(number),
      resume: async () => {},
    },
    dispatcher: { configure: () => {}, suspend: () => {} },
    changeover,
    log: openLogger({ level: "silent" as never, site: "lyon" }),
    onSettled: (is) => settled.push(is),
  });
  await configuration.apply(await revision(1));
  fails = true;
  await configuration.refresh();
  expect(applied).toEqual([1, 1]);
  expect([settled.at(-1), changeover.isUnderWay]).toEqual([true, false]);
});

it("starts with all but the connector that cannot start, and with that one as soon as it can", async () => {
  let broken = true;
  const start = (): void => {
    if (broken) throw new TypeError("broken");
  };
  await using parts = await openParts({ receivers: { scheduler: { start, deliver: () => ({ kind: "done" }) } } });
  await parts.restore(await revision(1));
  const report = () => parts.host.reports().find(({ name }) => name === "scheduler");
  expect([parts.connector("wms").starts, report()?.state]).toEqual([1, "down"]);
  const origin = { id: "event-1", site: "hq", connector: "erp", recordedAt: 0 };
  const order = makeEvent("production-order.released", orderPayload({ id: 1 }), origin);
  await parts.queue.commit({ messages: [{ lane: "inbound", line: JSON.stringify(order) }] });
  broken = false;
  await until(
    () => parts.connector("scheduler").attempts,
    (attempts) => attempts.length === 1,
  );
  expect(report()?.state).toBe("up");
});
