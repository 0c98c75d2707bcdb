import { existsSync, mkdirSync, readdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { ownTrial } from "../../../gateway/upgrade/trial.ts";
import { takeIncoming } from "../../../packaging/upgrade/incoming.ts";
import { disagreement } from "../../../packaging/upgrade/official.ts";
import type { Trial } from "../../../packaging/upgrade/records.ts";
import { readTrial, settle } from "../../../packaging/upgrade/trials.ts";
import { begin, goBackByHand, upgrade } from "../../../packaging/upgrade/upgrade.ts";
import { Watch } from "../../../packaging/upgrade/watch.ts";
import { Cut, InstalledMachine } from "../../support/installed-machine.ts";

const options = { watchMs: 60_000, allowOlder: false, backup: false };

it("a trial decided as rolled back still holds breaking steps back", () => {
  using machine = new InstalledMachine();
  const begun = "2026-01-01T00:00:00.000Z";
  writeFileSync(
    machine.layout.trial,
    JSON.stringify({
      version: "0.2.0",
      from: "0.1.0",
      starts: 1,
      mostStarts: 3,
      begun,
      watchMs: 60_000,
      before: { online: false, up: [] },
    }),
  );
  writeFileSync(
    machine.layout.last,
    JSON.stringify({ version: "0.2.0", from: "0.1.0", outcome: "rolled-back", reason: "", at: begun, begun }),
  );
  expect(ownTrial(machine.layout.top, "0.2.0")).toBeDefined();
});

it("a package whose file name has a blank or a bracket is taken back after a power cut", async () => {
  using machine = new InstalledMachine();
  machine.conduct.set("0.2.0", "offline");
  machine.boot();
  const given = { ...machine.tar("0.2.0"), name: "plantgate-0.2.0-linux-x64 (1).tar.gz" };
  // the updater dies as soon as it began to watch
  const { look } = machine.services();
  const deps = machine.deps({
    look: async (unit) => {
      if (readTrial(machine.deps())) throw new Cut();
      return look(unit);
    },
  });
  await expect(upgrade(deps, given, options)).rejects.toThrow(Cut);
  machine.boot();
  expect(readTrial(machine.deps())).toBeDefined();
  expect(await settle(machine.deps())).toMatchObject({ kind: "rolled-back" });
});

it("one look without an answer, or one blink of the link, at the very end of the watch does not take a good version back", () => {
  const watch = new Watch({ version: "0.2.0", watchMs: 60_000, before: { online: true, up: ["broker"] } });
  const unit = { active: "active", invocation: "a", restarts: 0, result: "success" };
  const well = { version: "0.2.0", link: "online", connectors: [{ name: "broker", state: "up" }] };
  for (let at = 0; at < 60_000; at += 1000) expect(watch.judge({ unit, health: well, at }).kind).toBe("goes-on");
  expect(watch.judge({ unit, health: undefined, at: 60_000 }).kind).not.toBe("unwell");
});

it("--back after a rollback does not bring the version that was just taken back", async () => {
  using machine = new InstalledMachine();
  machine.boot();
  await upgrade(machine.deps(), machine.tar("0.2.0"), options);
  machine.conduct.set("0.3.0", "ends soon");
  expect(await upgrade(machine.deps(), machine.tar("0.3.0"), options)).toMatchObject({ kind: "rolled-back" });
  expect(await goBackByHand(machine.deps(), options)).toMatchObject({ version: "0.1.0" });
});

it("what dpkg unpacked while a version was watched is still there when that one is kept", async () => {
  using machine = new InstalledMachine();
  machine.boot();
  let looks = 0;
  const look = machine.services().look;
  const deps = machine.deps({
    look: async (unit) => {
      if (++looks === 10) machine.tree("0.3.0", join(machine.layout.versions, "0.3.0"));
      return look(unit);
    },
  });
  await upgrade(deps, machine.tar("0.2.0"), options);
  expect(readdirSync(machine.layout.versions)).toContain("0.3.0");
});

it.each(["link", "folder", "large"])(
  "a request that is a %s is taken away (else the path unit runs into its start limit)",
  async (kind) => {
    using machine = new InstalledMachine();
    machine.boot();
    const folder = join(machine.layout.dataDir, "upgrade/incoming");
    mkdirSync(folder, { recursive: true });
    const file = join(folder, "request.json");
    if (kind === "link") symlinkSync("/etc/passwd", file);
    else if (kind === "folder") mkdirSync(file);
    else writeFileSync(file, " ".repeat(70_000));
    await takeIncoming(machine.deps(), options).catch(() => {});
    expect(existsSync(file)).toBe(false);
  },
);

it("what choose decided as kept is not overwritten by the updater", async () => {
  using machine = new InstalledMachine();
  machine.boot();
  machine.tree("0.2.0", join(machine.layout.versions, "0.2.0"));
  await begin(machine.deps(), "0.2.0", 60_000);
  const trial = readTrial(machine.deps()) as Trial;
  let looks = 0;
  const look = machine.services().look;
  const deps = machine.deps({
    look: async (unit) => {
      // well for the watch by its own clock, and ended just before the updater's own look: started again, choose keeps it
      if (++looks === 60) {
        machine.markHealthy(trial);
        machine.crash();
        await machine.clock.sleep(1);
      }
      return look(unit);
    },
  });
  const outcome = await settle(deps);
  expect(machine.started.at(-2)).toBe("0.2.0");
  expect(outcome).toMatchObject({ kind: "kept" });
});

it("no room for last-upgrade.json: the way back is gone all the same", async () => {
  using machine = new InstalledMachine();
  machine.conduct.set("0.2.0", "ends soon");
  machine.boot();
  const deps = machine.deps();
  const { write } = deps.machine;
  const full = {
    ...deps,
    machine: {
      ...deps.machine,
      write: (file: string, text: string) => {
        if (file === machine.layout.last) throw Object.assign(new Error("no space"), { code: "ENOSPC" });
        write(file, text);
      },
    },
  };
  expect(await upgrade(full, machine.tar("0.2.0"), options)).toMatchObject({ kind: "rolled-back" });
  expect(machine.current).toBe("0.1.0");
});

it("a package that comes after choose kept the version before goes back to that one, not to the one before it", async () => {
  using machine = new InstalledMachine();
  machine.boot();
  machine.tree("0.2.0", join(machine.layout.versions, "0.2.0"));
  await begin(machine.deps(), "0.2.0", 60_000);
  machine.markHealthy(readTrial(machine.deps()) as Trial);
  machine.boot(); // choose: kept; from now on 0.2.0 makes its breaking steps
  expect(machine.record("last")).toMatchObject({ outcome: "kept" });
  machine.tree("0.3.0", join(machine.layout.versions, "0.3.0"));
  await begin(machine.deps(), "0.3.0", 60_000);
  expect(readTrial(machine.deps())).toMatchObject({ version: "0.3.0", from: "0.2.0" });
});

it("the version before, brought as a package while a version is on trial, is not on trial after itself", async () => {
  using machine = new InstalledMachine();
  machine.boot();
  machine.tree("0.2.0", join(machine.layout.versions, "0.2.0"));
  await begin(machine.deps(), "0.2.0", 60_000);
  await begin(machine.deps(), "0.1.0", 60_000);
  expect(machine.current).toBe("0.1.0");
  expect(readTrial(machine.deps())?.from).not.toBe("0.1.0");
});

it("where the power went while dpkg had its files in hand, the way back still leads to a tree that is there", async () => {
  using machine = new InstalledMachine();
  const { versions, current } = machine.layout;
  // preinst ran, dpkg took versions/0.1.0 away, postinst never came
  renameSync(join(versions, "0.1.0"), join(versions, "0.1.0.kept"));
  rmSync(current);
  symlinkSync("versions/0.1.0.kept", current);
  machine.conduct.set("0.2.0", "ends soon");
  machine.boot();
  const outcome = await upgrade(machine.deps(), machine.tar("0.2.0"), options).catch((error) => error);
  expect(existsSync(join(current, "bin/plantgate"))).toBe(true);
  expect(outcome).toMatchObject({ kind: "rolled-back" });
});

it("a version that dpkg brought and that is taken back: what dpkg names then is said, and how the two agree again", async () => {
  using machine = new InstalledMachine();
  machine.conduct.set("0.2.0", "ends soon");
  machine.boot();
  const deps = machine.deps({ debianVersion: async () => "0.2.0" });
  machine.tree("0.2.0", join(machine.layout.versions, "0.2.0"));
  await begin(deps, "0.2.0", 60_000);
  expect(await settle(deps)).toMatchObject({ kind: "rolled-back" });
  const sentence = expect.stringMatching(
    /dpkg names version 0\.2\.0, and 0\.1\.0 runs.*dpkg -i plantgate-gateway_0\.1\.0_a[mr][dm]64\.deb/,
  );
  expect(machine.said).toContainEqual(sentence);
  expect(await disagreement(deps, "0.1.0")).toMatchObject({ known: "0.2.0", sentence });
  expect(await disagreement(deps, "0.2.0")).toBeUndefined();
  expect(await disagreement(machine.deps(), "0.1.0")).toBeUndefined();
  // whoever takes the updater for it is told as well
  await expect(upgrade(deps, machine.deb("0.1.0"), options)).rejects.toThrow(/0\.1\.0 runs already; dpkg names version 0\.2\.0/);
});

it("what was refused or taken back leaves no package and no tree behind", async () => {
  using machine = new InstalledMachine();
  machine.conduct.set("0.2.0", "ends soon");
  machine.boot();
  await upgrade(machine.deps(), machine.tar("0.2.0", { platform: "linux-riscv" }), options).catch(() => {});
  const afterRefusal = existsSync(machine.layout.work);
  await upgrade(machine.deps(), machine.tar("0.2.0"), options);
  expect([afterRefusal, existsSync(machine.layout.work), readdirSync(machine.layout.versions)]).toEqual([
    false,
    false,
    ["0.1.0"],
  ]);
});

it("a version whose way back ends with another failure leaves nothing behind either, and a person is called", async () => {
  using machine = new InstalledMachine();
  machine.conduct.set("0.2.0", "never ready");
  machine.boot();
  // what keeps the one from starting keeps the other: the machine's own settings, a port
  machine.conduct.set("0.1.0", "never ready");
  expect(await upgrade(machine.deps(), machine.tar("0.2.0"), options)).toMatchObject({
    kind: "stuck",
    reason: expect.stringMatching(/0\.1\.0 was put back, and it did not become ready/),
  });
  expect([existsSync(machine.layout.work), readdirSync(machine.layout.versions)]).toEqual([false, ["0.1.0"]]);
});

/** A machine that runs 0.2.0 with 0.1.0 before it, and what brings the latter back from afar. */
async function withWayBack(): Promise<InstalledMachine> {
  const machine = new InstalledMachine();
  machine.boot();
  await upgrade(machine.deps(), machine.tar("0.2.0"), options);
  return machine;
}

it.each<[string, (machine: InstalledMachine) => void, (machine: InstalledMachine) => void]>([
  [
    "is refused",
    ({ layout }) => {
      writeFileSync(join(layout.dataDir, "queue.sqlite"), "");
      writeFileSync(join(layout.dataDir, "newer"), "");
    },
    ({ layout }) => rmSync(join(layout.dataDir, "newer")),
  ],
  ["ends soon", ({ conduct }) => conduct.set("0.1.0", "ends soon"), ({ conduct }) => conduct.delete("0.1.0")],
])("a package of the version before that %s leaves the way back as it was", async (_, spoil, repair) => {
  using machine = await withWayBack();
  spoil(machine);
  const given = machine.tar("0.1.0");
  await upgrade(machine.deps(), given, {
    ...options,
    allowOlder: true,
  }).catch(() => {});
  expect(machine.current).toBe("0.2.0");
  expect(readdirSync(machine.layout.versions).toSorted()).toEqual(["0.1.0", "0.2.0"]);
  repair(machine);
  expect(await goBackByHand(machine.deps(), options)).toMatchObject({
    kind: "kept",
    version: "0.1.0",
  });
  expect(readdirSync(machine.layout.versions).toSorted()).toEqual(["0.1.0", "0.2.0"]);
});

it("a version that is brought once more, and kept, is the one that was brought", async () => {
  using machine = await withWayBack();
  const given = machine.tar("0.1.0", {}, (tree) => writeFileSync(join(tree, "anew"), ""));
  expect(await upgrade(machine.deps(), given, { ...options, allowOlder: true })).toMatchObject({ kind: "kept" });
  expect(existsSync(join(machine.layout.current, "anew"))).toBe(true);
  expect(readdirSync(machine.layout.versions).toSorted()).toEqual(["0.1.0", "0.2.0"]);
});

const full = (): never => {
  throw Object.assign(new Error("ENOSPC: no space left on device"), {
    code: "ENOSPC",
  });
};

it("a version that became current is on trial, though the disk failed right after", async () => {
  using machine = new InstalledMachine();
  machine.conduct.set("0.2.0", "ends soon");
  machine.boot();
  const deps = machine.deps();
  const { point } = deps.machine;
  const failing = (link: string, target: string): never => {
    point(link, target);
    throw Object.assign(new Error("EIO: i/o error, fsync"), { code: "EIO" });
  };
  const broken = { ...deps, machine: { ...deps.machine, point: failing } };
  await expect(upgrade(broken, machine.tar("0.2.0"), options)).rejects.toThrow("EIO");
  expect([machine.current, readTrial(machine.deps())?.version]).toEqual(["0.2.0", "0.2.0"]);
  expect(await settle(machine.deps())).toMatchObject({
    kind: "rolled-back",
    from: "0.1.0",
  });
});

it.each(["write", "point"] as const)(
  "a package that comes while a version is on trial, and finds no room to %s, leaves no version current that was never kept",
  async (call) => {
    using machine = new InstalledMachine();
    machine.boot();
    for (const version of ["0.2.0", "0.3.0"]) machine.tree(version, join(machine.layout.versions, version));
    await begin(machine.deps(), "0.2.0", 60_000);
    const deps = machine.deps();
    const { point } = deps.machine;
    const change = call === "write" ? full : (link: string, to: string) => (to === "versions/0.3.0" ? full() : point(link, to));
    await expect(begin({ ...deps, machine: { ...deps.machine, [call]: change } }, "0.3.0", 60_000)).rejects.toThrow("ENOSPC");
    expect([machine.current, machine.running]).toEqual(["0.1.0", "0.1.0"]);
    await settle(machine.deps());
    expect([machine.running, readTrial(machine.deps())]).toEqual(["0.1.0", undefined]);
  },
);
