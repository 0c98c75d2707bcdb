import { existsSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { expect, it } from "vitest";
import { Recorder } from "../../../gateway/rehearsal/recorder.ts";
import { RehearsalStore, readStore, rehearsalFile } from "../../../gateway/rehearsal/store.ts";
import { openLogger } from "../../../gateway/telemetry/logger.ts";
import { systemClock } from "../../../protocol/index.ts";
import { temporaryFolder } from "../../support/folder.ts";
import { bundleOf, openParts, type Parts } from "../../support/gateway-parts.ts";
import { type Pick, pick, pickPlant } from "../../support/pick-plant.ts";

const wmsUrl = "mqtt://127.0.0.1:1";
const erpUrl = "http://127.0.0.1:1";
const topicInput = (body: Pick | string) => ({
  origin: { kind: "topic" as const, topic: "wms/picks/1", retained: false },
  body: Buffer.from(typeof body === "string" ? body : JSON.stringify(body)),
  receivedAt: 1_795_500_000_000,
});
const accept = (parts: Parts, ...inputs: (Pick | string)[]) => parts.connector("wms").inlet.accept(inputs.map(topicInput));
const recorded = (parts: Parts, count: number) =>
  readStore(rehearsalFile(parts.dataDir), (store) =>
    [...store.newest(count)].map((share) => Buffer.from(share.recorded.body).toString()),
  );

it("keeps the last inputs of a flow as they came, those that were refused among them", async () => {
  await using parts = await openParts({ recorder: { perFlow: 3 } });
  await parts.apply(await bundleOf(pickPlant({ wmsUrl, erpUrl }), "lyon"));
  for (let number = 1; number <= 4; number++) await accept(parts, pick(number));
  await accept(parts, "no JSON");
  await parts.rehearsal.inputs(10);
  expect(recorded(parts, 10)).toEqual([JSON.stringify(pick(3)), JSON.stringify(pick(4)), "no JSON"]);
});

it("stays within its bytes, oldest first, and leaves out what is too large by itself", () => {
  using folder = temporaryFolder();
  const store = RehearsalStore.open(rehearsalFile(folder.path));
  const recorder = new Recorder({
    clock: systemClock,
    log: openLogger({ level: "silent", site: "lyon" }),
    limits: { maxInputBytes: 5000 },
  });
  const one = (number: number, bytes = 1000) => ({
    ...{ connector: "wms", origin: { kind: "webhook" as const, path: "/x" }, receivedAt: number },
    body: Buffer.alloc(bytes, number),
  });
  recorder.note(["a"], one(1, 6000));
  expect(recorder.inMemory(10)).toEqual([]);
  const shares = Array.from({ length: 500 }, (_, number) => ({
    input: number + 1,
    flow: `f${number % 3}`,
    recorded: one(number),
  }));
  for (let at = 0; at < shares.length; at += 50) store.add(shares.slice(at, at + 50), { perFlow: 1000, maxBytes: 100_000 });
  expect(store.bytes).toBeLessThanOrEqual(100_000);
  const kept = [...store.newest(1000)];
  expect(kept.at(-1)?.input).toBe(500);
  expect(kept[0]!.input).toBeGreaterThan(300);
  expect([...store.newest(5)].map(({ input }) => input)).toEqual([496, 497, 498, 499, 500]);
  store.close();
});

it("is readable by its user alone, and holds nothing of a webhook's headers", async () => {
  await using parts = await openParts();
  await parts.apply(await bundleOf(pickPlant({ wmsUrl, erpUrl }), "lyon"));
  await accept(parts, pick(1));
  await parts.rehearsal.inputs(1);
  for (const end of ["", "-wal", "-shm"]) expect(statSync(rehearsalFile(parts.dataDir) + end).mode & 0o077, end).toBe(0);
  expect(readFileSync(`${rehearsalFile(parts.dataDir)}-wal`).includes(pick(1).txn)).toBe(true);
});

it("writes nothing while encryption at rest is on, and takes away what lay there before", async () => {
  await using parts = await openParts();
  await parts.apply(await bundleOf(pickPlant({ wmsUrl, erpUrl }), "lyon"));
  await accept(parts, pick(1));
  await parts.rehearsal.inputs(10);
  await parts.apply(await bundleOf(pickPlant({ wmsUrl, erpUrl, encrypted: true }), "lyon", 2));
  await accept(parts, pick(2));
  const from = await parts.rehearsal.inputs(10);
  for (const end of ["", "-wal", "-shm"]) expect(existsSync(rehearsalFile(parts.dataDir) + end), end).toBe(false);
  expect("shares" in from && from.shares.map(({ recorded: { body } }) => Buffer.from(body).toString())).toEqual([
    JSON.stringify(pick(2)),
  ]);
});

it("begins anew where its file is damaged", () => {
  using folder = temporaryFolder();
  writeFileSync(rehearsalFile(folder.path), "this is no database, and never was one".repeat(100));
  const store = RehearsalStore.open(rehearsalFile(folder.path));
  expect([...store.newest(10)]).toEqual([]);
  store.close();
});

it("accepts inputs all the same when the disk fails it, and says so once", async () => {
  using folder = temporaryFolder();
  const said: string[] = [];
  const log = { ...openLogger({ level: "silent", site: "lyon" }), warn: ({ event }: { event: string }) => void said.push(event) };
  const recorder = new Recorder({ clock: systemClock, log: log as never });
  const store = RehearsalStore.open(rehearsalFile(folder.path));
  recorder.keepIn(store);
  const input = { connector: "wms", origin: { kind: "webhook" as const, path: "/x" }, receivedAt: 1, body: Buffer.from("{}") };
  recorder.note(["a"], input);
  store.close();
  await recorder.write();
  recorder.note(["a"], input);
  await recorder.write();
  expect(said).toEqual(["rehearsal.recording.ended"]);
  expect(recorder.inMemory(10)).toEqual([]);
});
