import { describe, expect, it } from "vitest";
import { lookAfter } from "../../../central/rollout/aftermath.ts";
import type { SiteFacts, SiteReport, SiteUpgrade } from "../../../central/rollout/facts.ts";
import { type RolloutRecord, type SiteRecord, toSiteRecord } from "../../../central/rollout/state.ts";
import { decide, step } from "../../../central/rollout/step.ts";
import type { VersionRef } from "../../../central/rollout/target.ts";
import { limits } from "./world.ts";

const from: VersionRef = { version: "0.1.0", package: "plantgate-gateway_0.1.0_amd64.deb" };
const to: VersionRef = { version: "0.2.0", package: "plantgate-gateway_0.2.0_amd64.deb" };

/** The smallest piece that a gateway keeps. */
const piece = 16 * 1024;

describe("a rollout of a version", () => {
  it("leaves alone who was upgraded past it by hand while it waited for its wave, and puts nobody back for that", () => {
    const world = new Versions();
    world.says("0.3.0", { state: "kept", version: "0.3.0" });
    for (let second = 0; second < 200; second++) world.look();
    expect([world.site.state, world.site.reason, world.desired]).toEqual([
      "pending",
      "runs 0.3.0, which is newer: somebody upgraded it meanwhile",
      "",
    ]);
    expect(world.rollout.state).toBe("done");
  });

  it("leaves alone who comes back with a later one", () => {
    const world = new Versions();
    world.look();
    world.link = "silent";
    for (let second = 0; second < 40; second++) world.look();
    expect(world.site.state).toBe("pending");
    world.rollout = { ...world.rollout, state: "running" };
    world.link = "reachable";
    world.says("0.3.0", { state: "kept", version: "0.3.0" }, { startedAt: "2" });
    const said: string[] = [];
    for (let second = 0; second < 3; second++) {
      world.rollout = { ...world.rollout, state: "running" };
      said.push(...world.look().events.flatMap(({ site, kind, text }) => (site === "a" ? [`${kind}: ${text}`] : [])));
    }
    const words = "runs 0.3.0, which is newer: somebody upgraded it meanwhile";
    expect([world.site.state, world.site.reason, said]).toEqual(["pending", words, [`pending: ${words}`]]);
  });

  it("tells who runs what the way back leads from", () => {
    const world = new Versions();
    world.site = toSiteRecord({ site: "a", from: to, to: from }, 0);
    world.says("0.2.0", { state: "kept", version: "0.2.0" });
    world.look();
    expect([world.site.state, world.desired]).toEqual(["told", "0.1.0"]);
  });

  it("forgives the restart that brings it, and none after that", () => {
    const world = new Versions();
    world.look();
    world.says("0.2.0", { state: "trial", version: "0.2.0" }, { startedAt: "2" });
    world.look();
    expect(world.site).toMatchObject({ state: "watching", memory: { restarts: 0 } });
    world.says("0.2.0", { state: "trial", version: "0.2.0" }, { startedAt: "3" });
    world.look();
    expect(world.reason).toBe("a: its gateway restarted once, 0 allowed");
  });

  it("compares with what was well before the restart, although it was silent for longer than its lease", () => {
    const world = new Versions();
    world.look();
    world.link = "silent";
    world.look();
    world.link = "reachable";
    const connectors = [{ name: "wms", state: "down", reason: "no route" }];
    world.says("0.2.0", { state: "kept", version: "0.2.0" }, { startedAt: "2", connectors });
    for (let second = 0; second < 22; second++) world.look();
    expect(world.reason).toBe("a: connector wms is down, and was up before (no route)");
  });

  it("passes no gate while a machine may still give it back", () => {
    const world = new Versions();
    world.look();
    world.says("0.2.0", { state: "trial", version: "0.2.0" }, { startedAt: "2" });
    for (let second = 0; second < 60; second++) world.look();
    expect(world.site.state).toBe("watching");
    expect(world.rollout.heldMs).toBeGreaterThan(limits.windowMs);
    world.says("0.2.0", { state: "kept", version: "0.2.0" }, { startedAt: "2" });
    world.look();
    expect(world.rollout.state).toBe("done");
  });

  it("counts no patience while bytes of its package come, and five times what a configuration may take afterwards", () => {
    const world = new Versions();
    world.look();
    for (let second = 1; second <= 500; second++) {
      world.says("0.1.0", { state: "downloading", version: "0.2.0", bytes: second * piece });
      world.look();
    }
    expect(world.site).toMatchObject({ state: "told", reason: "its package is on the way" });
    const stuck = { state: "downloading", version: "0.2.0", bytes: 500 * piece, reason: "the disk has no room for it" } as const;
    world.says("0.1.0", stuck);
    let looks = 0;
    for (; world.rollout.state === "running"; looks++) world.look();
    expect(looks).toBe((5 * limits.settleMs) / 1000);
    expect(world.reason).toBe("a: version 0.2.0 is not in effect after 100 s; it says: the disk has no room for it");
  });

  it("gives up a package that creeps", () => {
    const world = new Versions();
    world.look();
    for (let second = 1; world.rollout.state === "running"; second++) {
      world.says("0.1.0", { state: "downloading", version: "0.2.0", bytes: second });
      world.look();
      if (second > 1000) throw new Error("it is waited for, for ever");
    }
    expect(world.reason).toContain("version 0.2.0 is not in effect after 100 s");
  });

  it("takes no word of an attempt before for one of now, even of the same version", () => {
    const world = new Versions();
    const before = { state: "rolled-back", version: "0.2.0", reason: "not ready", at: "2026-01-31T08:00:00.000Z" } as const;
    world.says("0.1.0", before);
    world.look();
    world.look();
    expect(world.site.state).toBe("told");
    world.says("0.1.0", { ...before, at: "2026-01-31T09:00:00.000Z" });
    world.look();
    expect(world.reason).toBe("a: its gateway gave it back: not ready");
  });

  it("does not take a site for back that is about to go on to what it should not have", () => {
    const world = new Versions();
    world.look();
    world.says("0.1.0", { state: "handed-over", version: "0.2.0" });
    world.look();
    world.take(decide("abort", { rollout: world.rollout, sites: [world.site], facts: world.facts(), text: "no" }));
    expect(world.desired).toBe("0.1.0");
    world.says("0.1.0", { state: "handed-over", version: "0.2.0" });
    world.look();
    expect(world.site.state).toBe("putting-back");
    world.says("0.1.0", { state: "none" });
    world.look();
    expect(world.site.state).toBe("put-back");
    expect(world.rollout.state).toBe("aborted");
  });

  it("is followed at a site that was left behind, until its machine has kept it or given it back", () => {
    const world = new Versions();
    const left: SiteRecord = { ...world.site, state: "pending" };
    world.desired = "0.2.0";
    world.says("0.2.0", { state: "trial", version: "0.2.0" });
    expect(lookAfter("done", left, world.own())).toBeUndefined();
    world.says("0.2.0", { state: "kept", version: "0.2.0" });
    expect(lookAfter("done", left, world.own())?.site.state).toBe("healthy");
    world.says("0.1.0", { state: "rolled-back", version: "0.2.0", reason: "not ready" });
    expect(lookAfter("done", left, world.own())?.event.text).toContain(
      "its gateway gave it back: not ready; the rollout has ended",
    );
  });
});

/** One site that runs 0.1.0 and is to run 0.2.0; what its gateway says is what the test says. */
class Versions {
  rollout: RolloutRecord = {
    ...{ state: "running", wave: 0, heldMs: 0, reason: null, ending: null },
    plan: { limits, waves: [{ title: "canary" }] },
  };
  site: SiteRecord = toSiteRecord({ site: "a", from, to }, 0);
  desired = "";
  link: SiteFacts["link"] = "reachable";
  #report!: SiteReport;
  #at = 0;

  constructor() {
    this.says("0.1.0", { state: "none" });
  }

  get reason(): string | null {
    return this.rollout.reason;
  }

  says(version: string, upgrade: Partial<SiteUpgrade> & Pick<SiteUpgrade, "state">, more: Partial<SiteReport> = {}): void {
    this.#report = {
      ...{ at: ++this.#at, version, revision: 1, digest: null, state: "active", reason: null, refused: null },
      upgrade: { version: null, reason: null, at: null, bytes: 0, ...upgrade },
      ...{ deadLetters: 0, deadLettersSince: null, startedAt: "1", uplinkLagMs: 0, deliveryLagMs: 0 },
      connectors: [{ name: "wms", state: "up" }],
      ...more,
    };
  }

  own(): SiteFacts {
    return { desired: 1, desiredVersion: this.desired, link: this.link, fencedAt: null, report: this.#report, isCurrent: true };
  }
  facts(): Map<string, SiteFacts> {
    return new Map([["a", this.own()]]);
  }

  look(): ReturnType<typeof step> {
    const input = { rollout: this.rollout, sites: [this.site], facts: this.facts(), elapsedMs: 1000 };
    const first = step(input);
    const outcome = first.asksForNewcomers ? step({ ...input, newcomers: [] }) : first;
    this.take(outcome);
    return outcome;
  }

  take(outcome: ReturnType<typeof step> | undefined): void {
    if (!outcome) throw new Error("nothing came of it");
    this.rollout = outcome.rollout;
    this.site = outcome.sites[0] as SiteRecord;
    for (const { to: wanted } of outcome.desires) if ("version" in wanted) this.desired = wanted.version;
  }
}
