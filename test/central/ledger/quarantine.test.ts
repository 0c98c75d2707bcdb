import { createHash } from "node:crypto";
import { zstdCompressSync } from "node:zlib";
import { describe, expect, it } from "vitest";
import type { QuarantinedView } from "../../../central/http/views.ts";
import { eventually, startTestCentral, type TestCentral } from "../../support/central.ts";
import type { TestGateway } from "../../support/gateway-client.ts";
import { storages } from "../../support/storages.ts";

const sha256 = (bytes: string | Buffer) => createHash("sha256").update(bytes).digest("hex");

async function setAside(
  central: TestCentral,
  plant: TestGateway,
  frames: readonly Buffer[],
): Promise<readonly QuarantinedView[]> {
  const lane = plant.lane("transaction");
  const counts = frames.map((frame) => frame.toString("latin1").split("\n").length - 1);
  for (const [index, frame] of frames.entries()) lane.append(Array(counts[index]).fill("") as string[], zstdCompressSync(frame));
  await plant.hello([lane]);
  expect((await plant.send(lane)).status).toBe(200);
  const total = counts.reduce((sum, count) => sum + count, 0);
  const lanes = () => central.admin<{ lanes: { epoch: string; quarantined: number }[] }>("GET", "/v1/completeness?site=plant-a");
  await eventually(lanes, ({ body }) => body.lanes.some((each) => each.epoch === lane.epoch && each.quarantined === total));
  const { body } = await central.admin<{ quarantine: QuarantinedView[] }>("GET", "/v1/quarantine?limit=1000");
  return body.quarantine.filter(({ epoch }) => epoch === lane.epoch).sort((a, b) => a.sequence - b.sequence);
}

describe.each(await storages())("on %s, what is kept of a line that is set aside", (storage) => {
  it("is its beginning, its length and its hash, however large it is", async () => {
    await using central = await startTestCentral({ storage });
    const plant = await central.addSite("plant-a");
    const [long, broken] = [Buffer.alloc(8 * 1024 * 1024), Buffer.from([0x7b, 0xff, 0xfe, 0x7d])];
    const emoji = Buffer.from(`x${"😀".repeat(4096)}`);
    const newline = Buffer.from("\n");
    const kept = await setAside(central, plant, [
      Buffer.concat([long, newline, broken, newline]),
      Buffer.concat([emoji, newline]),
    ]);
    expect(kept.map(({ lineBytes }) => lineBytes)).toEqual([long.length, broken.length, emoji.length]);
    expect(kept.map(({ lineSha256 }) => lineSha256)).toEqual([long, broken, emoji].map(sha256));
    for (const { line } of kept) expect(line.length).toBeLessThanOrEqual(4096);
    expect(kept[1]).toMatchObject({ code: "undecodable", reason: "the line is not UTF-8" });
    expect(kept[2]?.line.slice(0, 9)).toBe("x😀😀😀😀");
    expect(kept[2]?.line.isWellFormed()).toBe(true);
  });

  it("is little where many are set aside together, so that a small batch costs little", async () => {
    await using central = await startTestCentral({ storage });
    const plant = await central.addSite("plant-a");
    const frame = Buffer.from(`${"y".repeat(4000)}\n`.repeat(1000));
    expect(zstdCompressSync(frame).length).toBeLessThan(1000);
    const kept = await setAside(central, plant, [frame]);
    expect(kept).toHaveLength(1000);
    expect(kept.reduce((sum, { line }) => sum + line.length, 0)).toBe(256 * 1024);
    expect(kept[0]?.line).toBe("y".repeat(4000));
    expect(new Set(kept.map(({ lineSha256 }) => lineSha256))).toEqual(new Set([sha256("y".repeat(4000))]));
  });

  it("fills no answer beyond four megabytes", async () => {
    await using central = await startTestCentral({ storage });
    const plant = await central.addSite("plant-a");
    // six bytes each in JSON
    const frames = Array.from({ length: 12 }, () => Buffer.from(`${"\u0001".repeat(4000)}\n`.repeat(65)));
    for (const frame of frames) await setAside(central, plant, [frame]);
    const answer = await fetch(`${central.url}/v1/quarantine?limit=1000`, {
      headers: { authorization: `Bearer ${central.adminToken}` },
    });
    const text = await answer.text();
    expect(text.length).toBeLessThan(4.1 * 1024 * 1024);
    expect((JSON.parse(text) as { quarantine: unknown[] }).quarantine.length).toBeGreaterThan(100);
  });
});
