import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { beginTrial, settle } from "../../../packaging/upgrade/trials.ts";
import { upgrade } from "../../../packaging/upgrade/upgrade.ts";
import { PlantgateError } from "../../../protocol/index.ts";
import { type Conduct, Cut, InstalledMachine } from "../../support/installed-machine.ts";

const options = { watchMs: 60_000, allowOlder: false, backup: true };
/** More than an upgrade has; a run that is not cut any more ends the row. */
const mostSteps = 60;

/** What holds at every moment, and in particular where nobody comes to tidy up. */
function requireWhole(machine: InstalledMachine): void {
  expect(["0.1.0", "0.2.0"]).toContain(machine.current);
  expect(existsSync(join(machine.layout.current, "manifest.json"))).toBe(true);
  expect(machine.running).toBe(machine.current);
}

function requireSettled(machine: InstalledMachine, conduct: Conduct): void {
  requireWhole(machine);
  expect(machine.record("trial")).toBeUndefined();
  if (conduct !== "well") expect(machine.current).toBe("0.1.0");
  if (machine.current === "0.2.0") expect(machine.record("last")).toMatchObject({ version: "0.2.0", outcome: "kept" });
  else expect(machine.record("last")?.outcome).not.toBe("kept");
  expect(existsSync(join(machine.layout.versions, "0.1.0/bin/plantgate"))).toBe(true);
  expect(existsSync(machine.layout.work)).toBe(false);
}

/** Cuts an upgrade at one step. @returns whether there was such a step */
async function cut(machine: InstalledMachine, at: number, side: "before" | "after", to = "0.2.0"): Promise<boolean> {
  const given = machine.tar(to);
  const deps = machine.cutAt(at, side);
  try {
    await upgrade(deps, given, { ...options, allowOlder: to === "0.1.0" });
  } catch (error) {
    if (!(error instanceof Cut)) throw error;
  }
  return deps.isCut();
}

const conducts: Conduct[] = ["well", "never ready", "ends soon", "connector down"];
const sides = ["before", "after"] as const;

it.each(conducts.flatMap((conduct) => sides.map((side) => [conduct, side] as const)))(
  "runs one of the two versions, whole, after a power cut at any step of an upgrade to one that is %s (%s it)",
  async (conduct, side) => {
    let steps = 0;
    for (let at = 1; at <= mostSteps; at++) {
      using machine = new InstalledMachine();
      machine.conduct.set("0.2.0", conduct);
      machine.boot();
      if (!(await cut(machine, at, side))) break;
      steps = at;
      machine.boot();
      requireWhole(machine);
      await settle(machine.deps());
      requireSettled(machine, conduct);
      // and what is left over stands in the way of nothing
      if (machine.current === "0.1.0" && conduct === "well")
        expect(await upgrade(machine.deps(), machine.tar("0.2.0"), options)).toMatchObject({ kind: "kept" });
    }
    expect(steps).toBeGreaterThan(10);
    expect(steps).toBeLessThan(mostSteps);
  },
);

it.each(conducts)("settles what an updater left that was killed at any step, while the gateway runs on (%s)", async (conduct) => {
  for (let at = 1; at <= mostSteps; at++) {
    using machine = new InstalledMachine();
    machine.conduct.set("0.2.0", conduct);
    machine.boot();
    if (!(await cut(machine, at, "after"))) break;
    await settle(machine.deps());
    requireSettled(machine, conduct);
  }
});

it.each(["well", "connector down"] as const)("settles in the end, cut at any step of settling as well (%s)", async (conduct) => {
  for (let at = 1; at <= mostSteps; at++) {
    using machine = new InstalledMachine();
    machine.conduct.set("0.2.0", conduct);
    machine.boot();
    machine.tree("0.2.0", join(machine.layout.versions, "0.2.0"));
    // cut as soon as the version was current

    beginTrial(machine.deps(), {
      ...{ version: "0.2.0", from: "0.1.0", watchMs: 60_000, goesBack: true },
      before: { online: true, up: ["broker"] },
    });
    machine.boot();
    const deps = machine.cutAt(at, "after");
    try {
      await settle(deps);
    } catch (error) {
      if (!(error instanceof Cut)) throw error;
    }
    if (!deps.isCut()) break;
    machine.boot();
    requireWhole(machine);
    await settle(machine.deps());
    requireSettled(machine, conduct);
    expect(readdirSync(machine.layout.versions).filter((name) => /part|kept/.test(name))).toEqual([]);
  }
});

it.each(["well", "connector down"] as const)(
  "calls no half tree a version, though the power went amidst any deletion (%s)",
  async (conduct) => {
    let deletions = 0;
    for (let at = 1; at <= mostSteps; at++) {
      using machine = new InstalledMachine();
      machine.boot();
      await upgrade(machine.deps(), machine.tar("0.2.0"), options);
      machine.conduct.set("0.3.0", conduct);
      const deps = machine.cutAt(at, "amidst");
      const given = machine.tar("0.3.0");
      try {
        await upgrade(deps, given, options);
      } catch (error) {
        if (!(error instanceof Cut)) throw error;
      }
      if (!deps.isCut()) break;
      deletions = at;
      machine.boot();
      const { versions } = machine.layout;
      for (const name of readdirSync(versions).filter((each) => !each.startsWith(".")))
        expect(existsSync(join(versions, name, "manifest.json")), name).toBe(true);
      await settle(machine.deps());
      expect(readdirSync(versions).toSorted()).toEqual(machine.current === "0.3.0" ? ["0.2.0", "0.3.0"] : ["0.1.0", "0.2.0"]);
      expect(existsSync(machine.layout.work)).toBe(false);
    }
    expect(deletions).toBeGreaterThan(1);
  },
);

it("goes back without any updater: the machine is switched off and on, and the version never comes up", async () => {
  using machine = new InstalledMachine();
  machine.conduct.set("0.2.0", "never ready");
  machine.boot();
  machine.tree("0.2.0", join(machine.layout.versions, "0.2.0"));

  beginTrial(machine.deps(), {
    ...{ version: "0.2.0", from: "0.1.0", watchMs: 60_000, goesBack: true },
    before: { online: true, up: [] },
  });
  machine.boot();
  expect(machine.running).toBe("0.1.0");
  expect(machine.started).toEqual(["0.1.0", "0.2.0", "0.2.0", "0.2.0", "0.1.0"]);
  expect(machine.record("trial")).toBeUndefined();
  expect(machine.record("last")).toMatchObject({ outcome: "rolled-back", reason: expect.stringContaining("started 3 times") });
});

it("decides nothing while the power fails: the supervisor may be gone before the updater", async () => {
  using machine = new InstalledMachine();
  machine.boot();
  const restart = async (): Promise<void> => {
    machine.start();
    throw new PlantgateError("PEER_REFUSED", "systemctl: Failed to connect to bus");
  };
  await expect(upgrade(machine.deps({ restart }), machine.tar("0.2.0"), options)).rejects.toThrow("Failed to connect");
  expect(machine.record("last")).toBeUndefined();
  machine.boot();
  expect(await settle(machine.deps())).toMatchObject({ kind: "kept", version: "0.2.0" });
});

it.each(["well", "never ready", "ends soon"] as const)(
  "keeps the version before whole after a cut at any step of bringing it back as a package (%s)",
  async (conduct) => {
    let steps = 0;
    for (let at = 1; at <= mostSteps; at++) {
      using machine = new InstalledMachine();
      machine.boot();
      await upgrade(machine.deps(), machine.tar("0.2.0"), options);
      machine.conduct.set("0.1.0", conduct);
      if (!(await cut(machine, at, "after", "0.1.0"))) break;
      steps = at;
      machine.boot();
      requireWhole(machine);
      await settle(machine.deps());
      requireWhole(machine);
      expect(machine.record("trial")).toBeUndefined();
      expect(readdirSync(machine.layout.versions).toSorted()).toEqual(["0.1.0", "0.2.0"]);
      for (const version of ["0.1.0", "0.2.0"])
        expect(existsSync(join(machine.layout.versions, version, "manifest.json"))).toBe(true);
      if (conduct !== "well") expect(machine.current).toBe("0.2.0");
    }
    expect(steps).toBeGreaterThan(10);
    expect(steps).toBeLessThan(mostSteps);
  },
);
