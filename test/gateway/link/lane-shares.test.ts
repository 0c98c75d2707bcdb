import { expect, it } from "vitest";
import { LaneShares, maxPerLane } from "../../../gateway/link/lane-shares.ts";
import type { Lane } from "../../../protocol/index.ts";

const never = new AbortController().signal;
const settled = async (turn: Promise<boolean>): Promise<boolean> => Promise.race([turn, Promise.resolve(false)]);

it("lets a transaction go at once while none is under way, past any backlog of the others", async () => {
  const shares = new LaneShares({ transaction: 8, bulk: 2, telemetry: 1 });
  for (let n = 0; n < 6; n++) void shares.turn("telemetry", 1000, never);
  void shares.turn("telemetry", 1000, never);
  await Promise.resolve();
  expect(await settled(shares.turn("transaction", 1000, never))).toBe(true);
});

it("gives each lane its weight's share of the bytes while all of them want to send", async () => {
  const shares = new LaneShares({ transaction: 8, bulk: 2, telemetry: 1 });
  const sent: Record<Lane, number> = { transaction: 0, bulk: 0, telemetry: 0 };
  const underWay: Lane[] = [];
  const ask = (lane: Lane): void => {
    void shares.turn(lane, 1000, never).then(() => {
      sent[lane] += 1;
      underWay.push(lane);
    });
  };
  for (const lane of ["transaction", "bulk", "telemetry"] as const) for (let n = 0; n < maxPerLane; n++) ask(lane);
  for (let round = 0; round < 1100; round++) {
    await Promise.resolve();
    await Promise.resolve();
    const lane = underWay.shift();
    if (lane === undefined) break;
    ask(lane);
    shares.done(lane);
  }
  // four of the six places at the most are one lane's
  expect(sent.transaction / (sent.bulk + sent.telemetry)).toBeCloseTo(2, 0);
  expect(sent.bulk / sent.telemetry).toBeCloseTo(2, 0);
});

it("gives up a turn with its signal", async () => {
  const shares = new LaneShares({ transaction: 8, bulk: 2, telemetry: 1 });
  for (let n = 0; n < 6; n++) await shares.turn("telemetry", 1000, never);
  const stopping = new AbortController();
  const turn = shares.turn("telemetry", 1000, stopping.signal);
  stopping.abort();
  expect(await turn).toBe(false);
});
