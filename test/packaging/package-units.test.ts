import { spawnSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { centralSettings } from "../../central/settings/schema.ts";
import { project } from "../../packaging/package/workspace.ts";
import { requireService } from "../support/services.ts";

const units = join(project, "packaging/install/units");
const found = (await requireService("systemd-analyze")) !== undefined;

describe("the units", () => {
  it.skipIf(!found).each(["gateway", "central"])("leave the %s's process little to misuse: an exposure below 2.0", (role) => {
    const judged = spawnSync("systemd-analyze", ["security", "--offline=true", join(units, `plantgate-${role}.service`)], {
      encoding: "utf8",
    });
    const exposure = /Overall exposure level for \S+: ([\d.]+)/.exec(judged.stdout)?.[1];
    expect(Number(exposure)).toBeGreaterThan(0);
    expect(Number(exposure)).toBeLessThan(2);
  });

  it("start a version by the root's script that counts its starts, restart it, and bound its memory", () => {
    for (const role of ["gateway", "central"]) {
      const text = readFileSync(join(units, `plantgate-${role}.service`), "utf8");
      for (const line of [
        `ExecStartPre=-+/opt/plantgate/${role}/choose`,
        `User=plantgate-${role}`,
        "Type=notify",
        "Restart=on-failure",
        "RestartPreventExitStatus=2",
        "StartLimitIntervalSec=0",
        `StateDirectory=plantgate/${role}`,
      ])
        expect(text.split("\n")).toContain(line);
      expect(text).toMatch(/^MemoryMax=/m);
      expect(text).toMatch(/^WatchdogSec=/m);
    }
  });

  it("look first which version runs, and wait only then: a stop ends the wait, as it does not in ExecStopPost", () => {
    for (const role of ["gateway", "central"]) {
      const lines = readFileSync(join(units, `plantgate-${role}.service`), "utf8").split("\n");
      const current = `/opt/plantgate/${role}/current`;
      expect(lines.filter((line) => /^Exec(StartPre|StopPost)=/.test(line))).toEqual([
        `ExecStartPre=-+/opt/plantgate/${role}/choose`,
        `ExecStartPre=-${current}/install/back-off wait`,
        `ExecStopPost=-${current}/install/back-off`,
      ]);
    }
  });

  it("start the version before as well, which may lack what they call besides the program", () => {
    for (const role of ["gateway", "central"]) {
      const lines = readFileSync(join(units, `plantgate-${role}.service`), "utf8").split("\n");
      const calls = lines.filter((line) => /^Exec/.test(line) && !line.startsWith("ExecStart="));
      expect(calls.filter((line) => !/^Exec\w+=-/.test(line))).toEqual([]);
    }
  });

  it("let the updater ask a service at whatever address of this machine it listens", () => {
    for (const role of ["gateway", "central"])
      expect(readFileSync(join(units, `plantgate-${role}-upgrade.service`), "utf8")).not.toMatch(/^IPAddress/m);
  });

  it("let an upgrade take its time, and a dozen of them in a row, and end a loop", () => {
    for (const role of ["gateway", "central"]) {
      const text = readFileSync(join(units, `plantgate-${role}-upgrade.service`), "utf8");
      // a watch of an hour, a migration of half of one: each step has a limit of its own
      expect(text).toMatch(/^TimeoutStartSec=infinity$/m);
      if (role === "gateway") expect(text).toMatch(/^StartLimitIntervalSec=5min\nStartLimitBurst=30$/m);
    }
  });

  it("let the gateway see whether the machine was started anew: how old a message is rests on it", () => {
    const text = readFileSync(join(units, "plantgate-gateway.service"), "utf8");
    expect(text).not.toMatch(/^ProcSubset=pid/m);
  });

  it("take the next backup, which needs its time, well before the last one is older than what gateways keep", () => {
    const text = readFileSync(join(units, "plantgate-central-backup.timer"), "utf8");
    const everyMinutes = Number(/^OnCalendar=\*:0\/(\d+)$/m.exec(text)?.[1]);
    const delayMinutes = Number(/^RandomizedDelaySec=(\d+)min$/m.exec(text)?.[1]);
    const { recoveryPointSeconds } = centralSettings.parse({ dataDir: "/var/lib/plantgate/central" });
    expect(60 % everyMinutes).toBe(0);
    expect((everyMinutes + delayMinutes) * 60).toBeLessThan(recoveryPointSeconds);
  });

  it("are put in place and taken away for the role they are of", () => {
    const names = readdirSync(units);
    expect(names.filter((name) => !/^plantgate-(gateway|central)(-[a-z]+)?\.(service|path|timer)$/.test(name))).toEqual([]);
    const scripts = ["debian/prerm", "uninstall.sh"].map((name) =>
      readFileSync(join(project, "packaging/install", name), "utf8"),
    );
    for (const unit of names.filter((name) => /^\[Install\]$/m.test(readFileSync(join(units, name), "utf8"))))
      for (const script of scripts)
        expect(script).toContain(unit.replace(/^plantgate-(gateway|central)((-upgrade)?\.service)$/, "plantgate-$role$2"));
  });
});
