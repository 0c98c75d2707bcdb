import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { settle } from "../../../packaging/upgrade/trials.ts";
import { begin, goBackByHand, upgrade } from "../../../packaging/upgrade/upgrade.ts";
import { InstalledMachine } from "../../support/installed-machine.ts";

const options = { watchMs: 60_000, allowOlder: false, backup: true };
const backups = (machine: InstalledMachine): string =>
  existsSync(join(machine.root, "calls")) ? readFileSync(join(machine.root, "calls"), "utf8") : "";

it("backs central up by the version that runs, before anything is switched", async () => {
  using machine = new InstalledMachine("central");
  machine.boot();
  expect(await upgrade(machine.deps(), machine.tar("0.2.0"), options)).toMatchObject({ kind: "kept" });
  expect(backups(machine)).toBe("backup\n");
  expect(machine.said.some((line) => line.includes("central-before-upgrades/b"))).toBe(true);
});

it("goes on without a backup where the administrator says that there is one", async () => {
  using machine = new InstalledMachine("central");
  machine.boot();
  await upgrade(machine.deps(), machine.tar("0.2.0"), { ...options, backup: false });
  expect(backups(machine)).toBe("");
});

it.each([
  ["0005", ""],
  ["0006", "backup\n"],
])("is backed up before a package manager's version of it begins, where there is no way back: schema %s", async (step, made) => {
  using machine = new InstalledMachine("central");
  machine.boot();
  machine.schemaSteps.set("0.2.0", step);
  machine.tree("0.2.0", join(machine.layout.versions, "0.2.0"));
  expect(await begin(machine.deps(), "0.2.0", 60_000)).toBe("begun");
  expect(backups(machine)).toBe(made);
  expect(machine.record("trial")).toMatchObject({ goesBack: made === "" });
});

it("does not touch central when it cannot be backed up", async () => {
  using machine = new InstalledMachine("central");
  machine.boot();
  const deps = machine.deps();
  const { run } = deps.machine;
  const failing = {
    ...deps,
    machine: {
      ...deps.machine,
      run: async (program: string, args: readonly string[]) => {
        if (args[0] === "backup") throw Object.assign(new Error("no room"), { code: "PEER_REFUSED" });
        return run(program, args);
      },
    },
  };
  await expect(upgrade(failing, machine.tar("0.2.0"), options)).rejects.toThrow("no room");
  expect(machine.current).toBe("0.1.0");
  expect(machine.record("trial")).toBeUndefined();
});

it("goes back by itself while both versions have the same schema", async () => {
  using machine = new InstalledMachine("central");
  machine.conduct.set("0.2.0", "never ready");
  machine.boot();
  expect(await upgrade(machine.deps(), machine.tar("0.2.0"), options)).toMatchObject({ kind: "rolled-back" });
  expect(machine.running).toBe("0.1.0");
});

it("does not go back to a version that cannot open the database any more, and says how to restore", async () => {
  using machine = new InstalledMachine("central");
  machine.schemaSteps.set("0.2.0", "0006");
  machine.conduct.set("0.2.0", "ends soon");
  machine.boot();
  const outcome = await upgrade(machine.deps(), machine.tar("0.2.0"), options);
  expect(outcome).toMatchObject({
    kind: "stuck",
    reason: expect.stringMatching(/schema that version 0.1.0 does not open.*plantgate restore --replace/),
  });
  expect(machine.current).toBe("0.2.0");
  expect(machine.record("last")).toMatchObject({ outcome: "kept", reason: expect.stringContaining("plantgate restore") });
  // the way that was said
  machine.stop();
  expect(await goBackByHand(machine.deps(), { ...options, backup: false })).toEqual({ kind: "waits", version: "0.1.0" });
  machine.boot();
  expect(await settle(machine.deps())).toMatchObject({ kind: "kept", version: "0.1.0" });
});

it("goes back by hand without a start, also where the unit was stopped between two starts of the version that ends", async () => {
  using machine = new InstalledMachine("central");
  machine.schemaSteps.set("0.2.0", "0006");
  machine.conduct.set("0.2.0", "ends soon");
  machine.boot();
  await upgrade(machine.deps(), machine.tar("0.2.0"), options);
  machine.stop(true);
  const { length } = machine.started;
  expect(await goBackByHand(machine.deps(), { ...options, backup: false })).toEqual({ kind: "waits", version: "0.1.0" });
  expect(machine.started).toHaveLength(length);
});

it("is not led back by any number of starts where the database cannot be", async () => {
  using machine = new InstalledMachine("central");
  machine.schemaSteps.set("0.2.0", "0006");
  machine.conduct.set("0.2.0", "ends soon");
  machine.boot();
  await upgrade(machine.deps(), machine.tar("0.2.0"), options);
  for (let starts = 0; starts < 6; starts++) machine.start();
  expect(machine.current).toBe("0.2.0");
});

it("does not go back by hand while central runs on a database that the version before does not open", async () => {
  using machine = new InstalledMachine("central");
  machine.schemaSteps.set("0.2.0", "0006");
  machine.boot();
  await upgrade(machine.deps(), machine.tar("0.2.0"), options);
  const { length } = machine.started;
  const sentence = /0\.1\.0 does not open the database.*systemctl stop plantgate-central/;
  await expect(goBackByHand(machine.deps(), options)).rejects.toThrow(sentence);
  await expect(upgrade(machine.deps(), machine.tar("0.1.0"), { ...options, allowOlder: true })).rejects.toThrow(sentence);
  expect([machine.running, machine.started.length, machine.record("trial")]).toEqual(["0.2.0", length, undefined]);
});
