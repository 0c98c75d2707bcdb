import { randomBytes } from "node:crypto";
import { existsSync, readdirSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import type { ReadSpace } from "../../../gateway/queue/disk.ts";
import { type ProbeRoom, whatIsFull } from "../../../gateway/queue/room.ts";
import { temporaryFolder } from "../../support/folder.ts";
import { replaceOpenHandle } from "../../support/open-handle.ts";
import { hash, linesIn, openStore, rangesIn, TestKernel } from "../../support/queue-store.ts";

const gibibyte = 1024 ** 3;
const noise = (seed: string): string => Array.from({ length: 8 }, (_, index) => hash(`${seed}/${index}`)).join("");
const append = (lane: "transaction" | "bulk" | "telemetry", name: string) => ({
  change: { messages: [{ lane, line: noise(name) }] },
});

/** A store on a disk whose free space is what the test says. */
function openOnDisk(folder: string, probeRoom?: ProbeRoom) {
  const disk = { freeBytes: 20 * gibibyte, sizeBytes: 100 * gibibyte };
  const kernel = new TestKernel();
  const readSpace: ReadSpace = () => disk;
  const store = openStore(folder, { kernel, readSpace, ...(probeRoom && { probeRoom }) });
  return {
    store,
    kernel,
    free(bytes: number): void {
      disk.freeBytes = bytes;
      kernel.uptime += 1000;
    },
  };
}
const codes = (outcomes: readonly unknown[]): unknown[] =>
  outcomes.map((outcome) => (outcome as { code?: string }).code ?? "taken");

it("climbs the ladder: samples make room, batch data is refused, then everything; and comes down without a restart", () => {
  using folder = temporaryFolder();
  const { store, free } = openOnDisk(folder.path);
  const all = (name: string) => [append("telemetry", name), append("bulk", name), append("transaction", name)];
  for (let n = 0; n < 20; n++) expect(codes(store.commitGroup(all(`ok${n}`)))).toEqual(["taken", "taken", "taken"]);
  expect(store.disk().state).toBe("ok");

  free(400 * 1024 ** 2);
  expect(store.disk().state).toBe("discarding");
  for (let n = 0; n < 10; n++) expect(codes(store.commitGroup(all(`low${n}`)))).toEqual(["taken", "taken", "taken"]);
  expect(rangesIn(store, "telemetry")[0]).toMatch(/^1-\d+ disk$/);
  expect(linesIn(store, "telemetry").at(-1)).toBe(noise("low9"));

  free(200 * 1024 ** 2);
  expect(store.disk().state).toBe("bulk-refused");
  expect(codes(store.commitGroup(all("lower")))).toEqual(["taken", "QUEUE_FULL", "taken"]);

  free(50 * 1024 ** 2);
  expect(store.disk().state).toBe("refusing");
  expect(codes(store.commitGroup(all("full")))).toEqual(["QUEUE_FULL", "QUEUE_FULL", "QUEUE_FULL"]);
  const outcome = { change: { messages: [{ lane: "transaction" as const, line: "outcome" }], control: true as const } };
  expect(codes(store.commitGroup([outcome, append("transaction", "no")]))).toEqual(["taken", "QUEUE_FULL"]);

  free(20 * gibibyte);
  expect(codes(store.commitGroup(all("again")))).toEqual(["taken", "taken", "taken"]);
  const lines = linesIn(store);
  expect(lines).not.toContain(noise("full"));
  expect(lines.slice(-2)).toEqual(["outcome", noise("again")]);
  store.close();
});

it("takes again after a write that found no room as soon as there is some, far below the first step of the ladder", () => {
  using folder = temporaryFolder();
  const { store, free } = openOnDisk(folder.path);
  store.commitGroup([append("transaction", "first")]);
  free(10 * 1024 ** 2);
  const pages = store.database.prepare("PRAGMA page_count").get()!.page_count as number;
  store.database.exec(`PRAGMA max_page_count = ${pages}`);
  const outcome = (n: number) => ({
    change: { messages: [{ lane: "transaction" as const, line: noise(`${n}`) }], control: true as const },
  });
  let refused = false;
  for (let n = 0; n < 5000 && !refused; n++) refused = codes(store.commitGroup([outcome(n)]))[0] === "QUEUE_FULL";
  expect(refused).toBe(true);
  store.database.exec("PRAGMA max_page_count = 1000000");
  free(140 * 1024 ** 2);
  expect(store.disk().state).toBe("refusing");
  free(200 * 1024 ** 2);
  expect(store.disk().state).toBe("bulk-refused");
  expect(codes(store.commitGroup([append("bulk", "no"), append("transaction", "again")]))).toEqual(["QUEUE_FULL", "taken"]);
  store.close();
});

it("keeps a reserve written out while there is room", () => {
  using folder = temporaryFolder();
  const { store } = openOnDisk(folder.path);
  expect(statSync(join(folder.path, "reserve")).size).toBe(32 * 1024 ** 2);
  store.close();
});

it("pays for its own bookkeeping from the reserve when a write finds no room, and refuses the rest", () => {
  using folder = temporaryFolder();
  const { store } = openOnDisk(folder.path);
  store.commitGroup([append("transaction", "first")]);
  const pages = store.database.prepare("PRAGMA page_count").get()!.page_count as number;
  store.database.exec(`PRAGMA max_page_count = ${pages}`);
  let name = 0;
  const fill = (): unknown[] => codes(store.commitGroup([append("transaction", `fill${name++}`)]));
  let refused = false;
  for (let n = 0; n < 500 && !refused; n++) refused = fill()[0] === "QUEUE_FULL";
  expect(refused).toBe(true);
  // the reserve is given free for what is tried next
  expect(existsSync(join(folder.path, "reserve"))).toBe(false);
  store.database.exec(`PRAGMA max_page_count = ${pages + 20}`);
  expect(codes(store.commitGroup([{ change: { cursors: [{ name: "c", value: "1" }], control: true } }]))).toEqual(["taken"]);
  store.close();
});

it("takes again, once central has all, when it was the queue itself that filled the disk", () => {
  using folder = temporaryFolder();
  const kernel = new TestKernel();
  const files = () => readdirSync(folder.path).reduce((sum, name) => sum + statSync(join(folder.path, name)).size, 0);
  const readSpace: ReadSpace = () => ({ freeBytes: 230 * 1024 ** 2 - files(), sizeBytes: 100 * gibibyte });
  const store = openStore(folder.path, { kernel, readSpace });
  store.keepAcknowledged(0);
  writeFileSync(join(folder.path, "reserve"), Buffer.alloc(32 * 1024 ** 2));
  const large = () => ({
    change: { messages: [{ lane: "transaction" as const, line: randomBytes(1_000_000).toString("base64") }] },
  });
  for (let said: unknown = "taken"; said === "taken"; kernel.uptime += 300) said = codes(store.commitGroup([large()]))[0];
  expect(store.disk().state).toBe("refusing");
  const lane = "transaction";
  const { epoch, last } = store.position(lane);
  store.commit([{ acknowledged: { lane, epoch, watermark: last }, dispatched: { lane, upTo: last }, control: true }]);
  while (store.maintain());
  kernel.uptime += 1000;
  expect(store.disk().state).not.toBe("refusing");
  expect(codes(store.commitGroup([large()]))).toEqual(["taken"]);
  store.close();
});

const failing =
  (code: string): ProbeRoom =>
  () => {
    throw Object.assign(new Error(code), { code });
  };

it("refuses on a used-up quota, which the disk's figures do not show, until its reserve has room again", () => {
  using folder = temporaryFolder();
  const { store, kernel } = openOnDisk(folder.path, failing("EDQUOT"));
  const reserve = join(folder.path, "reserve");
  const log = join(folder.path, "queue.sqlite-wal");
  store.commitGroup([append("transaction", "first")]);
  {
    // SQLite only says that a write failed
    using _ = replaceOpenHandle(log, log, "r");
    const control = { change: { cursors: [{ name: "c", value: "1" }], control: true as const } };
    expect(codes(store.commitGroup([append("transaction", "no"), control]))).toEqual(["QUEUE_FULL", "QUEUE_FULL"]);
    expect(() => store.openEpoch("bulk")).toThrow(expect.objectContaining({ code: "QUEUE_FULL" }));
  }
  // given free for the gateway's own notes, and not taken back at once
  expect(existsSync(reserve)).toBe(false);
  kernel.uptime += 1000;
  store.maintain();
  expect(existsSync(reserve)).toBe(false);
  expect(store.disk()).toEqual({ state: "refusing", freeBytes: 0 });
  const note = { change: { cursors: [{ name: "c", value: "2" }], control: true as const } };
  expect(codes(store.commitGroup([append("telemetry", "no"), note]))).toEqual(["QUEUE_FULL", "taken"]);
  symlinkSync("/dev/full", reserve);
  kernel.uptime += 60_000;
  store.maintain();
  expect(store.disk().state).toBe("refusing");
  kernel.uptime += 30_000;
  store.maintain();
  expect(store.disk().state).toBe("refusing");
  kernel.uptime += 30_000;
  store.maintain();
  expect(store.disk()).toEqual({ state: "ok", freeBytes: 20 * gibibyte });
  expect(codes(store.commitGroup([append("transaction", "again")]))).toEqual(["taken"]);
  expect(linesIn(store)).toEqual([noise("first"), noise("again")]);
  store.close();
});

it.each([
  ["finds room", () => {}],
  ["fails as well", failing("EIO")],
  ["finds the disk full, which SQLite would have said", failing("ENOSPC")],
])("takes a write that failed for a failed disk where one beside the file %s", (_, probe) => {
  using folder = temporaryFolder();
  const { store } = openOnDisk(folder.path, probe);
  const log = join(folder.path, "queue.sqlite-wal");
  store.commitGroup([append("transaction", "first")]);
  {
    using _ = replaceOpenHandle(log, log, "r");
    expect(() => store.commitGroup([append("transaction", "no")])).toThrow(expect.objectContaining({ code: "DISK_FAILED" }));
  }
  store.close();
});

it("refuses what it has no quota to make a sealing key for", () => {
  expect(whatIsFull(Object.assign(new Error("write"), { code: "EDQUOT" }), "queue.sqlite")).toBe("quota");
  expect(whatIsFull(Object.assign(new Error("write"), { code: "ENOSPC" }), "queue.sqlite")).toBe("disk");
  expect(whatIsFull(Object.assign(new Error("write"), { code: "EIO" }), "queue.sqlite")).toBeUndefined();
});

it("tells by a write of its own what a failed one of SQLite does not, and leaves nothing of it", () => {
  using folder = temporaryFolder();
  const failed = Object.assign(new Error("disk I/O error"), { errcode: 778 });
  expect(whatIsFull(failed, join(folder.path, "queue.sqlite"))).toBeUndefined();
  expect(readdirSync(folder.path)).toEqual([]);
});
