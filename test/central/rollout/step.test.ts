import { describe, expect, it } from "vitest";
import { lookAfter } from "../../../central/rollout/aftermath.ts";
import { summarize } from "../../../central/rollout/state.ts";
import { decide, step } from "../../../central/rollout/step.ts";
import { World } from "./world.ts";

const waves = [["a"], ["b", "c"], ["d", "e", "f"]];

describe("a rollout", () => {
  it("goes wave by wave, each after the one before has held its gate", () => {
    const world = new World(waves);
    world.look();
    expect(world.states()).toBe("told waiting waiting waiting waiting waiting");
    world.look();
    expect(world.site("a").state).toBe("watching");
    for (let second = 0; second < 9; second++) world.look();
    expect(world.site("b").state).toBe("waiting");
    world.look();
    expect(world.states()).toBe("healthy told told waiting waiting waiting");
    world.run();
    expect(world.rollout.state).toBe("done");
    expect(summarize(world.sites)).toBe("6 done");
  });

  it("counts its window by running time that both looks around it found well", () => {
    const world = new World([["a"], ["b"]]);
    world.look();
    world.look();
    // what passed before the first look that found it well says nothing
    expect(world.rollout.heldMs).toBe(0);
    world.look(4000);
    expect(world.rollout.heldMs).toBe(4000);
    world.plant("a").extra = { connectors: [{ name: "wms", state: "down" }] };
    world.look(4000);
    expect(world.rollout.heldMs).toBe(0);
    expect(world.events.at(-1)).toMatchObject({ site: "a", kind: "gate-broke" });
    world.plant("a").extra = {};
    world.look(4000);
    expect(world.rollout.heldMs).toBe(0);
    world.look(10_000);
    expect(world.states()).toBe("healthy told");
  });

  it.each([
    ["refuses", "its gateway refused it: it does not work"],
    ["gives-back", "its gateway gave it back: it does not work"],
    ["dead-letters", "1 new dead letter, 0 allowed"],
    ["connector-down", "connector wms is down, and was up before (refused)"],
    ["crashes", "its gateway restarted once, 0 allowed"],
    ["never", "revision 2 is not in effect after 20 s"],
  ] as const)("is put back whole when its canary %s", (behaviour, reason) => {
    const world = new World(waves);
    world.plant("a").behaviour = behaviour;
    world.run();
    expect(world.rollout).toMatchObject({ state: "rolled-back", wave: 0, reason: `a: ${reason}` });
    expect(world.states()).toBe("put-back waiting waiting waiting waiting waiting");
    expect([...world.plants.values()].map(({ desired, running }) => [desired, running])).toEqual(Array(6).fill([1, 1]));
  });

  it("puts back those that were healthy already when a later one fails", () => {
    const world = new World(waves);
    world.plant("c").behaviour = "refuses";
    world.run();
    expect(world.rollout.state).toBe("rolled-back");
    expect(world.states()).toBe("put-back put-back put-back waiting waiting waiting");
    expect(world.plant("a").desired).toBe(1);
  });

  it("puts back one site alone while no more fail than may", () => {
    const world = new World(waves, { maxFailures: 1 });
    world.plant("c").behaviour = "refuses";
    world.run();
    expect(world.rollout.state).toBe("done");
    expect(world.plant("c").desired).toBe(1);
    expect(summarize(world.sites)).toBe("5 done, 1 put back");
  });

  it("fails a site that had passed when it dead-letters later", () => {
    const world = new World(waves);
    while (world.site("a").state !== "healthy") world.look();
    world.plant("a").deadLetters += 3;
    world.run();
    expect(world.rollout).toMatchObject({ state: "rolled-back", reason: "a: 3 new dead letters, 0 allowed" });
  });

  it("ends without those out of reach, which keep what they are to run", () => {
    const world = new World(waves);
    world.plant("f").online = false;
    world.run();
    expect(world.rollout.state).toBe("done");
    expect(summarize(world.sites)).toBe("5 done, 1 pending");
    expect(world.plant("f").desired).toBe(2);
  });

  it("watches one that returns in time like the others", () => {
    const world = new World([["a", "b"], ["c"]]);
    world.plant("b").online = false;
    while (world.site("b").state !== "pending") world.look();
    world.plant("b").online = true;
    world.plant("b").behaviour = "dead-letters";
    world.run();
    expect(world.rollout).toMatchObject({ state: "rolled-back", reason: "b: 1 new dead letter, 0 allowed" });
  });

  it("pauses for one out of reach where the change says so, and passes it when a person resumes", () => {
    const world = new World([["a", "b"], ["c"]], { unreachableThen: "pause" });
    world.plant("b").online = false;
    world.run();
    expect(world.rollout).toMatchObject({ state: "paused", wave: 0 });
    const resumed = decide("resume", {
      rollout: world.rollout,
      sites: world.sites,
      facts: world.facts(),
      text: "the line is down until Monday",
    });
    if (resumed) world.take(resumed);
    world.run();
    expect(world.rollout.state).toBe("done");
  });

  it("pauses behind a wave in which nobody could be watched: that proves nothing", () => {
    const world = new World([["a"], ["b"]]);
    world.plant("a").behaviour = "falls-silent";
    world.run();
    expect(world.rollout.state).toBe("paused");
    expect(world.rollout.reason).toContain("proves nothing");
    expect(world.plant("b").desired).toBe(1);
    const resumed = decide("resume", { rollout: world.rollout, sites: world.sites, facts: world.facts(), text: "known" });
    if (resumed) world.take(resumed);
    world.run();
    expect(summarize(world.sites)).toBe("1 done, 1 pending");
  });

  it("does not wait for a site that was revoked or never had a gateway", () => {
    const world = new World([["a", "b", "c"]]);
    world.plant("b").link = "revoked";
    world.plant("c").link = "absent";
    world.run();
    expect(summarize(world.sites)).toBe("1 done, 2 pending");
    expect(world.site("b").reason).toBe("its access was revoked");
    expect(world.site("c").reason).toBe("its gateway was never heard");
    // whoever is given its key or its gateway later gets the newest
    expect(world.plant("c").desired).toBe(2);
  });

  it("leaves a site alone that something else was pushed to", () => {
    const world = new World([["a", "b"]]);
    world.look();
    world.plant("b").desired = 9;
    world.plant("b").running = 9;
    world.look();
    expect(world.site("b")).toMatchObject({ state: "pending", reason: "revision 9 was pushed meanwhile" });
    const aborted = decide("abort", { rollout: world.rollout, sites: world.sites, facts: world.facts(), text: "no" });
    expect(aborted?.desires).toEqual([{ site: "a", to: { revision: 1, digest: "d1" } }]);
  });

  it("goes back to what was pushed before the site was told", () => {
    const world = new World([["a"], ["b"]]);
    world.plant("b").desired = 9;
    world.plant("b").running = 9;
    while (world.site("b").state === "waiting") world.look();
    expect(world.site("b").from).toMatchObject({ revision: 9 });
  });

  it("takes sites that came meanwhile as one more wave", () => {
    const world = new World([["a"]]);
    world.add("new");
    world.newcomers = [{ site: "new", from: { revision: 1, digest: "d1" }, to: { revision: 2, digest: "d2" } }];
    world.run();
    expect(world.rollout.plan.waves.map(({ title }) => title)).toEqual(["wave 0", "came meanwhile"]);
    expect(summarize(world.sites)).toBe("2 done");
  });

  it("is done at once when nobody gets anything else", () => {
    const world = new World([]);
    expect(world.run()).toBe(1);
    expect(world.rollout.state).toBe("done");
  });

  it("waits while its gateway still watches by itself", () => {
    const world = new World([["a"], ["b"]]);
    world.look();
    world.look();
    world.plant("a").extra = { state: "watching" };
    for (let second = 0; second < 30; second++) world.look();
    expect(world.states()).toBe("watching waiting");
    world.plant("a").extra = {};
    world.look();
    expect(world.states()).toBe("healthy told");
  });

  it("does not take a refusal of before for one of now", () => {
    const world = new World([["a"]]);
    const plant = world.plant("a");
    Object.assign(plant, { refused: 2, behaviour: "refuses" });
    world.look();
    expect(world.site("a").state).toBe("told");
    Object.assign(plant, { refused: null, behaviour: "good" });
    world.run();
    expect(world.rollout.state).toBe("done");
  });

  it("tells a number that stands for something else from its own", () => {
    const world = new World([["a"]]);
    world.plant("a").behaviour = "never";
    world.plant("a").extra = { revision: 2, digest: "of another ledger" };
    world.look();
    world.look();
    expect(world.site("a").state).toBe("told");
  });

  it("lets no gate pass on what a gateway said long ago, although it calls", () => {
    const world = new World([["a"], ["b"]]);
    world.look();
    world.look();
    world.plant("a").mute = true;
    for (let second = 0; second < 15; second++) world.look();
    expect(world.states()).toBe("watching waiting");
    world.plant("a").mute = false;
    while (world.site("a").state !== "healthy") world.look();
    expect(world.site("a").unwellMs).toBe(15_000);
  });

  it("does not count a start while it was out of reach as a restart", () => {
    const world = new World([["a", "b"]]);
    world.plant("b").online = false;
    world.look();
    world.look();
    world.plant("b").online = true;
    world.plant("b").startedAt += 1;
    world.run();
    expect(summarize(world.sites)).toBe("2 done");
  });

  it("holds no backlog of before against a site", () => {
    const world = new World([["a", "b"]]);
    const [a, b] = [world.plant("a"), world.plant("b")];
    if (a.report) a.report = { ...a.report, uplinkLagMs: 3_600_000 };
    world.take(step({ rollout: world.rollout, sites: world.sites, facts: world.facts(), elapsedMs: 0 }));
    a.desired = b.desired = a.running = b.running = 2;
    a.extra = { uplinkLagMs: 3_600_000 };
    world.look();
    expect(world.states()).toBe("watching watching");
    expect(world.site("a").reason).toBeNull();
    b.extra = { deliveryLagMs: 3_600_000 };
    world.look();
    expect(world.site("b").reason).toBe("a message waits for a system of the site for 3600 s");
  });

  it("is put back by a person's abort, with those out of reach", () => {
    const world = new World([["a", "b"], ["c"]]);
    world.plant("b").online = false;
    while (world.site("b").state !== "pending") world.look();
    const aborted = decide("abort", { rollout: world.rollout, sites: world.sites, facts: world.facts(), text: "wrong plant" });
    if (aborted) world.take(aborted);
    expect(world.rollout.state).toBe("putting-back");
    world.run();
    expect(world.rollout).toMatchObject({ state: "aborted", reason: "wrong plant" });
    expect([world.plant("a").desired, world.plant("b").desired, world.plant("c").desired]).toEqual([1, 1, 1]);
  });

  it("ends although a site does not go back, and says so", () => {
    const world = new World([["a"], ["b"]]);
    while (world.site("b").state !== "watching") world.look();
    const aborted = decide("abort", { rollout: world.rollout, sites: world.sites, facts: world.facts(), text: "no" });
    if (aborted) world.take(aborted);
    world.plant("a").refused = 1;
    world.run();
    expect(world.rollout.state).toBe("aborted");
    expect(world.events.some(({ site, kind }) => site === "a" && kind === "not-back")).toBe(true);
    expect(world.states()).toBe("putting-back put-back");
  });

  it("takes no decision that does not fit its state", () => {
    const world = new World([["a"]]);
    world.run();
    for (const decision of ["pause", "resume", "abort"] as const)
      expect(decide(decision, { rollout: world.rollout, sites: world.sites, facts: world.facts(), text: "" })).toBeUndefined();
  });
});

describe("behind a rollout that has ended", () => {
  it("a pending site is done when it returns, or failed when its gateway gives it back", () => {
    const world = new World([["a", "b", "c"]]);
    world.plant("b").online = false;
    world.plant("c").online = false;
    world.run();
    const behind = (name: string) => lookAfter("done", world.site(name), world.facts().get(name) ?? expect.fail());
    expect(behind("b")).toBeUndefined();
    world.plant("b").online = true;
    Object.assign(world.plant("c"), { online: true, behaviour: "gives-back" });
    world.look();
    expect(behind("b")).toMatchObject({ site: { state: "healthy" } });
    expect(behind("c")).toMatchObject({ site: { state: "failed", reason: "its gateway gave it back: it does not work" } });
    world.plant("c").desired = 3;
    expect(behind("c")).toBeUndefined();
  });
});
