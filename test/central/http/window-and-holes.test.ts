import { randomBytes } from "node:crypto";
import { zstdCompressSync } from "node:zlib";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { CompletenessAnswer } from "../../../central/http/views.ts";
import { startTestCentral, type TestCentral } from "../../support/central.ts";
import { settableClock } from "../../support/clock.ts";
import type { TestGateway } from "../../support/gateway-client.ts";
import { sample } from "../../support/messages.ts";
import { storages } from "../../support/storages.ts";

describe.each(await storages())("on %s", (storage) => {
  let central: TestCentral;
  let plant: TestGateway;
  let counter = 0;
  /** Held, central waits for a batch that comes late for as long as this machine takes to send it. */
  const clock = settableClock();

  beforeAll(async () => {
    central = await startTestCentral({ storage, parts: { clock } });
    plant = await central.addSite("plant-a");
  });
  afterAll(() => central[Symbol.asyncDispose]());

  async function freshLane(frames: number) {
    const lane = plant.lane("telemetry");
    for (let frame = 0; frame < frames; frame++) lane.append([sample("plant-a", ++counter), sample("plant-a", ++counter)]);
    expect(await plant.hello([lane])).toMatchObject({ status: 200 });
    return lane;
  }

  async function completeness(epoch: string) {
    const { body } = await central.admin<CompletenessAnswer>("GET", "/v1/completeness?site=plant-a");
    return body.lanes.find((lane) => lane.epoch === epoch);
  }
  async function watermark(epoch: string): Promise<number | undefined> {
    return (await completeness(epoch))?.ranges.at(-1)?.last;
  }

  describe("a window of batches", () => {
    it("is recorded whole when its batches come in any order, over several connections", async () => {
      const lane = await freshLane(6);
      const batches = lane.starts.map((start) => lane.batch(start, start + 1)).reverse();
      const answers = await Promise.all(batches.slice(0, 4).map((batch) => plant.send(lane, batch)));
      // the two before them are not there yet: they waited, and are told what is there
      expect(answers.map(({ body }) => body.code)).toEqual(["gap", "gap", "gap", "gap"]);
      clock.hold();
      const all = [batches[3]!, batches[2]!, batches[5]!, batches[4]!];
      expect((await Promise.all(all.map((batch) => plant.send(lane, batch)))).map(({ status }) => status)).toEqual([
        200, 200, 200, 200,
      ]);
      clock.go();
      expect(await watermark(lane.epoch)).toBe(8);
    });

    it("waits for a batch that comes late before it says that it is missing", async () => {
      const lane = await freshLane(2);
      clock.hold();
      const late = plant.send(lane, lane.batch(3, 4));
      await new Promise((resolve) => setImmediate(resolve));
      expect(await plant.send(lane, lane.batch(1, 2))).toMatchObject({ status: 200 });
      expect(await late).toMatchObject({ status: 200, body: { watermark: 4 } });
      clock.go();
    });

    it("gives the same watermark to the same batch, sent many times at once", async () => {
      const lane = await freshLane(2);
      const answers = await Promise.all(Array.from({ length: 4 }, () => plant.send(lane)));
      expect(answers.map(({ status, body }) => [status, body.watermark])).toEqual(Array(4).fill([200, 4]));
    });

    it("fails no other batch with one that is wrong", async () => {
      const [good, bad] = [plant.lane("telemetry"), plant.lane("telemetry")];
      good.append([sample("plant-a", 1)]);
      bad.append(["a"], randomBytes(64));
      await plant.hello([good, bad]);
      const answers = await Promise.all([plant.send(bad), plant.send(good), plant.send(bad)]);
      expect(answers.map(({ status }) => status)).toEqual([422, 200, 422]);
    });
  });

  describe("a frame", () => {
    const text = () => `${JSON.stringify(sample("plant-a", ++counter))}\n`;

    it.each([
      ["zeros", Buffer.alloc(7)],
      ["a part of another frame's beginning", Buffer.from([0x28])],
      ["a skippable frame", Buffer.from([0x50, 0x2a, 0x4d, 0x18, 1, 0, 0, 0, 7])],
    ])("with %s behind its end is refused: its bytes would hide the next frame's messages", async (_, behind) => {
      const lane = plant.lane("telemetry");
      lane.append(["one"], Buffer.concat([zstdCompressSync(text()), behind]));
      lane.append([sample("plant-a", ++counter)]);
      await plant.hello([lane]);
      expect(await plant.send(lane)).toMatchObject({
        status: 422,
        body: { code: "invalid", detail: expect.stringMatching(/^frame 1 says \d+ bytes and has \d+$/) },
      });
      expect(await watermark(lane.epoch)).toBeUndefined();
    });

    it("may end with an empty frame, as Node's encoder ends one whose bytes fill its buffer", async () => {
      const lane = plant.lane("telemetry");
      lane.append(["one"], Buffer.concat([zstdCompressSync(text()), zstdCompressSync("")]));
      lane.append([sample("plant-a", ++counter)]);
      await plant.hello([lane]);
      expect(await plant.send(lane)).toMatchObject({ status: 200, body: { watermark: 2 } });
      expect((await completeness(lane.epoch))?.recorded).toBe(2);
    });
  });

  describe("holes", () => {
    it("move the watermark, between frames and alone, and are recorded with their reason", async () => {
      const lane = await freshLane(6);
      lane.discard(3, 6, "age");
      expect(await plant.send(lane, lane.batch(1, 8))).toMatchObject({ status: 200, body: { watermark: 8 } });
      lane.discard(9, 12, "disk");
      expect(lane.batch(9).body.byteLength).toBe(0);
      expect(await plant.send(lane, lane.batch(9))).toMatchObject({ status: 200, body: { watermark: 12 } });
      expect(await plant.send(lane, lane.batch(9))).toMatchObject({ status: 200, body: { watermark: 12 } });
      expect(await completeness(lane.epoch)).toMatchObject({
        recorded: 4,
        lost: 8,
        ranges: [
          { first: 1, last: 2 },
          { first: 7, last: 8 },
        ],
        holes: [
          { first: 3, last: 6, reason: "age" },
          { first: 9, last: 12, reason: "disk" },
        ],
      });
      lane.append([sample("plant-a", 1)]);
      expect(await plant.send(lane, lane.batch(13))).toMatchObject({ status: 200, body: { watermark: 13 } });
    });

    it("leave what is recorded as it is, and say of the rest that it will not come", async () => {
      const lane = await freshLane(3);
      expect((await plant.send(lane, lane.batch(1, 4))).status).toBe(200);
      // the answer was lost, and the gateway discarded all of it
      lane.discard(1, 6, "size");
      expect(await plant.send(lane)).toMatchObject({ status: 200, body: { watermark: 6 } });
      expect(await completeness(lane.epoch)).toMatchObject({ recorded: 4, holes: [{ first: 5, last: 6, reason: "size" }] });
    });

    it("of another history are a fork", async () => {
      const lane = await freshLane(2);
      await plant.send(lane);
      const clone = plant.lane("telemetry", { epoch: lane.epoch });
      clone.append([sample("plant-a", -1), sample("plant-a", -2)]);
      clone.append([sample("plant-a", -3), sample("plant-a", -4)]);
      clone.discard(1, 4, "count");
      expect(await plant.send(clone)).toMatchObject({ status: 409, body: { code: "fork", watermark: 4 } });
    });

    it("have a reason that there is, and a body only where there are frames", async () => {
      const lane = await freshLane(2);
      const { chain } = lane.batch(1, 2);
      const send = (frames: string, batch = lane.batch(1, 2)) =>
        plant.send(lane, batch, { "plantgate-frames": frames }).then(({ body }) => body.code);
      expect(await send(`2~forgotten~${chain}`)).toBe("invalid");
      expect(await send(`2~size~${chain}`)).toBe("invalid");
    });
  });
});
