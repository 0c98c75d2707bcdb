import { mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, describe, expect, it, vi } from "vitest";
import { refusedSettings } from "../../../gateway/main.ts";
import { installed, requireWritable, settingsOf, startService } from "../../../packaging/cli/installed.ts";
import { withoutNewer } from "../../../packaging/cli/newer-settings.ts";
import { openSupervisor } from "../../../packaging/cli/supervisor.ts";
import { plantgateHere } from "../../support/command.ts";
import { temporaryFolder } from "../../support/folder.ts";

afterEach(() => vi.unstubAllEnvs());

/** A root with one installed role, as the packages lay it out. */
function machine(role: "gateway" | "central", settings?: string, version = "1.2.3") {
  const folder = temporaryFolder();
  const root = join(folder.path, "opt/plantgate", role);
  mkdirSync(join(root, "versions", version), { recursive: true });
  writeFileSync(join(root, "versions", version, "manifest.json"), JSON.stringify({ version }));
  symlinkSync(`versions/${version}`, join(root, "current"));
  mkdirSync(join(folder.path, "etc/plantgate"), { recursive: true });
  if (settings !== undefined) writeFileSync(join(folder.path, "etc/plantgate", `${role}.yaml`), settings);
  vi.stubEnv("PLANTGATE_ROOT", folder.path);
  return folder;
}

describe("an installed role", () => {
  it("is found with its folder, its settings and its version", () => {
    using folder = machine("gateway");
    expect(installed("gateway")).toEqual({
      role: "gateway",
      root: join(folder.path, "opt/plantgate/gateway"),
      configFile: join(folder.path, "etc/plantgate/gateway.yaml"),
      dataDir: join(folder.path, "var/lib/plantgate/gateway"),
      unit: "plantgate-gateway.service",
      version: "1.2.3",
    });
    expect(installed("central")).toBeUndefined();
  });

  it("has its data where its settings say so", () => {
    using _folder = machine("gateway", "dataDir: /srv/plantgate\n");
    expect(installed("gateway")?.dataDir).toBe("/srv/plantgate");
  });

  it("says where its service can write, before anything fails for that", async () => {
    using folder = machine("gateway", "dataDir: /srv/plantgate\n");
    const own = join(folder.path, "var/lib/plantgate/gateway");
    expect(await startService("gateway", "/srv/plantgate")).toContain(
      `plantgate-gateway.service was not started: the service cannot write in /srv/plantgate, only in ${own}: take dataDir out of`,
    );
    vi.stubEnv("STATE_DIRECTORY", own);
    writeFileSync(join(folder.path, "file"), "");
    const elsewhere = join(folder.path, "file/data");
    expect(() => requireWritable("gateway", elsewhere)).toThrow(`the service cannot write in ${elsewhere}, only in ${own}`);
    requireWritable("gateway", join(folder.path, "srv"));
    requireWritable("gateway", own);
  });

  it("needs no --data: its own folder is meant", async () => {
    using folder = machine("gateway");
    const { code, err } = await plantgateHere(["queue", "depth"], { cwd: folder.path });
    expect({ code, err }).toEqual({
      code: 1,
      err: `plantgate: ${join(folder.path, "var/lib/plantgate/gateway")} holds no queue: is it a gateway's data folder, and has the gateway run?\n`,
    });
  });
});

describe("settings of a process", () => {
  it("come from the file of what is installed, and the command line counts more", () => {
    using _folder = machine("central", "host: 10.0.0.1\nport: 9000\n");
    expect(settingsOf("central", undefined, { port: 9001, host: undefined })).toMatchObject({ host: "10.0.0.1", port: 9001 });
  });

  it("have the installed folder where the installed file is named, as its service does, and says nothing of one", () => {
    using folder = machine("gateway", "port: 9000\n");
    const file = join(folder.path, "etc/plantgate/gateway.yaml");
    const dataDir = join(folder.path, "var/lib/plantgate/gateway");
    expect(settingsOf("gateway", file, {})).toEqual({ port: 9000, dataDir });
    const other = join(folder.path, "other.yaml");
    writeFileSync(other, "port: 9000\n");
    expect(() => settingsOf("gateway", other, {})).toThrow(/--data FOLDER/);
  });

  it("leave the installed file alone where a folder is named", () => {
    using _folder = machine("central", "port: 9000\n");
    expect(settingsOf("central", undefined, { dataDir: "/elsewhere" })).toEqual({ dataDir: "/elsewhere" });
  });

  it("say what is wrong with a file, and with no folder at all", async () => {
    using folder = temporaryFolder();
    vi.stubEnv("PLANTGATE_ROOT", folder.path);
    const file = join(folder.path, "own.yaml");
    expect(() => settingsOf("gateway", file, {})).toThrow(/cannot be read from .*own\.yaml/);
    writeFileSync(file, "- a\n- b\n");
    expect(() => settingsOf("gateway", file, {})).toThrow(/holds no settings/);
    writeFileSync(file, "host: [\n");
    expect(() => settingsOf("gateway", file, {})).toThrow(/cannot be read/);
    writeFileSync(file, "");
    expect(() => settingsOf("gateway", file, {})).toThrow(/--data FOLDER/);
    writeFileSync(file, `dataDir: ${join(folder.path, "d")}\nport: none\nhots: x\n`);
    const { code, err } = await plantgateHere(["central", "--config", file], { cwd: folder.path });
    expect(code).toBe(1);
    expect(err).toMatch(/port: .*hots/s);
  });
});

describe("settings that only a newer version knows", () => {
  const said: string[] = [];
  const without = (settings: Record<string, unknown>) => {
    said.length = 0;
    return withoutNewer("gateway", settings, refusedSettings(settings), (line) => said.push(line));
  };

  it("are passed over, and said, where a newer version was here", () => {
    using folder = machine("gateway", undefined, "0.0.1");
    const root = join(folder.path, "opt/plantgate/gateway");
    const settings = { port: 9000, later: true };
    const about = { reason: "", at: "2026-11-27T00:00:00Z" };
    for (const last of [
      { version: "99.1.0", from: "0.0.1", outcome: "rolled-back", ...about },
      { version: "0.0.1", from: "99.1.0", outcome: "kept", ...about },
    ]) {
      writeFileSync(join(root, "last-upgrade.json"), JSON.stringify(last));
      expect(without(settings)).toEqual({ port: 9000 });
      expect(said).toEqual([expect.stringMatching(/does not take "later" of .*gateway\.yaml.*: version 99\.1\.0 was here/)]);
    }
    expect(without({ port: 9000 })).toEqual({ port: 9000 });
    expect(said).toEqual([]);
  });

  it("are what is left of a version that could not be noted as taken back: its tree", () => {
    using _folder = machine("gateway");
    expect(without({ later: true })).toEqual({});
  });

  it("are values as well, of names that are known; but for where data lies nothing else is taken", () => {
    using _folder = machine("gateway");
    const refused = { host: { address: "10.0.0.1" }, port: "auto", logLevel: "trace" };
    expect(without({ ...refused, proxy: undefined, centralUrl: "https://central.example.com" })).toEqual({
      centralUrl: "https://central.example.com",
    });
    expect(said).toEqual([expect.stringMatching(/"host", "port", "logLevel"/)]);
    expect(without({ dataDir: ["/srv"], later: true })).toEqual({ dataDir: ["/srv"] });
    expect(withoutNewer("central", { databaseUrl: "mysql://x" }, ["databaseUrl"])).toEqual({ databaseUrl: "mysql://x" });
  });

  it("end the start where none was here: they are mistyped", () => {
    using folder = machine("gateway", undefined, "0.0.1");
    // one that was refused was never here, whoever named it
    const refused = { version: "99.1.0", from: "0.0.1", outcome: "refused", reason: "", at: "2026-11-27T00:00:00Z" };
    writeFileSync(join(folder.path, "opt/plantgate/gateway/last-upgrade.json"), JSON.stringify(refused));
    expect(without({ later: true, port: "auto" })).toEqual({ later: true, port: "auto" });
    vi.stubEnv("PLANTGATE_ROOT", join(folder.path, "elsewhere"));
    expect(without({ later: true })).toEqual({ later: true });
    expect(said).toEqual([]);
  });

  it.each(["gateway", "central"] as const)("do not end the start of %s", async (role) => {
    using folder = machine(role, `later: true\nport: none\n${role === "central" ? "databaseUrl: nowhere\n" : ""}`);
    const { code, err } = await plantgateHere([role], { cwd: folder.path });
    expect(code).toBe(1);
    expect(err).toMatch(/does not take "later", "port"/);
    // what it does end for
    expect(err).toMatch(role === "central" ? /databaseUrl: / : /does not know its site/);
    expect(err).not.toMatch(/[Uu]nrecognized|port: /);
  });
});

describe("whether a version can go on with an installed gateway", () => {
  it.each([
    ["port: 9000\n", 0, /there is no queue yet/],
    ["port: auto\nhots: x\n", 1, /gateway\.yaml: this version does not take "port", "hots"/],
    ["port: [\n", 1, /the settings cannot be read from .*gateway\.yaml/],
    [undefined, 1, /the settings cannot be read from .*gateway\.yaml/],
  ])("rests on its settings as well, before anything is stopped: %j", async (settings, code, said) => {
    using folder = machine("gateway", settings, "0.0.1");
    mkdirSync(join(folder.path, "var/lib/plantgate/gateway"), { recursive: true });
    const ended = await plantgateHere(["queue", "judge"], { cwd: folder.path });
    expect(ended).toMatchObject({ code, [code === 0 ? "out" : "err"]: expect.stringMatching(said) });
  });
});

describe("systemd", () => {
  it("is told only where it asks, and the watchdog only by the process that it watches", () => {
    expect(openSupervisor({}).aliveEveryMs).toBeUndefined();
    expect(openSupervisor({ WATCHDOG_USEC: "120000000" }).aliveEveryMs).toBeUndefined();
    const socket = { NOTIFY_SOCKET: "/run/none" };
    expect(openSupervisor(socket).aliveEveryMs).toBeUndefined();
    expect(openSupervisor({ ...socket, WATCHDOG_USEC: "120000000" }).aliveEveryMs).toBe(120_000);
    expect(openSupervisor({ ...socket, WATCHDOG_USEC: "1", WATCHDOG_PID: "1" }).aliveEveryMs).toBeUndefined();
  });
});
