import { describe, expect, it } from "vitest";
import { Audit } from "../../../central/audit/audit.ts";
import type { Storage } from "../../../central/storage/storage.ts";
import { PlantgateError } from "../../../protocol/index.ts";
import { eventually } from "../../support/central.ts";
import { addSites, Fleet, openRollouts, snapshot, start, stateOf, type TestRollouts, until } from "../../support/rollouts.ts";
import { openTestStorage, storages } from "../../support/storages.ts";

const sites = ["a", "b", "c", "d", "e"];
const quick = { waves: [{ count: 1 }, { percent: 60 }], gate: { window: "5s", settle: "10s" } };

describe.each(await storages())("rollouts on %s", (kind) => {
  it("go wave by wave to all sites, and leave a chain of audit entries", async () => {
    await using lying = await openTestStorage(kind);
    await using test = await openRollouts(lying.target);
    const fleet = new Fleet(test);
    await addSites(test, sites);
    const { change, rollout } = await start(test, "second", { strategy: quick });
    const waves: number[] = [];
    await until(test, fleet, async () => {
      const told = await test.storage.selectFrom("sites").select("name").where("desired_revision", "=", 2).execute();
      if (told.length !== waves.at(-1)) waves.push(told.length);
      return (await stateOf(test, rollout)) === "done";
    });
    expect(waves).toEqual([1, 3, 5]);
    expect(await changeState(test, change)).toBe("done");
    expect(test.woken).toEqual(sites);
    expect(await actions(test)).toEqual([
      "rollout.queued",
      "rollout.began",
      "rollout.waveBegan",
      "rollout.waveBegan",
      "rollout.waveBegan",
      "rollout.ended",
    ]);
    expect(await new Audit(test.clock).verify(test.storage)).toMatchObject({ badAt: null });
  });

  it("are stopped at a canary that dead-letters, and put back, with an alarm", async () => {
    await using lying = await openTestStorage(kind);
    await using test = await openRollouts(lying.target);
    const fleet = new Fleet(test);
    fleet.manners.set("a", "dead-letters");
    await addSites(test, sites);
    const { change, rollout } = await start(test, "bad", { strategy: quick });
    await until(test, fleet, async () => (await stateOf(test, rollout)) === "rolled-back");
    await fleet.turn();
    expect(fleet.ran).toEqual(new Map(sites.map((site) => [site, site === "a" ? [1, 2, 1] : [1]])));
    expect(await changeState(test, change)).toBe("rolled-back");
    const alarms = await test.storage.selectFrom("exceptions").select(["site", "kind", "reason"]).orderBy("site").execute();
    expect(alarms).toEqual([
      { site: "", kind: "rolled-back", reason: `rollout 1 (change ${change}) is put back: a: 1 new dead letter, 0 allowed` },
      { site: "a", kind: "revision-failed", reason: "rollout 1: 1 new dead letter, 0 allowed; it goes back to revision 1" },
    ]);
  });

  it("are one at a time in an environment, urgent ones first, and do not wait for other environments", async () => {
    await using lying = await openTestStorage(kind);
    await using test = await openRollouts(lying.target);
    const fleet = new Fleet(test);
    await addSites(test, ["a", "b"]);
    await addSites(test, ["t"], "test");
    await fleet.turn();
    const first = await start(test, "second", { strategy: quick });
    await test.look();
    const second = await start(test, "third", { strategy: quick });
    const urgent = await start(test, "urgent", { strategy: quick, expedited: true });
    const other = await start(test, "other", { environment: "test", strategy: quick });
    await test.look();
    expect((await snapshot(test)).rollouts.map(({ state }) => state)).toEqual(["running", "queued", "queued", "running"]);
    const order: number[] = [];
    await until(test, fleet, async () => {
      for (const { number, state } of (await snapshot(test)).rollouts)
        if (state === "done" && !order.includes(number)) order.push(number);
      return order.length === 4;
    });
    expect(order.filter((number) => number !== other.rollout)).toEqual([first.rollout, urgent.rollout, second.rollout]);
    // the last that was approved is what they run in the end
    expect(fleet.ran.get("a")).toEqual([1, 2, 3, 4]);
  });

  it("do not wait while a change of another environment is rendered", async () => {
    await using lying = await openTestStorage(kind);
    await using test = await openRollouts(lying.target);
    const fleet = new Fleet(test);
    await addSites(test, ["a"]);
    await addSites(test, ["t"], "test");
    await fleet.turn();
    const rendered = Promise.withResolvers<void>();
    test.changes.slow.set("test", rendered.promise);
    const other = await start(test, "other", { environment: "test", strategy: quick });
    const { rollout } = await start(test, "second", { strategy: quick });
    const first = test.look();
    await eventually(
      () => stateOf(test, rollout),
      (state) => state === "running",
    );
    await until(test, fleet, async () => (await stateOf(test, rollout)) === "done");
    expect(await stateOf(test, other.rollout)).toBe("queued");
    rendered.resolve();
    await first;
    expect(await stateOf(test, other.rollout)).toBe("running");
  });

  it("do not wait for sites that were revoked or have no gateway, which get the newest when they do", async () => {
    await using lying = await openTestStorage(kind);
    await using test = await openRollouts(lying.target);
    const fleet = new Fleet(test);
    await addSites(test, ["a", "b", "c"]);
    fleet.silent.add("c");
    await fleet.turn();
    await test.registry.revoke("b");
    const { rollout } = await start(test, "second", { strategy: { waves: [], gate: { window: "5s" } } });
    await until(test, fleet, async () => (await stateOf(test, rollout)) === "done");
    expect((await snapshot(test)).sites.map(({ site, state, reason }) => [site, state, reason])).toEqual([
      ["a", "healthy", null],
      ["b", "pending", "its access was revoked"],
      ["c", "pending", "its gateway was never heard"],
    ]);
    expect(await desired(test)).toEqual([2, 2, 2]);
  });

  it("are paused, resumed and aborted by people, whose names and reasons stay", async () => {
    await using lying = await openTestStorage(kind);
    await using test = await openRollouts(lying.target);
    const fleet = new Fleet(test);
    await addSites(test, sites);
    await fleet.turn();
    const { rollout } = await start(test, "second", { strategy: quick });
    await test.look();
    const decide = (decision: "pause" | "resume" | "abort", reason: string) =>
      test.rollouts.decide(rollout, decision, { actor: "grace", reason });
    expect(await decide("pause", "the shift changes")).toEqual({ kind: "done" });
    for (let second = 0; second < 20; second++) {
      await fleet.turn();
      test.clock.pass(1000);
      await test.look();
    }
    expect(await desired(test)).toEqual([2, 1, 1, 1, 1]);
    expect(await decide("pause", "again")).toEqual({ kind: "refused", state: "paused" });
    await decide("resume", "");
    await until(test, fleet, async () => (await desired(test)).filter((revision) => revision === 2).length === 3);
    await decide("abort", "wrong plant");
    await until(test, fleet, async () => (await stateOf(test, rollout)) === "aborted");
    expect(await desired(test)).toEqual([1, 1, 1, 1, 1]);
    expect(await decide("resume", "")).toEqual({ kind: "refused", state: "aborted" });
    expect(await test.rollouts.decide(99, "abort", { actor: "grace", reason: "x" })).toEqual({ kind: "unknown" });
    const entries = (await test.storage.selectFrom("audit").select("entry").execute()).map(({ entry }) => JSON.parse(entry));
    expect(entries.filter(({ actor }) => actor === "grace").map(({ action, detail }) => [action, detail.text])).toEqual([
      ["rollout.paused", "the shift changes (grace)"],
      ["rollout.resumed", "by grace"],
      ["rollout.aborted", "wrong plant (grace)"],
      ["rollout.putBack", "3 sites to go back: wrong plant (grace)"],
    ]);
  });

  it("end their change behind all that they lock for the sites, as others lock those before the audit log", async () => {
    await using lying = await openTestStorage(kind);
    await using test = await openRollouts(lying.target);
    const fleet = new Fleet(test);
    await addSites(test, ["a"]);
    await fleet.turn();
    const { rollout } = await start(test, "second", { strategy: quick });
    await test.look();
    // nobody waits for it to go back: it is told to, and the rollout ends, in one transaction
    await test.registry.revoke("a");
    const seen: number[] = [];
    const { ended } = test.changes;
    test.changes.ended = async (...given) => {
      const site = await given[0]
        .selectFrom("sites")
        .select("desired_revision")
        .where("name", "=", "a")
        .executeTakeFirstOrThrow();
      seen.push(site.desired_revision);
      await ended.apply(test.changes, given);
    };
    await test.rollouts.decide(rollout, "abort", { actor: "grace", reason: "wrong plant" });
    expect([await stateOf(test, rollout), seen]).toEqual(["aborted", [1]]);
  });

  it("take up sites that are registered meanwhile before they end", async () => {
    await using lying = await openTestStorage(kind);
    await using test = await openRollouts(lying.target);
    const fleet = new Fleet(test);
    await addSites(test, ["a", "b"]);
    await fleet.turn();
    const { rollout } = await start(test, "second", { strategy: quick });
    await test.look();
    await addSites(test, ["new"]);
    await until(test, fleet, async () => (await stateOf(test, rollout)) === "done");
    expect((await snapshot(test)).sites.map(({ site, wave, state }) => [site, wave, state])).toEqual([
      ["a", 0, "healthy"],
      ["b", 1, "healthy"],
      ["new", 2, "healthy"],
    ]);
  });

  it("end with those out of reach pending; who returns is done, or fails with an alarm", async () => {
    await using lying = await openTestStorage(kind);
    await using test = await openRollouts(lying.target);
    const fleet = new Fleet(test);
    await addSites(test, ["a", "b", "c"]);
    await fleet.turn();
    fleet.silent.add("b").add("c");
    test.clock.pass(60_000);
    await fleet.turn();
    const strategy = { waves: [], gate: { window: "5s", settle: "10s" }, unreachable: { after: "20s" } };
    const { rollout } = await start(test, "bad for c", { strategy });
    fleet.manners.set("a", "good").set("b", "good");
    await until(test, fleet, async () => (await stateOf(test, rollout)) === "done");
    expect((await snapshot(test)).sites.map(({ state }) => state)).toEqual(["healthy", "pending", "pending"]);
    expect(await desired(test)).toEqual([2, 2, 2]);
    fleet.silent.clear();
    await until(test, fleet, async () => (await snapshot(test)).sites.every(({ state }) => state !== "pending"));
    expect((await snapshot(test)).sites.map(({ state }) => state)).toEqual(["healthy", "healthy", "failed"]);
    expect(await standing(test.storage)).toEqual([["c", "revision-failed"]]);
    expect((await actions(test)).at(-1)).toBe("rollout.siteFailed");
    // it never goes to an older one than the newest
    expect(await desired(test)).toEqual([2, 2, 2]);
  });

  it("give a site that was away for several of them the newest approved revision when it returns, and no other", async () => {
    await using lying = await openTestStorage(kind);
    await using test = await openRollouts(lying.target);
    const fleet = new Fleet(test);
    await addSites(test, ["a", "b"]);
    await fleet.turn();
    fleet.silent.add("b");
    test.clock.pass(60_000);
    await fleet.turn();
    const strategy = { waves: [], gate: { window: "2s", settle: "10s" }, unreachable: { after: "5s" } };
    for (const version of ["second", "third", "bad"]) await start(test, version, { strategy });
    fleet.manners.set("a", "refuses");
    await until(test, fleet, async () => (await stateOf(test, 3)) === "rolled-back");
    expect((await snapshot(test)).rollouts.map(({ state }) => state)).toEqual(["done", "done", "rolled-back"]);
    expect(await desired(test)).toEqual([3, 3]);
    fleet.silent.clear();
    await until(test, fleet, async () => (await snapshot(test)).sites.every(({ state }) => state !== "putting-back"));
    expect(fleet.ran.get("b")).toEqual([1, 3]);
  });

  it("are given up, with the reason, when their change cannot be planned any more", async () => {
    await using lying = await openTestStorage(kind);
    await using test = await openRollouts(lying.target);
    await addSites(test, ["a"]);
    const { change, rollout } = await start(test, "second");
    test.changes.refused = "document Template/press moved meanwhile";
    await test.look();
    expect(await stateOf(test, rollout)).toBe("aborted");
    expect(await changeState(test, change)).toBe("aborted");
  });

  it("stand still with an alarm while they cannot be planned, and go on once they can", async () => {
    await using lying = await openTestStorage(kind);
    await using test = await openRollouts(lying.target);
    const fleet = new Fleet(test);
    await addSites(test, ["a"]);
    await fleet.turn();
    const { rollout } = await start(test, "second", { strategy: quick });
    const failing = Promise.reject(new Error("too much for its thread"));
    failing.catch(() => {});
    test.changes.slow.set("prod", failing);
    await test.look();
    expect(await standing(test.storage)).toEqual([["", "rollout-waits"]]);
    test.changes.slow.clear();
    await until(test, fleet, async () => (await stateOf(test, rollout)) === "done");
    expect(await standing(test.storage)).toEqual([]);
  });

  it("stand still with an alarm also where the first one could not be written", async () => {
    await using lying = await openTestStorage(kind);
    await using test = await openRollouts(lying.target);
    await addSites(test, ["a"]);
    await start(test, "second", { strategy: quick });
    const failing = Promise.reject(new Error("too much for its thread"));
    failing.catch(() => {});
    test.changes.slow.set("prod", failing);
    const { raise } = test.alarms;
    test.alarms.raise = () => Promise.reject(new Error("no room"));
    await expect(test.look()).rejects.toThrow("no room");
    test.alarms.raise = raise;
    await test.look();
    expect(await standing(test.storage)).toEqual([["", "rollout-waits"]]);
  });

  it("do not stand still any more, for a person, once they are ended or a central that was started anew goes on with them", async () => {
    await using lying = await openTestStorage(kind);
    await using test = await openRollouts(lying.target);
    const fleet = new Fleet(test);
    await addSites(test, ["a"]);
    await addSites(test, ["t"], "test");
    await fleet.turn();
    const other = await start(test, "other", { environment: "test", strategy: quick });
    const { rollout } = await start(test, "second", { strategy: quick });
    const failing = Promise.reject(new Error("too much for its thread"));
    failing.catch(() => {});
    for (const environment of ["prod", "test"]) test.changes.slow.set(environment, failing);
    await test.look();
    expect(await standing(test.storage)).toHaveLength(2);
    await test.rollouts.decide(other.rollout, "abort", { actor: "grace", reason: "wrong plant" });
    expect(await standing(test.storage)).toEqual([["", "rollout-waits"]]);
    const { storage, clock } = test;
    const anew = await openRollouts(lying.target, { storage, clock });
    await new Fleet(anew).turn();
    await anew.look();
    expect([await stateOf(test, rollout), await standing(test.storage)]).toEqual(["running", []]);
  });

  it("stand still no more where a person ended them while they were planned, which then failed", async () => {
    await using lying = await openTestStorage(kind);
    await using test = await openRollouts(lying.target);
    await addSites(test, ["a"]);
    const { rollout } = await start(test, "second", { strategy: quick });
    const planning = Promise.withResolvers<void>();
    const { plan } = test.changes;
    const begun = Promise.withResolvers<void>();
    test.changes.plan = (...given) => {
      begun.resolve();
      return plan.apply(test.changes, given);
    };
    test.changes.slow.set("prod", planning.promise);
    const looking = test.look();
    await begun.promise;
    await test.rollouts.decide(rollout, "abort", { actor: "grace", reason: "wrong plant" });
    planning.reject(new Error("too much for its thread"));
    await looking;
    expect([await stateOf(test, rollout), await standing(test.storage)]).toEqual(["aborted", []]);
  });

  it("stand still no more also where the first word of that could not be written", async () => {
    await using lying = await openTestStorage(kind);
    await using test = await openRollouts(lying.target);
    const fleet = new Fleet(test);
    await addSites(test, ["a"]);
    await fleet.turn();
    await start(test, "second", { strategy: quick });
    await test.look();
    const { open } = test.rollouts;
    test.rollouts.open = () => Promise.reject(new Error("no such column"));
    await test.look();
    expect(await standing(test.storage)).toEqual([["", "rollout-waits"]]);
    test.rollouts.open = open;
    const { end } = test.alarms;
    test.alarms.end = () => Promise.reject(new PlantgateError("PEER_UNREACHABLE", "the database does not answer"));
    await expect(test.look()).rejects.toThrow("does not answer");
    test.alarms.end = end;
    await test.look();
    expect(await standing(test.storage)).toEqual([]);
  });

  it("leave alone what was pushed meanwhile", async () => {
    await using lying = await openTestStorage(kind);
    await using test = await openRollouts(lying.target);
    const fleet = new Fleet(test);
    await addSites(test, ["a", "b"]);
    await fleet.turn();
    const { rollout } = await start(test, "second", { strategy: { waves: [], gate: { window: "5s" } } });
    await test.look();
    await test.storage.updateTable("sites").set({ desired_revision: 1 }).where("name", "=", "b").execute();
    await until(test, fleet, async () => (await stateOf(test, rollout)) === "done");
    expect((await snapshot(test)).sites.map(({ state, reason }) => [state, reason])).toEqual([
      ["healthy", null],
      ["pending", "revision 1 was pushed meanwhile"],
    ]);
  });
});

async function desired({ storage }: TestRollouts): Promise<number[]> {
  return (await storage.selectFrom("sites").select("desired_revision").orderBy("name").execute()).map(
    (row) => row.desired_revision,
  );
}
async function changeState({ storage }: TestRollouts, change: number): Promise<string> {
  return (await storage.selectFrom("changes").select("state").where("number", "=", change).executeTakeFirstOrThrow()).state;
}
async function actions({ storage }: TestRollouts): Promise<string[]> {
  const rows = await storage.selectFrom("audit").select("entry").orderBy("number").execute();
  return rows
    .map(({ entry }) => (JSON.parse(entry) as { action: string }).action)
    .filter((action) => action.startsWith("rollout."));
}
async function standing(storage: Storage): Promise<string[][]> {
  const rows = await storage.selectFrom("exceptions").select(["site", "kind"]).where("ended_at", "is", null).execute();
  return rows.map(({ site, kind }) => [site, kind]);
}
