import { expect, it } from "vitest";
import type { Outbound } from "../../../gateway/connector/connector.ts";
import { temporaryFolder } from "../../support/folder.ts";
import { bundleOf, openParts, type Parts } from "../../support/gateway-parts.ts";
import { until } from "../../support/process.ts";
import { deliveries } from "../../support/queue-on-disk.ts";
import { answered, endings, order, orderOf, post, receive, withDestinations } from "./harness.ts";

it("flushes the intent before a receiver whose repeat is not harmless is called", async () => {
  const states: (string | undefined)[] = [];
  const open: { parts?: Parts } = {};
  const receiver = {
    deliver: () => {
      states.push(deliveries(open.parts!)[0]?.state);
      return { kind: "done" as const };
    },
  };
  await using parts = await openParts({ receivers: { scheduler: receiver } });
  open.parts = parts;
  await parts.apply(await bundleOf(withDestinations([post("checkable")]), "lyon"));
  await receive(parts, [order(1)]);
  await until(
    () => endings(parts),
    (found) => found.length === 1,
  );
  expect(states).toEqual(["intent"]);
});

it("asks a checkable receiver after an unknown outcome, and does not send again what it has", async () => {
  const receiver = {
    deliver: () => ({ kind: "unknown" as const, reason: "no answer" }),
    verify: () => ({ kind: "done" as const, detail: "found" }),
  };
  await using parts = await openParts({ receivers: { scheduler: receiver } });
  await parts.apply(await bundleOf(withDestinations([post("checkable")]), "lyon"));
  await receive(parts, [order(1)]);
  await until(
    () => endings(parts),
    (found) => found.length === 1,
  );
  expect(endings(parts)).toEqual(["delivered"]);
  expect(parts.connector("scheduler").attempts).toHaveLength(1);
});

it("sends again what a checkable receiver does not have", async () => {
  const receiver = {
    deliver: (_message: Outbound, attempt: number) =>
      attempt === 1 ? { kind: "unknown" as const, reason: "no answer" } : { kind: "done" as const },
    verify: () => ({ kind: "not-done" as const }),
  };
  await using parts = await openParts({ receivers: { scheduler: receiver } });
  await parts.apply(await bundleOf(withDestinations([post("checkable")]), "lyon"));
  await receive(parts, [order(1)]);
  await until(
    () => endings(parts),
    (found) => found.length === 1,
  );
  expect(parts.connector("scheduler").attempts).toHaveLength(2);
});

it("shows an unknown outcome to a person and holds its key, but no other, where nobody can tell", async () => {
  const receiver = {
    deliver: (message: Outbound) =>
      orderOf(message) === "hq-mo-1/1" ? { kind: "unknown" as const, reason: "no answer" } : { kind: "done" as const },
  };
  await using parts = await openParts({ receivers: { scheduler: receiver } });
  await parts.apply(await bundleOf(withDestinations([post("once")]), "lyon"));
  await receive(parts, [order(1, 1), order(1, 2), order(2)]);
  await until(
    () => endings(parts),
    (found) => found.length === 2,
  );
  expect(endings(parts).toSorted()).toEqual(["delivered", "unknown"]);
  expect(deliveries(parts)).toMatchObject([
    { key: "hq-mo-1", state: "unknown" },
    { key: "hq-mo-1", state: "waiting" },
  ]);
  expect(parts.connector("scheduler").attempts.map(orderOf).toSorted()).toEqual(["hq-mo-1/1", "hq-mo-2/1"]);
});

it("checks an intent that was left by a crash before anything is sent again", async () => {
  using folder = temporaryFolder();
  const bundle = await bundleOf(withDestinations([post("checkable")]), "lyon");
  const calls: string[] = [];
  {
    const never = new Promise<never>(() => {});
    const before = await openParts({ folder: folder.path, receivers: { scheduler: { deliver: () => never } } });
    await before.apply(bundle);
    await receive(before, [order(1)]);
    await until(
      () => deliveries(before),
      (found) => found[0]?.state === "intent",
    );
    // as a crash would: nothing more is written, the outcome is never known
    await before.queue.close();
  }
  const receiver = {
    deliver: () => {
      calls.push("deliver");
      return { kind: "done" as const };
    },
    verify: () => {
      calls.push("verify");
      return { kind: "not-done" as const };
    },
  };
  await using after = await openParts({ folder: folder.path, receivers: { scheduler: receiver } });
  await after.apply(bundle);
  await until(
    () => endings(after),
    (found) => found.length === 1,
  );
  expect(calls).toEqual(["verify", "deliver"]);
});

it("flushes the intent before a message that awaits an answer is sent where a repeat is not harmless", async () => {
  const states: (string | undefined)[] = [];
  const open: { parts?: Parts } = {};
  const receiver = {
    deliver: () => {
      states.push(deliveries(open.parts!)[0]?.state);
      return { kind: "done" as const };
    },
  };
  await using parts = await openParts({ receivers: { wms: receiver } });
  open.parts = parts;
  await parts.apply(await bundleOf(withDestinations([{ ...answered(), effect: "once" }]), "lyon"));
  await receive(parts, [order(1)]);
  await until(
    () => states.length,
    (count) => count === 1,
  );
  expect(states).toEqual(["intent"]);
});
