import {
  cpSync,
  existsSync,
  lstatSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { machineDisk } from "../../packaging/upgrade/disk.ts";
import { layoutOf } from "../../packaging/upgrade/layout.ts";
import { makeOfficial } from "../../packaging/upgrade/official.ts";
import { machineServices } from "../../packaging/upgrade/services.ts";
import { systemClock } from "../../protocol/index.ts";
import { DpkgMachine } from "../support/dpkg-machine.ts";

const inode = (file: string): number => lstatSync(file).ino;
const isWhole = (tree: string, version: string): boolean =>
  ["bin/plantgate", "bin/node", "manifest.json", "install/setup", `app/chunks/of-${version}.js`].every((file) =>
    existsSync(join(tree, file)),
  ) && readFileSync(join(tree, "bin/node"), "utf8") === `node of ${version}`;

async function installed(...versions: string[]): Promise<DpkgMachine> {
  const machine = new DpkgMachine();
  for (const version of versions) expect(await machine.dpkg("-i", machine.package(version))).toMatchObject({ code: 0 });
  return machine;
}

/** As after a trial that was taken back: dpkg knows the newer version, the one before runs. */
async function takenBack(): Promise<DpkgMachine> {
  const machine = await installed("0.1.0", "0.2.0");
  rmSync(machine.top("current"));
  symlinkSync("versions/0.1.0", machine.top("current"));
  return machine;
}

describe("dpkg, at work beside a version that runs", () => {
  it("takes no name away from its tree, whatever is unpacked", async () => {
    using machine = await installed("0.1.0");
    const upgrading = () => machine.dpkg("-i", machine.package("0.2.0"));
    const changes = await machine.changesIn(machine.top("versions/0.1.0/bin"), () =>
      machine.changesIn(machine.top("versions/0.1.0/app/chunks"), upgrading).then((inner) => expect(inner).toEqual([])),
    );
    expect(changes).toEqual([]);
    expect(isWhole(machine.top("versions/0.1.0"), "0.1.0")).toBe(true);
    expect(isWhole(machine.top("versions/0.2.0"), "0.2.0")).toBe(true);
  });

  it("brings a version that lies on the disk once, and leaves nothing half done", async () => {
    using machine = await installed("0.1.0", "0.2.0");
    expect(machine.current).toBe("0.2.0");
    expect(inode(machine.top("versions/0.2.0/bin/node"))).toBe(inode(machine.top("package/bin/node")));
    expect(readdirSync(machine.top("versions"))).toEqual(["0.1.0", "0.2.0"]);
  });

  it("changes no file of a tree that the updater brought, and shares them", async () => {
    using machine = await installed("0.1.0");
    machine.tree("0.2.0", machine.top("versions/0.2.0"));
    rmSync(machine.top("current"));
    symlinkSync("versions/0.2.0", machine.top("current"));
    const node = inode(machine.top("versions/0.2.0/bin/node"));
    const official = () => machine.dpkg("-i", machine.package("0.2.0"));
    expect(await machine.changesIn(machine.top("versions/0.2.0/bin"), official)).toEqual([]);
    expect([inode(machine.top("versions/0.2.0/bin/node")), inode(machine.top("package/bin/node"))]).toEqual([node, node]);
  });

  it("repairs a tree by the same version once more", async () => {
    using machine = await installed("0.1.0");
    rmSync(machine.top("versions/0.1.0/bin/node"));
    writeFileSync(machine.top("versions/0.1.0/manifest.json"), "");
    expect((await machine.dpkg("-i", machine.package("0.1.0"))).code).toBe(0);
    expect(isWhole(machine.top("versions/0.1.0"), "0.1.0")).toBe(true);
    expect(readFileSync(machine.top("versions/0.1.0/manifest.json"), "utf8")).toContain("0.1.0");
  });

  it("is cut off between unpacking and configuring: what ran runs on, and it is gone on with", async () => {
    using machine = await installed("0.1.0");
    await machine.dpkg("--unpack", machine.package("0.2.0"));
    expect([machine.current, readdirSync(machine.top("versions"))]).toEqual(["0.1.0", ["0.1.0"]]);
    // a power cut amidst postinst leaves this
    cpSync(machine.top("package/bin"), machine.top("versions/.0.2.0.part/bin"), { recursive: true });
    expect((await machine.dpkg("--configure", "-a")).code).toBe(0);
    expect(machine.current).toBe("0.2.0");
    expect(isWhole(machine.top("versions/0.2.0"), "0.2.0")).toBe(true);
    expect(readdirSync(machine.top("versions"))).toEqual(["0.1.0", "0.2.0"]);
  });

  it("is cut off while the updater has it unpack: the version is its package's all the same, and never an archive's", async () => {
    using machine = await installed("0.1.0");
    machine.tree("0.2.0", machine.top("versions/0.2.0"));
    machine.write("opt/plantgate/gateway/versions/0.2.0/install/refresh.sh", `#!/bin/sh\ntouch ${machine.at("refreshed")}\n`);
    rmSync(machine.top("current"));
    symlinkSync("versions/0.2.0", machine.top("current"));
    cpSync(machine.package("0.2.0"), machine.top("upgrade/package.deb"));
    await machine.cutWhileUnpacking(machine.top("upgrade/package.deb"));
    expect(machine.known).toBe("0.1.0 half-installed");
    const trial = {
      version: "0.2.0",
      from: "0.1.0",
      starts: 1,
      mostStarts: 3,
      begun: "2026-01-01T00:00:00.000Z",
      watchMs: 60_000,
    };
    const missing = await machine.within(async () => {
      const layout = layoutOf("gateway");
      const deps = { layout, machine: { clock: systemClock, ...machineDisk, ...machineServices(layout) }, tell: () => {} };
      return makeOfficial(deps, { ...trial, goesBack: true, before: { online: true, up: [] }, package: "package.deb" });
    });
    expect([missing, machine.known, existsSync(machine.at("refreshed"))]).toEqual([undefined, "0.2.0 installed", false]);
  });

  it("takes away on removal all that was made", async () => {
    using machine = await installed("0.1.0", "0.2.0");
    const removed = await machine.dpkg("-r", "plantgate-gateway");
    expect(removed).toMatchObject({ code: 0, said: expect.not.stringContaining("not empty") });
    expect(existsSync(machine.at("opt/plantgate"))).toBe(false);
    expect((await machine.dpkg("-P", "plantgate-gateway")).code).toBe(0);
    expect(existsSync(machine.at("etc/plantgate"))).toBe(false);
  });
});

describe("a program that somebody deleted by hand", () => {
  it.each(["-r", "-i"])("is no reason for dpkg to fail: %s", async (way) => {
    using machine = await installed("0.1.0");
    rmSync(machine.at("opt/plantgate"), { recursive: true });
    const ended = await machine.dpkg(way, way === "-r" ? "plantgate-gateway" : machine.package("0.2.0"));
    expect(ended.code, ended.said).toBe(0);
    expect(machine.known).toBe(way === "-r" ? "0.1.0 config-files" : "0.2.0 installed");
    if (way === "-i") expect(isWhole(machine.top("current"), "0.2.0")).toBe(true);
  });
});

describe("after a version was taken back, dpkg", () => {
  it("is told by the package of the version that runs, which is older than what it knows", async () => {
    using machine = await takenBack();
    expect(machine.known).toBe("0.2.0 installed");
    const told = await machine.dpkg("-i", machine.package("0.1.0"));
    expect(told.code, told.said).toBe(0);
    expect([machine.known, machine.current]).toEqual(["0.1.0 installed", "0.1.0"]);
    expect(isWhole(machine.top("versions/0.1.0"), "0.1.0")).toBe(true);
    expect(inode(machine.top("versions/0.1.0/bin/node"))).toBe(inode(machine.top("package/bin/node")));
  });

  it("still refuses one that is older and does not run", async () => {
    using machine = await takenBack();
    const refused = await machine.dpkg("-i", machine.package("0.0.9"));
    expect(refused).toMatchObject({ code: 1, said: expect.stringContaining("plantgate upgrade --allow-older") });
    expect([machine.known, machine.current]).toEqual(["0.2.0 installed", "0.1.0"]);
    expect(isWhole(machine.top("versions/0.1.0"), "0.1.0")).toBe(true);
  });

  it("tries the newer one again when it is installed again", async () => {
    using machine = await takenBack();
    expect((await machine.dpkg("-i", machine.package("0.2.0"))).code).toBe(0);
    expect(machine.current).toBe("0.2.0");
  });
});

describe("after the updater brought a version that dpkg does not know, dpkg", () => {
  it("refuses to lead back behind it by the package it knows, unless that is meant", async () => {
    using machine = await installed("0.1.0");
    machine.tree("0.10.0-rc.1", machine.top("versions/0.10.0-rc.1"));
    rmSync(machine.top("current"));
    symlinkSync("versions/0.10.0-rc.1", machine.top("current"));
    for (const older of ["0.1.0", "0.9.0"]) {
      const refused = await machine.dpkg("-i", machine.package(older));
      expect(refused).toMatchObject({ code: 1, said: expect.stringContaining("0.10.0-rc.1 runs here, which is newer") });
      expect([machine.known, machine.current]).toEqual(["0.1.0 installed", "0.10.0-rc.1"]);
    }
    expect((await machine.dpkg("-i", machine.package("0.10.0"))).code).toBe(0);
    expect(machine.current).toBe("0.10.0");
  });
});

describe("a package of before, whose tree lay in versions/ itself", () => {
  async function ofBefore(): Promise<DpkgMachine> {
    const machine = new DpkgMachine();
    const ended = await machine.dpkg("-i", machine.package("0.1.0", "versions"));
    expect(ended.code, ended.said).toBe(0);
    return machine;
  }

  it.each(["0.2.0", "0.1.0"])("is followed by %s: its tree stays for the way back", async (version) => {
    using machine = await ofBefore();
    expect((await machine.dpkg("-i", machine.package(version))).code).toBe(0);
    expect(machine.current).toBe(version);
    expect(readdirSync(machine.top("versions"))).toEqual([...new Set(["0.1.0", version])]);
    expect(isWhole(machine.top("versions/0.1.0"), "0.1.0")).toBe(true);
    expect(isWhole(machine.top("versions", version), version)).toBe(true);
  });

  it("is followed by one that the updater brought: neither tree is touched", async () => {
    using machine = await ofBefore();
    machine.tree("0.2.0", machine.top("versions/0.2.0"));
    rmSync(machine.top("current"));
    symlinkSync("versions/0.2.0", machine.top("current"));
    const official = () => machine.dpkgWith({ PLANTGATE_ALLOW_OLDER: "1" }, "-i", machine.package("0.2.0"));
    expect(await machine.changesIn(machine.top("versions/0.2.0/bin"), official)).toEqual([]);
    expect([machine.known, machine.current]).toEqual(["0.2.0 installed", "0.2.0"]);
    for (const version of ["0.1.0", "0.2.0"]) expect(isWhole(machine.top("versions", version), version)).toBe(true);
    expect(readdirSync(machine.top("versions"))).toEqual(["0.1.0", "0.2.0"]);
  });

  it("is whole between unpacking and configuring, also when that is begun anew", async () => {
    using machine = await ofBefore();
    const next = machine.package("0.2.0");
    for (const _ of ["cut off", "begun anew"]) {
      await machine.dpkg("--unpack", next);
      expect(isWhole(machine.top("current"), "0.1.0")).toBe(true);
    }
    expect((await machine.dpkg("--configure", "-a")).code).toBe(0);
    expect(readdirSync(machine.top("versions"))).toEqual(["0.1.0", "0.2.0"]);
    expect(isWhole(machine.top("versions/0.1.0"), "0.1.0")).toBe(true);
  });

  it("runs on where the next one cannot be unpacked", async () => {
    using machine = await ofBefore();
    const damaged = machine.package("0.2.0");
    truncateSync(damaged, lstatSync(damaged).size - 2000);
    expect((await machine.dpkg("-i", damaged)).code).toBe(1);
    expect([machine.current, machine.known]).toEqual(["0.1.0", "0.1.0 installed"]);
    expect(readdirSync(machine.top("versions"))).toEqual(["0.1.0"]);
    expect(isWhole(machine.top("versions/0.1.0"), "0.1.0")).toBe(true);
  });

  it("may follow one of today, as a person wants it, and be followed again: no tree is lost on the way", async () => {
    using machine = await takenBack();
    const older = machine.package("0.1.0", "versions");
    expect((await machine.dpkg("-i", older)).code).toBe(1);
    expect((await machine.dpkgWith({ PLANTGATE_ALLOW_OLDER: "1" }, "-i", older)).code).toBe(0);
    expect([machine.known, machine.current]).toEqual(["0.1.0 installed", "0.1.0"]);
    expect((await machine.dpkg("-i", machine.package("0.3.0"))).code).toBe(0);
    expect(machine.current).toBe("0.3.0");
    for (const version of ["0.1.0", "0.2.0", "0.3.0"])
      expect(isWhole(machine.top("versions", version), version), version).toBe(true);
    expect(readdirSync(machine.top("versions"))).toEqual(["0.1.0", "0.2.0", "0.3.0"]);
  });
});

describe("an archive that takes the place of a package that was removed", () => {
  it("keeps the settings that somebody wrote, also those of later, as dpkg has nothing to purge any more", async () => {
    using machine = await installed("0.1.0");
    const settings = machine.at("etc/plantgate/gateway.yaml");
    writeFileSync(settings, "port: 9000\n");
    await machine.dpkg("-r", "plantgate-gateway");
    expect(machine.known).toBe("0.1.0 config-files");
    const ended = await machine.install("0.2.0");
    expect(ended.code, ended.said).toBe(0);
    expect(ended.said).toContain(`dpkg forgets plantgate-gateway, which was removed; ${settings} stays as it is`);
    expect([machine.current, machine.known]).toEqual(["0.2.0", ""]);
    expect(readFileSync(settings, "utf8")).toBe("port: 9000\n");
    writeFileSync(settings, "port: 9001\n");
    await machine.dpkg("-P", "plantgate-gateway");
    expect(readFileSync(settings, "utf8")).toBe("port: 9001\n");
    expect(readdirSync(machine.at("etc/plantgate"))).toEqual(["gateway.yaml"]);
    expect(isWhole(machine.top("current"), "0.2.0")).toBe(true);
  });
});
