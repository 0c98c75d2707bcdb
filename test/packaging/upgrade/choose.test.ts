import { execFileSync, spawnSync } from "node:child_process";
import { chmodSync, mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { describe, expect, it } from "vitest";
import { deedsOf } from "../../support/deeds.ts";
import { InstalledMachine } from "../../support/installed-machine.ts";
import { requireService } from "../../support/services.ts";

const strace = await requireService("strace");
const begun = "2026-01-01T00:00:00.000Z";
const trial = { version: "0.2.0", from: "0.1.0", starts: 0, mostStarts: 3, begun };

/** A machine on which 0.2.0 is on trial. */
function onTrial(noted: unknown = trial): InstalledMachine {
  const machine = new InstalledMachine();
  machine.tree("0.2.0", join(machine.layout.versions, "0.2.0"));
  rmSync(machine.layout.current);
  symlinkSync("versions/0.2.0", machine.layout.current);
  writeFileSync(machine.layout.trial, typeof noted === "string" ? noted : JSON.stringify(noted));
  return machine;
}

/** Runs `choose`, as each start does. @returns what is current then */
function choose(machine: InstalledMachine, more: Readonly<Record<string, string>> = {}): string {
  const env = { ...process.env, INVOCATION_ID: "", PLANTGATE_ROOT: machine.root, ...more };
  const { status, stderr } = spawnSync("dash", [machine.layout.choose], { env, encoding: "utf8" });
  expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
  return machine.current;
}

describe("what each start runs first", () => {
  it("counts the starts of a version on trial, and goes back when they are used up", () => {
    using machine = onTrial();
    for (const starts of [1, 2, 3]) {
      expect(choose(machine)).toBe("0.2.0");
      expect(machine.record("trial")).toEqual({ ...trial, starts });
    }
    expect(choose(machine)).toBe("0.1.0");
    expect(machine.record("trial")).toBeUndefined();
    expect(machine.record("last")).toMatchObject({ version: "0.2.0", from: "0.1.0", outcome: "rolled-back", begun });
    expect(choose(machine)).toBe("0.1.0");
  });

  it("has whoever watches it come, for as long as a version is on trial", () => {
    using machine = onTrial();
    const told = join(machine.root, "told");
    writeFileSync(join(machine.root, "systemctl"), `#!/bin/sh\necho "$*" >>"${told}"\nexit 1\n`);
    chmodSync(join(machine.root, "systemctl"), 0o755);
    const bySystemd = { INVOCATION_ID: "0123456789abcdef0123456789abcdef", PATH: `${machine.root}:${process.env.PATH}` };
    expect(choose(machine, bySystemd)).toBe("0.2.0");
    expect(readFileSync(told, "utf8")).toBe("--no-block start plantgate-gateway-upgrade.service\n");
    rmSync(machine.layout.trial);
    choose(machine, bySystemd);
    expect(readFileSync(told, "utf8").split("\n")).toHaveLength(2);
  });

  it("counts nothing without a trial, nor where another version than that is current", () => {
    using machine = new InstalledMachine();
    expect(choose(machine)).toBe("0.1.0");
    writeFileSync(machine.layout.trial, JSON.stringify(trial));
    expect(choose(machine)).toBe("0.1.0");
    expect(machine.record("trial")).toEqual(trial);
  });

  it.each([
    ["is empty", ""],
    ["was torn", '{"version":"0.2.0","from":"0.1.'],
    ["is no JSON", "hello $(touch /tmp/never) `id` \u0000 \n\n\n"],
    ["counts oddly", JSON.stringify({ ...trial, starts: "many" })],
    ["counts in octal", '{"version":"0.2.0","from":"0.1.0","starts":08,"mostStarts":09,"begun":"2026-01-01T00:00:00.000Z"}'],
    ["counts beyond all numbers", '{"version":"0.2.0","from":"0.1.0","starts":99999999999999999999999,"begun":"x"}'],
    ["names folders elsewhere", JSON.stringify({ ...trial, version: "../../etc", from: "../.." })],
    ["lies there as a folder", undefined],
  ])("starts what is current where the note of a trial %s", (_, noted) => {
    using machine = onTrial(noted ?? "");
    if (noted === undefined) {
      rmSync(machine.layout.trial);
      mkdirSync(machine.layout.trial);
    }
    expect(choose(machine)).toBe("0.2.0");
  });

  it("reads a note whose keys are in another order, with more of them", () => {
    using machine = onTrial({
      before: { online: true, up: ["a"] },
      begun,
      mostStarts: 3,
      starts: 3,
      from: "0.1.0",
      version: "0.2.0",
    });
    expect(choose(machine)).toBe("0.1.0");
  });

  it("stays where there is no way back", () => {
    using machine = onTrial({ ...trial, starts: 3, goesBack: false });
    expect(choose(machine)).toBe("0.2.0");
    using gone = onTrial({ ...trial, starts: 3 });
    rmSync(join(gone.layout.versions, "0.1.0"), { recursive: true });
    expect(choose(gone)).toBe("0.2.0");
  });

  it("goes on with what was decided and not carried out", () => {
    using machine = onTrial();
    const last = { version: "0.2.0", from: "0.1.0", outcome: "rolled-back", reason: "it was not well", at: begun, begun };
    writeFileSync(machine.layout.last, JSON.stringify(last));
    expect(choose(machine)).toBe("0.1.0");
    expect(machine.record("last")).toEqual(last);
  });

  it.each(["rolled-back", "kept"])(
    "takes what was decided of an earlier trial of the same version, %s, for nothing",
    (outcome) => {
      using machine = onTrial();
      const last = { version: "0.2.0", from: "0.1.0", outcome, reason: "", at: begun, begun: "2025-12-31T00:00:00.000Z" };
      writeFileSync(machine.layout.last, JSON.stringify(last));
      expect(choose(machine)).toBe("0.2.0");
      expect(machine.record("trial")).toEqual({ ...trial, starts: 1 });
    },
  );

  it("runs the version before where the one that is current is gone, and any that is there where that is gone, too", () => {
    using machine = onTrial();
    rmSync(join(machine.layout.versions, "0.2.0"), { recursive: true });
    expect(choose(machine)).toBe("0.1.0");
    using other = new InstalledMachine();
    other.tree("0.0.9", join(other.layout.versions, "0.0.9"));
    mkdirSync(join(other.layout.versions, "0.3.0.part/bin"), { recursive: true });
    writeFileSync(join(other.layout.versions, "0.3.0.part/bin/plantgate"), "");
    chmodSync(join(other.layout.versions, "0.3.0.part/bin/plantgate"), 0o755);
    rmSync(join(other.layout.versions, "0.1.0"), { recursive: true });
    expect(choose(other)).toBe("0.0.9");
  });

  it.each(["versions/0.2.0/", "TOP/versions/0.2.0", "TOP/ours"])("stays with what somebody linked by hand: %s", (target) => {
    using machine = onTrial();
    const { trial: note, last, top, current } = machine.layout;
    rmSync(note);
    writeFileSync(last, JSON.stringify({ ...trial, outcome: "kept", reason: "", at: begun }));
    machine.tree("0.2.0", join(top, "ours"));
    rmSync(current);
    symlinkSync(target.replace("TOP", top), current);
    expect(choose(machine)).toBe(basename(target));
  });

  it("takes the gateway's mark for a file alone: no link, no pipe", () => {
    using machine = onTrial();
    writeFileSync(join(machine.root, "mark"), begun);
    symlinkSync(join(machine.root, "mark"), join(machine.layout.dataDir, "healthy-0.2.0"));
    expect(choose(machine)).toBe("0.2.0");
    expect(machine.record("last")).toBeUndefined();
    rmSync(join(machine.layout.dataDir, "healthy-0.2.0"));
    execFileSync("mkfifo", [join(machine.layout.dataDir, "healthy-0.2.0")]);
    expect(choose(machine)).toBe("0.2.0");
    expect(machine.record("last")).toBeUndefined();
  });

  it("counts without any room for a file, and goes back all the same", () => {
    using machine = onTrial();
    mkdirSync(join(machine.layout.top, "trial.json.new"));
    writeFileSync(join(machine.layout.top, "trial.json.new/x"), "");
    for (let starts = 0; starts < 3; starts++) expect(choose(machine)).toBe("0.2.0");
    expect(choose(machine)).toBe("0.1.0");
  });

  it.skipIf(!strace)("has a start, and the decision to go back, flushed before anything follows from it", () => {
    using machine = onTrial({ ...trial, starts: 2 });
    const run = (): string[] => {
      const { choose, top } = machine.layout;
      const deeds = deedsOf(strace as string, ["dash", choose], top, { PLANTGATE_ROOT: machine.root });
      return deeds.filter((deed) => /^(write|flush|rename|remove) /.test(deed));
    };
    const put = (name: string): string[] => [`write ${name}.new`, `flush ${name}.new`, `rename ${name}.new ${name}`, "flush ."];
    expect(run()).toEqual(put("trial.json"));
    expect(run()).toEqual([...put("last-upgrade.json"), ...["rename .current.new current", "flush ."], "remove trial.json"]);
  });

  it("starts what is current where nothing can be written", () => {
    using machine = onTrial();
    for (const name of ["trial.json.new", "last-upgrade.json.new", ".current.new", ".starts.new"]) {
      mkdirSync(join(machine.layout.top, name));
      writeFileSync(join(machine.layout.top, name, "x"), "");
    }
    for (let starts = 0; starts < 5; starts++) expect(choose(machine)).toBe("0.2.0");
  });
});
