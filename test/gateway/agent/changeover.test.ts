import { expect, it } from "vitest";
import type { Input, Outbound } from "../../../gateway/connector/connector.ts";
import {
  type Bundle,
  type CloudEvent,
  type ConnectorConfig,
  type Document,
  makeEvent,
  type PlantgateError,
} from "../../../protocol/index.ts";
import { orderPayload, pickPayload, plantDocuments } from "../../support/documents.ts";
import { bundleOf, openParts, type Parts } from "../../support/gateway-parts.ts";
import { until } from "../../support/process.ts";
import { deadLetters, deliveries, recorded } from "../../support/queue-on-disk.ts";

type Flows = Record<string, Record<string, unknown>>;

/** A plant whose warehouse's address is another one in each revision, so that its connector is restarted; `change` what else is. */
function revision(of: number, change: (flows: Flows) => void = () => {}): Promise<Bundle> {
  const documents: Document[] = plantDocuments({ site: "lyon", wmsUrl: `mqtt://127.0.0.1:${of}` });
  const spec = documents[0]!.spec as { flows: Flows; connectors: Record<string, unknown> };
  spec.connectors.scheduler = { type: "http", url: "http://127.0.0.1:1" };
  change(spec.flows);
  return bundleOf(documents, "lyon", of);
}
const rename = (from: string, to: string) => (flows: Flows) => {
  flows[to] = flows[from] as Flows[string];
  delete flows[from];
};
const toScheduler = (...to: object[]) => {
  return (flows: Flows): void => {
    flows.orders = { ...flows.orders, to: to.map((each) => ({ connector: "scheduler", effect: "idempotent", ...each })) };
  };
};
/** The test's own connector cannot start with the second revision, after `meanwhile`. */
const refusing = (meanwhile: () => unknown) => ({
  deliver: () => ({ kind: "done" as const }),
  start: async (config: ConnectorConfig): Promise<void> => {
    if (!("url" in config) || !config.url?.endsWith(":2")) return;
    await meanwhile();
    throw new TypeError("no such route");
  },
});

const order = (id: number): CloudEvent =>
  makeEvent("production-order.released", orderPayload({ id }), {
    id: `event-${id}`,
    site: "hq",
    connector: "erp",
    recordedAt: 0,
  });
const receive = (parts: Parts, count: number) =>
  parts.queue.commit({
    messages: Array.from({ length: count }, (_, id) => ({ lane: "inbound" as const, line: JSON.stringify(order(id)) })),
  });
const finishedInput = (txn: string): Input => ({
  origin: { kind: "topic", topic: "floor/press-7/finished", retained: false },
  body: Buffer.from(
    JSON.stringify({
      ...{ txn, order: "hq-mo-1", item: "FG-HSG", lot: "L1", good: "1", uom: "C62", final: false },
      ...{ at: "2026-11-24T08:00:00.000Z", consumed: [{ no: 1, item: "RM-ALU", lot: "L", qty: "1", uom: "KGM" }] },
    }),
  ),
  receivedAt: 1,
});
const finished = (parts: Parts, txn: string) => parts.connector("floor").inlet.accept([finishedInput(txn)]);
const pick = (parts: Parts, txn: string) =>
  parts.connector("wms").inlet.accept([
    {
      origin: { kind: "topic", topic: "wms/picks/7/confirmed", retained: false },
      body: Buffer.from(pickPayload({ txn })),
      receivedAt: 1,
    },
  ]);

it("keeps a recorded message of a flow that is gone as a dead letter, where it may have been meant for a local system", async () => {
  await using parts = await openParts();
  const picks = (flows: Flows): void => {
    flows.picks = { ...flows.picks, to: [{ central: true }, { connector: "scheduler", post: "/picks" }] };
  };
  await parts.apply(await revision(1, picks));
  await pick(parts, "1");
  await until(
    () => parts.connector("scheduler").attempts.length,
    (count) => count === 1,
  );
  const line = (flow: string): string => JSON.stringify({ ...recorded(parts)[0], id: `of ${flow}`, flow });
  await parts.apply(
    await revision(3, (flows) => {
      rename("picks", "picked")(flows);
      rename("finished", "done")(flows);
    }),
  );
  await parts.queue.commit({
    messages: ["finished", "picks"].map((flow) => ({ lane: "transaction" as const, line: line(flow) })),
  });
  const [letter, ...others] = await until(
    () => deadLetters(parts),
    (found) => found.length > 0,
  );
  expect(letter).toMatchObject({ direction: "out", flow: "picks", code: "DESTINATION_INVALID" });
  expect(Buffer.from(letter!.body).toString()).toContain("of picks");
  expect(others).toEqual([]);
});

it("takes in what comes while a configuration is put in by the one that is in effect in the end", async () => {
  await using parts = await openParts({ receivers: { wms: refusing(() => void taken.push(finished(parts, "2"))) } });
  const taken: Promise<unknown>[] = [];
  await parts.apply(await revision(1));
  await finished(parts, "1");

  // the thread of the expressions has the new flows before anything else knows of them
  const applied = revision(3, rename("finished", "done")).then((bundle) => {
    const applying = parts.apply(bundle);
    taken.push(
      finished(parts, "3"),
      pick(parts, "4").catch(() => {}),
    );
    return applying;
  });
  await applied;
  await expect(parts.apply(await revision(2))).rejects.toMatchObject({ code: "CONFIG_INVALID" });
  await Promise.all(taken);
  expect(deadLetters(parts).map(({ reason }) => reason)).toEqual([]);
  expect(
    recorded(parts)
      .filter(({ type }) => type === "mfg.finished-goods.confirmed.v1")
      .map(({ flow }) => flow),
  ).toEqual(["finished", "done", "done"]);
});

it("makes anew what was made of an input by the configuration before, and was not written yet", async () => {
  await using parts = await openParts();
  await parts.apply(await revision(1));
  const { inlet } = parts.connector("floor");
  const made = await inlet.prepare(finishedInput("1"));
  await parts.apply(await revision(3, rename("finished", "done")));
  await inlet.commit([made]);
  expect(recorded(parts).map(({ flow }) => flow)).toEqual(["done"]);
});

it("acknowledges nothing of a connector that ends with a refused configuration", async () => {
  const taken: Promise<unknown>[] = [];
  await using parts = await openParts({
    receivers: { wms: refusing(() => void taken.push(pick(parts, "1").catch(({ code }: PlantgateError) => code))) },
  });
  await parts.apply(await revision(1));
  await expect(parts.apply(await revision(2))).rejects.toMatchObject({ code: "CONFIG_INVALID" });
  expect(await Promise.all(taken)).toEqual(["STOPPED"]);
  expect(recorded(parts)).toEqual([]);
});

it("gives up nothing that waits because of a configuration that is refused", async () => {
  let up = false;
  const scheduler = {
    deliver: () => (up ? { kind: "done" as const } : { kind: "retry" as const, reason: "busy", afterMs: 1 }),
  };
  // long enough for every delivery to be tried, if any were
  const meanwhile = async (): Promise<void> => {
    for (let asked = 0; asked < 1000 && deadLetters(parts).length === 0; asked++) {
      parts.host.ring(new Set(["scheduler"]));
      await parts.queue.depth();
    }
  };
  await using parts = await openParts({ receivers: { scheduler, wms: refusing(meanwhile) } });
  await parts.apply(await revision(1, toScheduler({ post: "/orders" })));
  await receive(parts, 20);
  await until(
    () => parts.connector("scheduler").attempts.length,
    (count) => count > 20,
  );
  await expect(parts.apply(await revision(2, toScheduler({ post: "/elsewhere" })))).rejects.toMatchObject({
    code: "CONFIG_INVALID",
  });
  expect(deadLetters(parts).map(({ reason }) => reason)).toEqual([]);
  up = true;
  await until(
    () => deliveries(parts),
    (found) => found.length === 0,
  );
  expect(deadLetters(parts).map(({ reason }) => reason)).toEqual([]);
  expect(new Set(parts.connector("scheduler").attempts.map((sent) => sent.kind === "post" && sent.path))).toEqual(
    new Set(["/orders"]),
  );
});

it("sends to each destination its own body, whenever their order changes", async () => {
  const seen = new Set<string>();
  let attempts = 0;
  // long enough for a delivery to be tried, if any were
  const meanwhile = async (): Promise<void> => {
    for (let asked = 0; asked < 1000 && parts.connector("scheduler")?.attempts.length === attempts; asked++)
      await parts.queue.depth();
  };
  const scheduler = {
    deliver: (sent: Outbound) => {
      if (sent.kind === "post") seen.add(`${sent.path} ${Buffer.from(sent.body).toString()}`);
      return { kind: "retry" as const, reason: "busy", afterMs: 1 };
    },
  };
  await using parts = await openParts({ receivers: { scheduler }, meanwhile });
  // a body that is evaluated in the thread of the expressions
  const destination = (name: string) => ({ post: `/${name}`, body: `$uppercase("${name}")` });
  const [first, second] = [destination("orders"), destination("lines")];
  await parts.apply(await revision(1, toScheduler(first, second)));
  await receive(parts, 10);
  for (let turn = 0; turn < 5; turn++) {
    attempts = await until(
      () => parts.connector("scheduler").attempts.length,
      (count) => count > attempts,
    );
    await parts.apply(await revision(1, turn % 2 === 0 ? toScheduler(second, first) : toScheduler(first, second)));
  }
  // that of each key for the second destination waits behind its first
  expect(seen).toEqual(new Set(['/orders "ORDERS"']));
});
