import { expect, it } from "vitest";
import type { Outbound } from "../../../gateway/connector/connector.ts";
import { PlantgateError } from "../../../protocol/index.ts";
import { paced } from "../../support/clock.ts";
import { temporaryFolder } from "../../support/folder.ts";
import { bundleOf, openParts } from "../../support/gateway-parts.ts";
import { until } from "../../support/process.ts";
import { deadLetters, deliveries } from "../../support/queue-on-disk.ts";
import { answered, endings, order, orderOf, post, receive, withDestinations } from "./harness.ts";

it("tells central how a delivery ended, in the transaction that removes it", async () => {
  await using parts = await openParts();
  await parts.apply(await bundleOf(withDestinations([post("idempotent")]), "lyon"));
  await receive(parts, [order(42)]);
  await until(
    () => endings(parts),
    (found) => found.length === 1,
  );
  expect(endings(parts)).toEqual(["delivered"]);
  expect(deliveries(parts)).toEqual([]);
});

it("keeps the order of a key while it is tried again, and lets other keys pass", async () => {
  const seen: string[] = [];
  const receiver = {
    deliver: (message: Outbound, attempt: number) => {
      if (message.key === "hq-mo-1" && attempt < 4) return { kind: "retry" as const, reason: "away", afterMs: 20 };
      seen.push(orderOf(message));
      return { kind: "done" as const };
    },
  };
  await using parts = await openParts({ receivers: { scheduler: receiver } });
  await parts.apply(await bundleOf(withDestinations([post("idempotent")]), "lyon"));
  await receive(parts, [order(1, 1), order(1, 2), order(2, 1), order(1, 3)]);
  await until(
    () => seen.length,
    (count) => count === 4,
  );
  expect(seen.filter((order) => order.startsWith("hq-mo-1"))).toEqual(["hq-mo-1/1", "hq-mo-1/2", "hq-mo-1/3"]);
  expect(seen[0]).toBe("hq-mo-2/1");
});

it("keeps a refused message as a dead letter with the receiver's reason, and the key goes on", async () => {
  const receiver = {
    deliver: (message: Outbound) =>
      orderOf(message) === "hq-mo-1/1" ? { kind: "refused" as const, reason: "unknown item" } : { kind: "done" as const },
  };
  await using parts = await openParts({ receivers: { scheduler: receiver } });
  await parts.apply(await bundleOf(withDestinations([post("idempotent")]), "lyon"));
  await receive(parts, [order(1, 1), order(1, 2)]);
  await until(
    () => endings(parts),
    (found) => found.length === 2,
  );
  expect(endings(parts)).toEqual(["refused", "delivered"]);
  expect(deadLetters(parts)).toMatchObject([
    { direction: "out", code: "PEER_REFUSED", reason: "unknown item", connector: "scheduler", place: "POST /orders" },
  ]);
});

it("waits for the receiver's own yes, and takes one that comes before the transport's acknowledgement", async () => {
  const early: { say?: () => Promise<unknown> } = {};
  const receiver = {
    deliver: async () => {
      await early.say?.();
      return { kind: "done" as const };
    },
  };
  await using parts = await openParts({ receivers: { wms: receiver } });
  await parts.apply(await bundleOf(withDestinations([answered()]), "lyon"));
  const answer = (payload: object) =>
    parts.connector("wms").inlet.accept([
      {
        origin: { kind: "topic", topic: "wms/orders/hq-mo-1/ack", retained: false },
        body: Buffer.from(JSON.stringify(payload)),
        receivedAt: 1,
      },
    ]);
  early.say = () => answer({ order: "hq-mo-1", revision: 1, accepted: true });
  await receive(parts, [order(1, 1)]);
  await until(
    () => endings(parts),
    (found) => found.length === 1,
  );
  early.say = undefined;
  await receive(parts, [order(1, 2)]);
  await until(
    () => deliveries(parts),
    (found) => found[0]?.state === "sent",
  );
  await answer({ order: "hq-mo-1", revision: 1, accepted: true });
  expect(deliveries(parts)).toHaveLength(1);
  await answer({ order: "hq-mo-1", revision: 2, accepted: false, reason: "unknown item RM-ALU" });
  expect(endings(parts)).toEqual(["accepted", "refused"]);
  expect(deadLetters(parts)).toMatchObject([{ reason: "unknown item RM-ALU" }]);
});

it("sends again what its receiver did not answer in time", async () => {
  await using parts = await openParts({ receivers: { wms: { deliver: () => ({ kind: "done" }) } } });
  await parts.apply(await bundleOf(withDestinations([answered("100ms")]), "lyon"));
  await receive(parts, [order(1)]);
  await until(
    () => parts.connector("wms").attempts.length,
    (count) => count >= 2,
  );
  expect(endings(parts)).toEqual([]);
});

it("takes the answer after a restart to what was sent before it", async () => {
  using folder = temporaryFolder();
  const bundle = await bundleOf(withDestinations([answered()]), "lyon");
  {
    await using before = await openParts({ folder: folder.path });
    await before.apply(bundle);
    await receive(before, [order(1)]);
    await until(
      () => deliveries(before),
      (found) => found[0]?.state === "sent",
    );
  }
  await using after = await openParts({ folder: folder.path });
  await after.apply(bundle);
  const body = Buffer.from(JSON.stringify({ order: "hq-mo-1", revision: 1, accepted: true }));
  await after
    .connector("wms")
    .inlet.accept([{ origin: { kind: "topic", topic: "wms/orders/hq-mo-1/ack", retained: false }, body, receivedAt: 1 }]);
  expect(endings(after)).toEqual(["accepted"]);
  expect(after.connector("wms").attempts).toEqual([]);
});

it("restarts only the connectors that a new bundle changes", async () => {
  await using parts = await openParts();
  const documents = withDestinations([post("idempotent")]);
  await parts.apply(await bundleOf(documents, "lyon"));
  const [wms, scheduler] = [parts.connector("wms"), parts.connector("scheduler")];
  const changed = structuredClone(documents);
  const spec = changed[0]!.spec as unknown as { flows: { picks: { map: string } }; connectors: { scheduler: { url: string } } };
  spec.flows.picks.map = spec.flows.picks.map.replace("payload.operator", '"somebody"');
  spec.connectors.scheduler.url = "http://127.0.0.1:2";
  await parts.apply(await bundleOf(changed, "lyon", 2));
  expect(parts.connector("wms")).toBe(wms);
  expect(wms).toMatchObject({ starts: 1, stops: 0 });
  expect(parts.connector("scheduler")).not.toBe(scheduler);
  expect(scheduler.stops).toBe(1);
});

it("delivers what came from central before the first configuration was in effect", async () => {
  await using parts = await openParts();
  await receive(parts, [order(1)]);
  await parts.apply(await bundleOf(withDestinations([post("idempotent")]), "lyon"));
  await until(
    () => endings(parts),
    (found) => found.length === 1,
  );
  expect(parts.connector("scheduler").attempts.map(orderOf)).toEqual(["hq-mo-1/1"]);
});

it("keeps what central sent for a flow that is gone as a dead letter", async () => {
  await using parts = await openParts();
  const documents = withDestinations([post("idempotent")]);
  delete (documents[0]!.spec as unknown as { flows: Record<string, unknown> }).flows.orders;
  await parts.apply(await bundleOf(documents, "lyon"));
  await receive(parts, [order(1)]);
  const [letter] = await until(
    () => deadLetters(parts),
    (found) => found.length === 1,
  );
  expect(letter).toMatchObject({ direction: "out", connector: "central", code: "DESTINATION_INVALID" });
});

it("finds a waiting delivery's destination again when a new configuration has it at another place", async () => {
  const away = { state: "retry" as "retry" | "done" };
  const receiver = {
    deliver: () => (away.state === "retry" ? { kind: "retry" as const, reason: "away", afterMs: 20 } : { kind: "done" as const }),
  };
  await using parts = await openParts({ receivers: { scheduler: receiver } });
  const plain = { connector: "wms", topic: "wms/orders/{data.moId}" };
  await parts.apply(await bundleOf(withDestinations([post("idempotent"), plain]), "lyon"));
  await receive(parts, [order(1)]);
  await until(
    () => parts.connector("scheduler").attempts.length,
    (count) => count >= 1,
  );
  await parts.apply(await bundleOf(withDestinations([plain, post("idempotent")]), "lyon", 2));
  away.state = "done";
  await until(
    () => endings(parts),
    (found) => found.length === 2,
  );
  expect(parts.connector("scheduler").attempts.every((message) => message.kind === "post")).toBe(true);
  expect(parts.connector("wms").attempts.map((message) => message.kind)).toEqual(["topic"]);
});

it("keeps a waiting delivery as a dead letter when its destination is gone", async () => {
  const receiver = { deliver: () => ({ kind: "retry" as const, reason: "away", afterMs: 20 }) };
  await using parts = await openParts({ receivers: { scheduler: receiver } });
  await parts.apply(await bundleOf(withDestinations([post("idempotent")]), "lyon"));
  await receive(parts, [order(1)]);
  await until(
    () => deliveries(parts).length,
    (count) => count === 1,
  );
  await parts.apply(await bundleOf(withDestinations([{ connector: "scheduler", post: "/elsewhere" }]), "lyon", 2));
  const [letter] = await until(
    () => deadLetters(parts),
    (found) => found.length === 1,
  );
  expect(letter).toMatchObject({ code: "DESTINATION_INVALID", place: "POST /orders" });
});

it("says of what may have arrived that nobody knows, not that it was refused, when its destination is gone", async () => {
  // the answer never comes: the new configuration finds an intent
  const receiver = { deliver: () => ({ kind: "unknown" as const, reason: "cut off" }), verify: () => verdict };
  const verdict = { kind: "cannot-tell" as const, reason: "the system is away" };
  await using parts = await openParts({ receivers: { scheduler: receiver, wms: { deliver: () => ({ kind: "done" }) } } });
  await parts.apply(await bundleOf(withDestinations([post("checkable"), answered()]), "lyon"));
  await receive(parts, [order(1), order(1, 2)]);
  await until(
    () => deliveries(parts).map(({ state }) => state),
    (found) => found.includes("intent") && found.includes("sent"),
  );
  await parts.apply(await bundleOf(withDestinations([{ connector: "scheduler", post: "/elsewhere" }]), "lyon", 2));
  await until(
    () => deliveries(parts).map(({ state }) => state),
    (found) => found.filter((state) => state === "unknown").length === 2,
  );
  expect(endings(parts).toSorted()).toEqual(["unknown", "unknown"]);
  expect(deadLetters(parts)).toEqual([]);
});

it("tries a receiver that is reported as away from time to time, and all that waits once it is back", async () => {
  const state = { report: "up" as "up" | "down" };
  const receiver = {
    report: () => state.report,
    deliver: () => {
      if (state.report === "up") return { kind: "done" as const };
      // nothing but a delivery that gets through shows that it is back
      state.report = "up";
      return { kind: "done" as const };
    },
  };
  await using parts = await openParts({ receivers: { scheduler: receiver }, clock: paced(20) });
  await parts.apply(await bundleOf(withDestinations([post("idempotent")]), "lyon"));
  state.report = "down";
  await receive(parts, [order(1), order(2), order(3)]);
  await until(
    () => endings(parts),
    (found) => found.length === 3,
  );
});

it("takes an answer that is offered again after it could not be noted the first time", async () => {
  await using parts = await openParts({ receivers: { wms: { deliver: () => ({ kind: "done" }) } } });
  await parts.apply(await bundleOf(withDestinations([answered()]), "lyon"));
  await receive(parts, [order(1)]);
  await until(
    () => deliveries(parts),
    (found) => found[0]?.state === "sent",
  );
  const commit = parts.queue.commit.bind(parts.queue);
  let full = 2;
  parts.queue.commit = (change) =>
    change.doneDeliveries && full-- > 0 ? Promise.reject(new PlantgateError("QUEUE_FULL", "the disk is full")) : commit(change);
  const body = Buffer.from(JSON.stringify({ order: "hq-mo-1", revision: 1, accepted: true }));
  const origin = { kind: "topic", topic: "wms/orders/hq-mo-1/ack", retained: false } as const;
  await parts.connector("wms").inlet.accept([{ origin, body, receivedAt: 1 }]);
  expect(endings(parts)).toEqual(["accepted"]);
  expect(deliveries(parts)).toEqual([]);
});

it("takes each of two answers of the same value for another delivery, and sends neither again", async () => {
  await using parts = await openParts({ receivers: { wms: { deliver: () => ({ kind: "done" }) } } });
  const to = answered();
  const byOrder = { ...to, accepted: { ...to.accepted, match: ["payload.order"], equals: ["data.moId"] } };
  const documents = withDestinations([byOrder]);
  Object.assign((documents[0]!.spec as { flows: Record<string, object> }).flows.orders!, { order: "none" });
  await parts.apply(await bundleOf(documents, "lyon"));
  await receive(parts, [order(1, 1), order(1, 2)]);
  await until(
    () => deliveries(parts),
    (found) => found.length === 2 && found.every(({ state }) => state === "sent"),
  );
  const origin = { kind: "topic", topic: "wms/orders/hq-mo-1/ack", retained: false } as const;
  const body = Buffer.from(JSON.stringify({ order: "hq-mo-1", accepted: true }));
  const yes = { origin, body, receivedAt: 1 };
  await parts.connector("wms").inlet.accept([yes, yes]);
  expect(endings(parts)).toEqual(["accepted", "accepted"]);
  expect(deliveries(parts)).toEqual([]);
  expect(parts.connector("wms").attempts).toHaveLength(2);
});
