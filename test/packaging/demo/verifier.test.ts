import { expect, it } from "vitest";
import { temporaryFolder } from "./systems.ts";
import { smallRun, verify } from "./verifier-run.ts";

it("finds nothing in a clean run, counts it, and exits 0", async () => {
  using folder = temporaryFolder();
  const { code, text, result } = await verify(folder.path, smallRun());
  expect(text).not.toMatch(/LOST|DUPLICATE|REORDERED|UNEXPLAINED/);
  expect(code).toBe(0);
  expect(result.business).toEqual({ sent: 20, recorded: 20, delivered: 22, lost: 0, duplicates: 0, reordered: 0 });
  expect(result.samples).toEqual({ accepted: 7, recorded: 7, lost: 0, gaps: 1 });
});

it("names a message that was acknowledged and that central lacks", async () => {
  using folder = temporaryFolder();
  const run = smallRun();
  run.ledger.splice(
    run.ledger.findIndex(({ idempotencykey }) => idempotencykey === "T-22/1"),
    1,
  );
  const { code, text, result } = await verify(folder.path, run);
  expect(code).toBe(1);
  expect(text).toContain("LOST  pick lyon T-22/1  at central: acknowledged to WMS of lyon (wms.jsonl:");
  expect(result.business).toMatchObject({ lost: 1, duplicates: 0, reordered: 0 });
});

it("does not call lost what its sender still holds", async () => {
  using folder = temporaryFolder();
  const run = smallRun();
  run.terminals.push({
    kind: "sending",
    at: "",
    fact: { fact: "scrap", txn: "S-9", order: "hq-mo-2", item: "RM-ALU", lot: "L-2291", qty: "1", uom: "KGM" },
  });
  const { code, text } = await verify(folder.path, run);
  expect(code).toBe(0);
  expect(text).toContain("1 still with their senders");
});

it("calls a message lost whose SSCC was rounded on the way", async () => {
  using folder = temporaryFolder();
  const run = smallRun();
  const pick = run.ledger.find(({ idempotencykey }) => idempotencykey === "T-11/1") as { data: { sscc: string } };
  const sscc = pick.data.sscc;
  pick.data.sscc = sscc.replace(/.$/, "0");
  const { code, text, result } = await verify(folder.path, run);
  expect(code).toBe(1);
  expect(text).toContain(`LOST  pick lyon T-11/1  at central: sscc was sent as ${sscc} and is ${pick.data.sscc}`);
  expect(result.business.lost).toBe(1);
});

it("names a booking that the ERP never made", async () => {
  using folder = temporaryFolder();
  const run = smallRun();
  run.erp.splice(
    run.erp.findIndex(({ txn }) => txn === "F-21"),
    1,
  );
  const { code, text, result } = await verify(folder.path, run);
  expect(code).toBe(1);
  expect(text).toMatch(
    /LOST {2}finished lyon F-21 {2}at ERP: sent by terminals of lyon \(terminals\.jsonl:\d+\) and never took effect/,
  );
  expect(result.business.lost).toBe(1);
});

it("names an effect that was booked twice, with both places", async () => {
  using folder = temporaryFolder();
  const run = smallRun();
  run.erp.push(run.erp.find(({ txn }) => txn === "S-1") ?? {});
  const { code, text, result } = await verify(folder.path, run);
  expect(code).toBe(1);
  expect(text).toMatch(/DUPLICATE {2}scrap lyon S-1 {2}at ERP: took effect at erp\.jsonl:\d+ and again at erp\.jsonl:\d+/);
  expect(result.business).toMatchObject({ lost: 0, duplicates: 1, reordered: 0 });
});

it("names an order that the warehouse took twice", async () => {
  using folder = temporaryFolder();
  const run = smallRun();
  run.wms.push({ kind: "order", at: "", order: "hq-mo-1", revision: 1, effect: true });
  const { code, text } = await verify(folder.path, run);
  expect(code).toBe(1);
  expect(text).toMatch(/DUPLICATE {2}release hq hq-mo-1\/1 {2}at WMS of lyon/);
});

it("names a message that central recorded twice", async () => {
  using folder = temporaryFolder();
  const run = smallRun();
  run.ledger.push(run.ledger.find(({ idempotencykey }) => idempotencykey === "plan/PRESS-7/2") ?? {});
  const { code, text, result } = await verify(folder.path, run);
  expect(code).toBe(1);
  expect(text).toMatch(/DUPLICATE {2}schedule lyon PRESS-7\/2 {2}at central: recorded at \d+ and again at \d+/);
  expect(result.business.duplicates).toBe(1);
});

it("names a message that a warehouse sent later than another of its order and that stands before it", async () => {
  using folder = temporaryFolder();
  const run = smallRun();
  const [first, second] = ["T-11", "T-12"].map((txn) =>
    run.wms.findIndex((entry) => entry.kind === "sending" && entry.fact.txn === txn),
  );
  const held = run.wms[first!]!;
  run.wms[first!] = run.wms[second!]!;
  run.wms[second!] = held;
  const { code, text, result } = await verify(folder.path, run);
  expect(code).toBe(1);
  expect(text).toContain("REORDERED  pick lyon T-11/1  at central: sent after pick lyon T-12/1 of hq-mo-1");
  expect(text).toContain("REORDERED  pick lyon T-11/1  at ERP");
  expect(result.business).toMatchObject({ lost: 0, duplicates: 0, reordered: 2 });
});

it("names a message that no system says it sent", async () => {
  using folder = temporaryFolder();
  const run = smallRun();
  run.scheduler.splice(
    run.scheduler.findIndex(({ kind }) => kind === "sending"),
    1,
  );
  const { code, text } = await verify(folder.path, run);
  expect(code).toBe(1);
  expect(text).toContain("UNEXPLAINED  schedule lyon PRESS-7/1  at central");
});

it("names a sample that was acknowledged to its device and not recorded", async () => {
  using folder = temporaryFolder();
  const run = smallRun();
  run.devices.push({ kind: "sample", device: "VIB-01", item: "vibration", value: 3, sampleAt: "2026-03-01T08:00:09.000Z" });
  expect((await verify(folder.path, run)).code).toBe(0);
  run.devices.push({ kind: "sample-acked", device: "VIB-01", sampleAt: "2026-03-01T08:00:09.000Z" });
  const { code, text, result } = await verify(folder.path, run);
  expect(code).toBe(1);
  expect(text).toContain("SAMPLE-LOST  lyon VIB-01 vibration 2026-03-01T08:00:09.000Z");
  expect(result.samples).toMatchObject({ accepted: 8, lost: 1 });
});

it("calls a press value lost that is missing outside of every stated interruption", async () => {
  using folder = temporaryFolder();
  const run = smallRun();
  run.ledger.splice(
    run.ledger.findIndex(({ type }) => type === "mfg.equipment.sampling-interrupted.v1"),
    1,
  );
  const { code, text, result } = await verify(folder.path, run);
  expect(code).toBe(1);
  expect(text).toContain("SAMPLE-LOST  lyon press-1 Strokes 2026-03-01T08:00:03.000Z");
  expect(result.samples).toMatchObject({ accepted: 9, lost: 2, gaps: 0 });
});

it("judges nothing when a file cannot be read, and says which line", async () => {
  using folder = temporaryFolder();
  const run = smallRun();
  run.wms.splice(2, 0, { kind: "eaten" } as never);
  const { code, text } = await verify(folder.path, run);
  expect(code).toBe(2);
  expect(text).toContain("wms.jsonl:3");
});
