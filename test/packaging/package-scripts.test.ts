import { spawnSync } from "node:child_process";
import { chmodSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { debianVersion, layOutDeb } from "../../packaging/package/deb.ts";
import { platforms } from "../../packaging/package/platforms.ts";
import { resolveFrom } from "../../packaging/package/sbom.ts";
import { openReleaseKey } from "../../packaging/package/signing.ts";
import { project } from "../../packaging/package/workspace.ts";

const install = join(project, "packaging/install");
const base = mkdtempSync(join(tmpdir(), "plantgate-scripts-"));
afterAll(() => rmSync(base, { recursive: true, force: true }));

/** A folder before all others of the path, with programs that say something else than this machine's. */
function pathWith(name: string, programs: Readonly<Record<string, string>>): string {
  const folder = join(base, name);
  mkdirSync(folder, { recursive: true });
  for (const [program, text] of Object.entries(programs)) {
    writeFileSync(join(folder, program), `#!/bin/sh\n${text}\n`);
    chmodSync(join(folder, program), 0o755);
  }
  return `${folder}:/usr/sbin:/usr/bin:/sbin:/bin`;
}

describe("the scripts of an installation", () => {
  it("are all understood by a POSIX shell", () => {
    const scripts = "plantgate setup refresh.sh install.sh uninstall.sh note-waiting back-off usable-secrets choose".split(" ");
    const debian = readdirSync(join(install, "debian")).filter((name) => /^(pre|post)(inst|rm)$/.test(name));
    expect(debian).toHaveLength(4);
    for (const script of [...scripts, ...debian.map((name) => `debian/${name}`)])
      expect(spawnSync("sh", ["-n", join(install, script)], { encoding: "utf8" })).toMatchObject({ status: 0, stderr: "" });
  });

  it("wait longer the more starts failed one after the other, and begin anew after one that ended well", () => {
    const runtime = join(base, "runtime");
    mkdirSync(runtime);
    const PATH = pathWith("sleeping", { sleep: 'echo "$1"', cut: "echo 100000" });
    const backOff = (args: readonly string[], more: Record<string, string>): string =>
      spawnSync("dash", [join(install, "back-off"), ...args], {
        env: { PATH, RUNTIME_DIRECTORY: runtime, ...more },
        encoding: "utf8",
      }).stdout.trim();
    const waitAfter = (SERVICE_RESULT: string): string => {
      expect(backOff([], { SERVICE_RESULT })).toBe("");
      return backOff(["wait"], {});
    };
    expect(backOff(["wait"], {})).toBe("");
    expect(Array.from({ length: 8 }, () => waitAfter("signal"))).toEqual(["1", "2", "4", "8", "16", "32", "60", "60"]);
    expect(waitAfter("success")).toBe("");
    expect(waitAfter("watchdog")).toBe("1");
    writeFileSync(join(runtime, "failed"), "60 99999999\n");
    expect(backOff(["wait"], {})).toBe("");
  });

  it("refuse an archive of another platform before anything is touched", () => {
    const archive = join(base, "archive");
    mkdirSync(archive);
    writeFileSync(join(archive, "install.sh"), readFileSync(join(install, "install.sh")));
    writeFileSync(join(archive, "manifest.json"), JSON.stringify({ version: "1.0.0", platform: "linux-arm64" }, null, 2));
    const PATH = pathWith("other-machine", { id: "echo 0", uname: "echo x86_64" });
    const refused = spawnSync("sh", [join(archive, "install.sh"), "gateway"], { env: { PATH }, encoding: "utf8" });
    expect(refused.status).toBe(1);
    expect(refused.stderr).toContain("this archive is for linux-arm64");
    const unprivileged = pathWith("somebody", { id: "echo 1000" });
    expect(
      spawnSync("sh", [join(archive, "install.sh"), "gateway"], { env: { PATH: unprivileged }, encoding: "utf8" }).stderr,
    ).toContain("run it as root");
    expect(spawnSync("sh", [join(archive, "install.sh"), "both"], { env: { PATH }, encoding: "utf8" }).status).toBe(2);
  });
});

describe("what a package is made with", () => {
  it("sorts what comes before a release before it, as Debian does", () => {
    expect(debianVersion("1.0.0-rc.1")).toBe("1.0.0~rc.1");
    expect(debianVersion("1.0.0")).toBe("1.0.0");
  });

  it("holds its tree once, as dpkg's own, and says how much room that takes", async () => {
    const [tree, root] = [join(base, "tree"), join(base, "laid-out")];
    mkdirSync(join(tree, "app/console"), { recursive: true });
    writeFileSync(join(tree, "install.sh"), "");
    writeFileSync(join(tree, "app/console/page.js"), "");
    writeFileSync(join(tree, "program"), "x".repeat(4096 * 1024));
    const platform = platforms["linux-x64"];
    await layOutDeb({ release: "1.0.0", role: "gateway", platform, tree, epochSeconds: 0 }, root);
    expect(readdirSync(join(root, "opt/plantgate/gateway")).sort()).toEqual(["choose", "package"]);
    expect(readdirSync(join(root, "opt/plantgate/gateway/package"), { recursive: true }).sort()).toEqual(["app", "program"]);
    const size = /^Installed-Size: (\d+)$/m.exec(readFileSync(join(root, "DEBIAN/control"), "utf8"))?.[1];
    expect(Number(size)).toBeGreaterThan(4096);
    expect(Number(size)).toBeLessThan(4096 + 400);
  });

  it("makes a key once where none is given, for its owner's eyes alone, and refuses one of another kind", () => {
    const folder = join(base, "release");
    const first = openReleaseKey(undefined, folder);
    expect(openReleaseKey(undefined, folder).publicKeys).toBe(first.publicKeys);
    expect(spawnSync("stat", ["-c", "%a", join(folder, "release-key.pem")], { encoding: "utf8" }).stdout.trim()).toBe("600");
    const rsa = join(base, "rsa.pem");
    spawnSync("openssl", ["genpkey", "-algorithm", "RSA", "-out", rsa]);
    expect(() => openReleaseKey(rsa, folder)).toThrow(/key of type rsa/);
    expect(() => openReleaseKey(join(base, "none.pem"), folder)).toThrow(/no key in PEM/);
  });

  it("finds which copy of a package another one uses, from the inside outwards", () => {
    const lock = {
      "node_modules/a": { version: "1.0.0" },
      "node_modules/b": { version: "1.0.0" },
      "node_modules/b/node_modules/a": { version: "2.0.0" },
    };
    expect(resolveFrom("node_modules/b", "a", lock)).toBe("node_modules/b/node_modules/a");
    expect(resolveFrom("node_modules/b/node_modules/a", "b", lock)).toBe("node_modules/b");
    expect(resolveFrom("node_modules/b", "c", lock)).toBeUndefined();
  });
});
