import { expect, it } from "vitest";
import { Projector } from "../../../central/ledger/projector.ts";
import { type Clock, systemClock } from "../../../protocol/index.ts";
import { TestLane } from "../../support/gateway-client.ts";
import { beginSession, headOf, openLedger } from "../../support/ledger.ts";
import { delivered, pick } from "../../support/messages.ts";
import { openTestStorage } from "../../support/storages.ts";

const sites = ["plant-a", "plant-b", "plant-c", "plant-d"];
const idleMs = 1000;

/**
 * Projects what four plants recorded; a pause lasts as long as `passes` says.
 * @returns how long it paused, how long its steps took, and what was projected before each pause, until it had nothing to do
 */
async function project(pressed: () => boolean, passes: (ms: number) => number) {
  await using own = await openTestStorage("sqlite");
  await using ledger = await openLedger(own.target);
  for (const site of sites) {
    const lane = new TestLane(site, "transaction");
    const session = await beginSession(ledger, site, [lane]);
    // what a gateway makes itself needs no grant
    lane.append([delivered(site, pick(site, "T-1"), "accepted")]);
    const batch = lane.batch(1);
    expect(await ledger.ingest.record(headOf(site, session, lane, batch), batch.body)).toMatchObject({ kind: "recorded" });
  }
  const stop = new AbortController();
  // time passes by being looked at, and while something waits
  const time = { ms: 0, lookedAt: 0, steps: [] as number[], pauses: [] as number[], projected: [] as number[] };
  const clock: Clock = {
    now: systemClock.now,
    monotonic: () => {
      time.lookedAt += 7;
      return time.ms + time.lookedAt;
    },
    sleep: async (ms) => {
      if (ms === idleMs) return stop.abort();
      time.pauses.push(ms);
      time.steps.push(time.lookedAt);
      time.ms += time.lookedAt + passes(ms);
      time.lookedAt = 0;
      time.projected.push(await projected());
    },
  };
  const projected = async (): Promise<number> => {
    const tallies = ledger.storage.selectFrom("tallies").select(({ fn }) => fn.sum<number>("messages").as("messages"));
    return Number((await tallies.executeTakeFirstOrThrow()).messages);
  };
  const projector = new Projector({ ...ledger, clock, pressed });
  await projector.run(stop.signal);
  return { ...time, messages: await projected() };
}

it("leaves plants that press all of the time for two seconds", async () => {
  let looks = 0;
  const { projected, pauses } = await project(
    () => ++looks <= 40,
    (ms) => ms,
  );
  const held = pauses.filter((ms) => ms === 50).length;
  expect(held).toBeGreaterThan(30);
  expect(projected.slice(0, held)).toEqual(Array(held).fill(0));
});

it("leaves those that go on to press three times as long as a step of its own takes, and projects all the same", async () => {
  const {
    pauses: [, ...pauses],
    steps: [, ...steps],
    messages,
  } = await project(
    () => true,
    () => 1e6,
  );
  expect(messages).toBe(sites.length);
  expect(pauses.length).toBeGreaterThanOrEqual(sites.length);
  // the clock is looked at once before what the step is measured from
  expect(pauses).toEqual(steps.map((ms) => 3 * (ms - 7)));
});

it("goes on at once while nothing presses", async () => {
  const found = await project(
    () => false,
    () => 1e6,
  );
  expect(found).toMatchObject({ pauses: [], messages: sites.length });
});
