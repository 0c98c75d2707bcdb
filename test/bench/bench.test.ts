import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { describe, expect, it } from "vitest";

const program = fileURLToPath(new URL("main.ts", import.meta.url));
const figure = expect.any(Number);

/** The last line of a run of a few seconds; no duration of it means anything. */
async function bench(part: string): Promise<unknown> {
  const { stdout } = await promisify(execFile)(process.execPath, [program, part, "--quick", "--no-peers", "--json"]);
  expect(stdout).toContain("Nothing was lost, doubled or reordered.");
  return JSON.parse(stdout.trimEnd().split("\n").at(-1) ?? "");
}

// it reads /proc and calls fallocate
describe.skipIf(process.platform !== "linux")(
  "the bench, with so little that only its working is seen",
  { timeout: 240_000 },
  () => {
    it("measures what becomes durable", async () => {
      expect(await bench("intake")).toMatchObject({
        durablePerSecond: figure,
        ratioToRawSync: figure,
        ratioToPreallocated: figure,
        ratioToEngine: figure,
        loopDelayP99MsAt20k: figure,
        broker: { samplesPerSecond: figure, businessPerSecond: figure },
        http: { samplesPerSecond: figure, businessPerSecond: figure },
        mqtt: expect.any(Object),
        peers: {},
        wrong: 0,
      });
    });

    it("measures how a backlog drains, also over TLS", async () => {
      expect(await bench("replay")).toMatchObject({
        messages: 3000,
        ratioToNats: null,
        firstBatchSeconds: figure,
        acknowledgedPerSecond: figure,
        readPerSecond: figure,
        tls: { ratioToNats: null, firstBatchSeconds: figure, readPerSecond: figure },
        peers: {},
        openMs: figure,
        gatewayPeakRssMiB: figure,
        diskAfterMiB: figure,
        wrong: 0,
      });
    });

    it("measures what a gateway needs of its machine", async () => {
      expect(await bench("footprint")).toMatchObject({
        idleRssMiB: figure,
        loadedRssMiB: figure,
        startMs: figure,
        startWithBacklogMs: figure,
        backlog: 2000,
        wrong: 0,
      });
    });

    it("measures how long live transactions take beside it", async () => {
      expect(await bench("live")).toMatchObject({
        p95Ms: figure,
        p50Ms: figure,
        messages: figure,
        drainSeconds: figure,
        wrong: 0,
      });
    });
  },
);
