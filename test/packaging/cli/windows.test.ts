import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempDisposableSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import type { Readable } from "node:stream";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { placeOf } from "../../../packaging/cli/installed.ts";
import { withSlashes } from "../../../packaging/cli/sources.ts";
import type { Machine } from "../../../packaging/doctor/machine.ts";
import { checkVersions } from "../../../packaging/doctor/versions.ts";
import { stateOf } from "../../../packaging/doctor/windows-service.ts";
import { systemClock } from "../../../protocol/index.ts";
import { launcher } from "../../support/command.ts";

describe("an installed Windows machine", () => {
  it("has program and data where its installer puts them, and a service that Windows' own words start", () => {
    const environment = { ProgramFiles: "D:\\Programs", ProgramData: "D:\\Data" };
    expect(placeOf("gateway", "win32", environment)).toEqual({
      role: "gateway",
      root: "D:\\Programs\\Plantgate\\gateway",
      configFile: "D:\\Data\\Plantgate\\gateway.yaml",
      dataDir: "D:\\Data\\Plantgate\\gateway",
      unit: "plantgate-gateway",
      start: "net start plantgate-gateway",
      enable: "net start plantgate-gateway",
      stop: "net stop plantgate-gateway",
      disable: "sc.exe config plantgate-gateway start= disabled",
      logs: "D:\\Data\\Plantgate\\logs\\gateway",
      restart: "net stop plantgate-gateway, then net start plantgate-gateway",
      settle: "run install.ps1 -Role gateway of the version that is to stay, once more",
    });
  });
});

describe("the doctor", () => {
  it("knows by its number whether a service of Windows runs, in every language", () => {
    const said = (state: string): string =>
      `\r\nSERVICE_NAME: plantgate-gateway \r\n        TYPE               : 10  WIN32_OWN_PROCESS  \r\n        STATUS             : ${state} \r\n                                (STOPPABLE, NOT_PAUSABLE, ACCEPTS_SHUTDOWN)\r\n        WIN32_EXIT_CODE    : 0  (0x0)\r\n        CHECKPOINT         : 0x0\r\n`;
    expect(["4  RUNNING", "1  STOPPED", "3  STOP_PENDING", "2  START_PENDING"].map((state) => stateOf(said(state)))).toEqual([
      ...["running", "stopped", "changing", "changing"],
    ]);
    expect(stateOf("[SC] EnumQueryServicesStatus:OpenService FEHLER 1060:")).toBeUndefined();
  });
});

describe("the doctor of a Windows machine", () => {
  const { platform } = process;
  const pretend = (value: NodeJS.Platform): unknown => Object.defineProperty(process, "platform", { value });
  beforeEach(() => void pretend("win32"));
  afterEach(() => void pretend(platform));

  it("names Windows' own ways out of a trial that a power cut left, and of a version that is not the installed one", async () => {
    using folder = mkdtempDisposableSync(join(tmpdir(), "plantgate-"));
    const [root, tree] = [folder.path, join(folder.path, "versions/0.2.0")];
    mkdirSync(join(tree, "app"), { recursive: true });
    writeFileSync(join(tree, "manifest.json"), JSON.stringify({ version: "0.2.0", node: "26" }));
    symlinkSync("versions/0.2.0", join(root, "current"));
    const machine: Machine = {
      ...{ role: "gateway", dataDir: root, root: "elsewhere", pid: undefined, clock: systemClock, isReady: () => true },
      here: { ...placeOf("gateway"), root, version: "0.2.0" },
      runningVersion: async () => "0.1.0",
    };
    const adviceOf = async (fault: string): Promise<string | undefined> =>
      (await checkVersions(machine)).find(({ seen }) => seen.includes(fault))?.advice;
    expect(await adviceOf("version 0.1.0 runs, 0.2.0 is installed")).toBe(
      "net stop plantgate-gateway, then net start plantgate-gateway",
    );
    const begun = "2026-11-27T08:00:00.000Z";
    writeFileSync(join(root, "trial.json"), JSON.stringify({ version: "0.2.0", from: "0.1.0", begun, watchMs: 1000 }));
    expect(await adviceOf("nobody ends it")).toBe("run install.ps1 -Role gateway of the version that is to stay, once more");
  });
});

describe("files that a command line names", () => {
  it("are called on Windows as documents call them, and elsewhere as they are", () => {
    expect(withSlashes("conf\\plant\\site.yaml", "\\")).toBe("conf/plant/site.yaml");
    expect(withSlashes("conf/a\\b.yaml", "/")).toBe("conf/a\\b.yaml");
  });
});

describe("a process that stops when its input ends", () => {
  it("ends as well as after SIGTERM when its supervisor closes its input or dies", async () => {
    using folder = mkdtempDisposableSync(join(tmpdir(), "plantgate-"));
    const child = spawn(
      process.execPath,
      [launcher, "central", "--data", join(folder.path, "central"), "--port", "0", "--until-input-ends"],
      { stdio: ["pipe", "pipe", "inherit"] },
    );
    const ended = once(child, "exit") as Promise<[number | null, string | null]>;
    for await (const line of createInterface(child.stdout as Readable)) if (line.includes("central.process.started")) break;
    child.stdin?.end();
    expect(await ended).toEqual([0, null]);
  });

  it("ends also while it starts", async () => {
    using folder = mkdtempDisposableSync(join(tmpdir(), "plantgate-"));
    const child = spawn(
      process.execPath,
      [launcher, "central", "--data", join(folder.path, "central"), "--port", "0", "--until-input-ends"],
      { stdio: ["ignore", "ignore", "inherit"] },
    );
    const [code] = (await once(child, "exit")) as [number | null];
    expect([0, 143]).toContain(code);
  });
});
