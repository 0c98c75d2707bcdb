import { existsSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { beginTrial, goBack, settle } from "../../../packaging/upgrade/trials.ts";
import { begin, upgrade } from "../../../packaging/upgrade/upgrade.ts";
import { InstalledMachine } from "../../support/installed-machine.ts";

const options = { watchMs: 60_000, allowOlder: false, backup: true };

it("P8: has a version's tree flushed before it has its name, and its name before it is current", async () => {
  using machine = new InstalledMachine();
  machine.boot();
  const { machine: whole } = machine.deps();
  const order: string[] = [];
  const deps = machine.deps(
    {},
    {
      ...whole,
      flushTree: async (folder) => {
        await whole.flushTree(folder);
        order.push(`flushed, ${existsSync(join(machine.layout.versions, "0.2.0")) ? "named" : "not named"}`);
      },
      rename: (from, to) => {
        whole.rename(from, to);
        if (to === join(machine.layout.versions, "0.2.0")) order.push("named");
      },
      point: (link, target) => {
        whole.point(link, target);
        order.push(target);
      },
    },
  );
  await upgrade(deps, machine.tar("0.2.0"), options);
  expect(order).toEqual(["flushed, not named", "named", "versions/0.2.0"]);
});

it("P8: notes what was decided before anything follows from it", async () => {
  using machine = new InstalledMachine();
  machine.boot();
  const { machine: whole } = machine.deps();
  const followed: unknown[] = [];
  const seen = (): void => void followed.push(machine.record("last")?.outcome);
  const deps = machine.deps(
    {},
    {
      ...whole,
      debianVersion: async () => "0.1.0",
      point: (link, target) => {
        if (target === "versions/0.1.0") seen();
        whole.point(link, target);
      },
      run: async (program, args) => {
        if (program !== "env") return whole.run(program, args);
        seen();
        return "";
      },
    },
  );
  machine.conduct.set("0.2.0", "silent");
  expect(await upgrade(deps, machine.deb("0.2.0"), options)).toMatchObject({ kind: "rolled-back" });
  machine.conduct.clear();
  expect(await upgrade(deps, machine.deb("0.2.0"), options)).toMatchObject({ kind: "kept" });
  expect(followed).toEqual(["rolled-back", "kept"]);
});

it.each([365 * 86_400_000, -365 * 86_400_000])(
  "P10: is watched for as long as it says, where the clock jumps by %i ms meanwhile",
  async (jumpMs) => {
    using machine = new InstalledMachine();
    machine.conduct.set("0.2.0", "ends soon");
    machine.boot();
    const { look } = machine.services();
    let looks = 0;
    const deps = machine.deps({
      look: async (unit) => {
        if (++looks % 3 === 0) machine.wallAheadMs = machine.wallAheadMs === 0 ? jumpMs : 0;
        return look(unit);
      },
    });
    expect(await upgrade(deps, machine.tar("0.2.0"), options)).toMatchObject({ kind: "rolled-back" });
    machine.conduct.set("0.2.0", "well");
    const begun = machine.clock.monotonic();
    expect(await upgrade(deps, machine.tar("0.2.0"), options)).toMatchObject({ kind: "kept" });
    expect(machine.clock.monotonic() - begun).toBeLessThan(2 * options.watchMs);
  },
);

it("is not kept by a mark of another trial, which the gateway left", async () => {
  using machine = new InstalledMachine();
  machine.conduct.set("0.2.0", "connector down");
  machine.boot();
  machine.tree("0.2.0", join(machine.layout.versions, "0.2.0"));
  await begin(machine.deps(), "0.2.0", 60_000);
  machine.markHealthy({ version: "0.2.0", begun: "2020-01-01T00:00:00.000Z" });
  expect(await settle(machine.deps())).toMatchObject({ kind: "rolled-back" });
});

it("is taken for no earlier trial, though the clock was set back to when that one began", async () => {
  using machine = new InstalledMachine();
  machine.boot();
  const begun = { version: "0.2.0", from: "0.1.0", watchMs: 60_000, goesBack: true, before: { online: true, up: [] } };
  const first = beginTrial(machine.deps(), begun);
  await goBack(machine.deps(), first, "it was not well");
  machine.wallAheadMs = Date.parse(first.begun) - machine.clock.monotonic();
  expect(machine.clock.now()).toBe(Date.parse(first.begun));
  machine.tree("0.2.0", join(machine.layout.versions, "0.2.0"));
  beginTrial(machine.deps(), begun);
  expect(await settle(machine.deps())).toMatchObject({ kind: "kept", version: "0.2.0" });
});

it("goes back to the version that was kept last, where a package manager brings one after the other", async () => {
  using machine = new InstalledMachine();
  machine.conduct.set("0.2.0", "connector down").set("0.3.0", "connector down");
  machine.boot();
  for (const version of ["0.2.0", "0.3.0"]) {
    machine.tree(version, join(machine.layout.versions, version));
    expect(await begin(machine.deps(), version, 60_000)).toBe("begun");
  }
  expect(await settle(machine.deps())).toMatchObject({ kind: "rolled-back", version: "0.3.0", from: "0.1.0" });
  expect(machine.running).toBe("0.1.0");
});
