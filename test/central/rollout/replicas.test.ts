import { expect, it } from "vitest";
import { standsStill } from "../../../central/rollout/rollouts.ts";
import { settableClock } from "../../support/clock.ts";
import { postgresServer } from "../../support/postgres.ts";
import { addSites, Fleet, openRollouts, snapshot, start, stateOf, until } from "../../support/rollouts.ts";
import { openTestStorage } from "../../support/storages.ts";

const strategy = { waves: [{ count: 1 }], gate: { window: "10s", settle: "30s" } };
const has = (await postgresServer()) !== undefined;

it.runIf(has)("two replicas that look at once count the time that passes once, and tell each site once", async () => {
  await using lying = await openTestStorage("postgres");
  const clock = settableClock();
  await using one = await openRollouts(lying.target, { clock });
  await using other = await openRollouts(lying.target, { clock });
  const fleet = new Fleet(one);
  await addSites(one, ["a", "b", "c"]);
  await fleet.turn();
  await one.presence.save();
  const { rollout } = await start(one, "second", { strategy });
  clock.hold();
  // which of them holds the lease is left open, and what one heard the other reads
  const look = async () => {
    await one.presence.save();
    await Promise.all([one.look(), other.look()]);
  };
  for (let second = 0; second < 9; second++) {
    await fleet.turn();
    clock.pass(1000);
    await look();
  }
  // told, then in effect, then seven seconds of both: had each counted its own, the window would have passed
  const { rollouts, sites } = await snapshot(one);
  expect(rollouts[0]).toMatchObject({ wave: 0, held_ms: 7000 });
  expect(sites.map(({ state }) => state)).toEqual(["watching", "waiting", "waiting"]);
  await until({ ...one, look }, fleet, async () => (await stateOf(one, rollout)) === "done");
  const told = await one.storage.selectFrom("rollout_events").select("site").where("kind", "=", "told").orderBy("site").execute();
  expect(told.map(({ site }) => site)).toEqual(["a", "b", "c"]);
});

it.runIf(has)("another replica takes a rollout over when the one that drove it is gone", async () => {
  await using lying = await openTestStorage("postgres");
  const clock = settableClock();
  await using one = await openRollouts(lying.target, { clock });
  const fleet = new Fleet(one);
  await addSites(one, ["a", "b"]);
  const { rollout } = await start(one, "second", { strategy });
  for (let second = 0; second < 6; second++) {
    await fleet.turn();
    clock.pass(1000);
    await one.look();
  }
  const held = (await snapshot(one)).rollouts[0]?.held_ms ?? 0;
  await using other = await openRollouts(lying.target, { clock });
  await other.look();
  expect((await snapshot(one)).rollouts[0]?.held_ms).toBe(held);
  // its lease is by the database's clock, which no test sets
  await one.storage.updateTable("rollouts").set({ driver_until: 1 }).execute();
  const next = new Fleet(other);
  await next.turn();
  await other.look();
  expect((await snapshot(other)).rollouts[0]?.held_ms, "goes on from there, with nothing added for the time in between").toBe(
    held,
  );
  await until(other, next, async () => (await stateOf(other, rollout)) === "done");
});

it.runIf(has)("a replica that takes a rollout back ends the alarm of the one that stood still with it and is gone", async () => {
  await using lying = await openTestStorage("postgres");
  const clock = settableClock();
  await using one = await openRollouts(lying.target, { clock });
  const fleet = new Fleet(one);
  await addSites(one, ["a", "b"]);
  await fleet.turn();
  const { rollout } = await start(one, "second", { strategy });
  await one.look();
  // another one has it, by the database's clock
  const leased = (driver_until: number) =>
    one.storage.updateTable("rollouts").set({ driver: "another", driver_until }).where("number", "=", rollout).execute();
  await leased((await one.rollouts.now(one.storage)) + 9000);
  await one.look();
  await one.alarms.raise(one.storage, [{ ...standsStill(rollout), count: 1, reason: "it stands still" }]);
  await leased(1);
  await one.look();
  expect(await one.storage.selectFrom("exceptions").select("reason").where("ended_at", "is", null).execute()).toEqual([]);
});
