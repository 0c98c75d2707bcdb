import { existsSync, readFileSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { Queue } from "../../../gateway/queue/queue.ts";
import { framePosition } from "../../../gateway/queue/schema.ts";
import type { QueueStore } from "../../../gateway/queue/store.ts";
import type { QueueNotice } from "../../../gateway/queue/worker.ts";
import { writeFlushed } from "../../../gateway/write-flushed.ts";
import { PlantgateError, queuePolicy } from "../../../protocol/index.ts";
import { temporaryFolder } from "../../support/folder.ts";
import { until } from "../../support/process.ts";
import { hash, linesIn, openStore, rangesIn, TestKernel } from "../../support/queue-store.ts";
import { smallDisk } from "../../support/small-disk.ts";

const noise = (seed: string): string => Array.from({ length: 16 }, (_, index) => hash(`${seed}/${index}`)).join("");
const samples = (seed: string) => ({
  messages: Array.from({ length: 50 }, (_, n) => ({ lane: "telemetry" as const, line: noise(`${seed}/${n}`) })),
});
const order = (seed: string) => ({ messages: [{ lane: "transaction" as const, line: noise(seed) }] });
const outcome = (work: () => unknown): string => {
  try {
    work();
    return "taken";
  } catch (error) {
    return error instanceof PlantgateError ? error.code : String(error);
  }
};

describe.skipIf(process.getuid?.() !== 0)("on a disk that is really full", () => {
  it("keeps running, refuses, keeps its books, and takes again when there is room", () => {
    using disk = smallDisk(48);
    const kernel = new TestKernel();
    const store = openStore(disk.path, { kernel });
    for (let n = 0; n < 20; n++) store.commit([samples(`a${n}`), order(`a${n}`)]);
    disk.fill(0);
    kernel.uptime += 1000;
    const said = new Set<string>();
    for (let n = 0; n < 30; n++) {
      kernel.uptime += 300;
      said.add(outcome(() => store.commit([order(`b${n}`)])));
      said.add(outcome(() => store.keepAcknowledged(1_000_000 + n)));
      said.add(outcome(() => store.maintain()));
      said.add(outcome(() => store.commit([{ cursors: [{ name: "c", value: noise(String(n)) }], control: true }])));
    }
    expect([...said].filter((each) => each !== "taken" && each !== "QUEUE_FULL")).toEqual([]);
    expect(outcome(() => store.commit([order("refused")]))).toBe("QUEUE_FULL");
    disk.free();
    kernel.uptime += 1000;
    expect(outcome(() => store.commit([order("again")]))).toBe("taken");
    const lines = linesIn(store);
    expect(lines.slice(0, 20)).toEqual(Array.from({ length: 20 }, (_, n) => noise(`a${n}`)));
    expect(lines.at(-1)).toBe(noise("again"));
    expect(lines).not.toContain(noise("refused"));
    store.close();
  });

  it.each([
    ["what follows tells its link", false],
    ["a file of an older version is linked anew", true],
  ])("reports a missing row without room for what stands behind it, and takes on when there is some: %s", (_, older) => {
    using disk = smallDisk(48);
    const kernel = new TestKernel();
    const store = openStore(disk.path, { kernel });
    for (let n = 0; n < 12_000; n++) store.commit([order(`a${n}`)]);
    const { database } = store;
    if (older) database.exec("UPDATE frames SET linked_to = NULL");
    database.prepare("DELETE FROM frames WHERE position = ?").run(framePosition("transaction", 3));
    database.exec("PRAGMA wal_checkpoint(TRUNCATE)");
    disk.fill(0);
    kernel.uptime += 1000;
    const read = () => store.frames("transaction", 2, { frames: 2, bytes: 1e6 });
    expect(outcome(read)).toBe(older ? "QUEUE_FULL" : "taken");
    if (older) {
      // it holds no room that others need: what the gateway notes of its own goes on
      expect(statSync(join(disk.path, "queue.sqlite-wal")).size).toBe(0);
      expect(outcome(() => store.commit([{ cursors: [{ name: "c", value: "1" }], control: true }]))).toBe("taken");
      disk.free();
      kernel.uptime += 1000;
    }
    expect(read()).toMatchObject([{ first: 3, hole: "damaged" }, { first: 4 }]);
    store.close();
  });

  it("says so when a step of the ladder begins, and when it is over", async () => {
    using disk = smallDisk(48);
    const said: string[] = [];
    const path = join(disk.path, "queue.sqlite");
    const onNotice = (notice: QueueNotice): void => void (notice.kind === "disk" && said.push(notice.state));
    const queue = await Queue.open({ path, site: "lyon", onFailure: () => {}, onNotice });
    disk.fill(100);
    await until(
      () => said,
      () => said.includes("refusing"),
    );
    disk.free();
    await until(
      () => said,
      () => said.at(-1) === "ok",
    );
    await queue.close();
  });

  it("starts all the same, and gives its reserve for that", () => {
    using disk = smallDisk(80);
    const kernel = new TestKernel();
    const first = openStore(disk.path, { kernel });
    for (let n = 0; n < 5; n++) first.commit([order(`a${n}`)]);
    first.close();
    expect(existsSync(join(disk.path, "reserve"))).toBe(true);
    disk.fill(0);
    const second = openStore(disk.path, { kernel });
    expect(linesIn(second)).toHaveLength(5);
    second.close();
  });

  it("lets go of what is only kept for central before it discards a sample or refuses an order", () => {
    using disk = smallDisk(48);
    const kernel = new TestKernel();
    const store = openStore(disk.path, { kernel });
    store.keepAcknowledged(3_600_000);
    for (let n = 0; n < 40; n++) store.commit([samples(`a${n}`)]);
    const { epoch } = store.position("telemetry");
    store.commit([{ acknowledged: { lane: "telemetry", epoch, watermark: 2000 }, control: true }]);
    store.commit([samples("b")]);
    disk.fill(3500);
    kernel.uptime += 1000;
    expect(store.disk().state).toBe("discarding");
    store.commit([samples("c")]);
    expect(rangesIn(store, "telemetry").some((range) => range.includes("disk"))).toBe(false);
    expect(store.position("telemetry").pruned).toBeGreaterThan(0);
    store.close();
  });

  it("refuses what it has no room to make the first sealing key for, and seals it when there is room", () => {
    using disk = smallDisk(48);
    const kernel = new TestKernel();
    const store = openStore(disk.path, { kernel });
    store.commit([order("plain")]);
    store.configure(queuePolicy.parse({ encryption: { atRest: true } }));
    disk.fill(0);
    // by the figures of a moment ago there is room
    expect(outcome(() => store.commit([order("refused")]))).toBe("QUEUE_FULL");
    disk.free();
    kernel.uptime += 1000;
    store.commit([order("sealed")]);
    expect(linesIn(store)).toEqual([noise("plain"), noise("sealed")]);
    expect(existsSync(join(disk.path, "keystore", "keys.json"))).toBe(true);
    store.close();
  });

  it("keeps running when there is no room for one file more and its reserve is missing", () => {
    using disk = smallDisk(48, { files: 64 });
    const kernel = new TestKernel();
    const store = openStore(disk.path, { kernel });
    rmSync(join(disk.path, "reserve"));
    disk.fillWithFiles();
    expect(outcome(() => store.maintain())).toBe("taken");
    expect(outcome(() => store.commit([order("a")]))).toBe("taken");
    disk.free();
    kernel.uptime += 3_600_000;
    store.maintain();
    expect(existsSync(join(disk.path, "reserve"))).toBe(true);
    store.close();
  });

  it("leaves a small file as it was when its replacement has no room", () => {
    using disk = smallDisk(4);
    const file = join(disk.path, "keys.json");
    writeFlushed(file, Buffer.from("old"));
    disk.fill(8);
    expect(() => writeFlushed(file, Buffer.alloc(200_000, 1))).toThrow();
    expect(readFileSync(file, "utf8")).toBe("old");
  });
});

it("holds a lane's budget from the first commit after a restart, before any configuration comes", () => {
  using folder = temporaryFolder();
  const first = openStore(folder.path);
  first.configure({
    lanes: {
      transaction: { maxBytes: "8GiB", weight: 8 },
      bulk: { maxBytes: "2GiB", weight: 2 },
      telemetry: { maxBytes: "64KiB", weight: 1 },
    },
    encryption: { atRest: true, rotateEvery: "90d" },
  });
  first.close();
  const second: QueueStore = openStore(folder.path);
  for (let n = 0; n < 20; n++) second.commit([samples(String(n))]);
  expect(rangesIn(second, "telemetry")[0]).toMatch(/ size$/);
  expect(second.database.prepare("SELECT count(*) AS n FROM sealing_keys").get()!.n).toBe(1);
  second.close();
});
