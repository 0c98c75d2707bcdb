import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import type { CheckFinding } from "../../../protocol/index.ts";
import { plantgate } from "../../support/command.ts";
import { temporaryFolder } from "../../support/folder.ts";

it.skipIf(process.platform === "win32").each(["gateway.json", "local.json", "identity/gateway.key"])(
  "a pipe in the place of %s is named, and holds up nobody",
  async (name) => {
    using folder = temporaryFolder();
    mkdirSync(join(folder.path, "identity"), { mode: 0o700 });
    execFileSync("mkfifo", ["-m", "600", join(folder.path, "pipe")]);
    symlinkSync(join(folder.path, "pipe"), join(folder.path, name));
    writeFileSync(join(folder.path, "notes"), "", { mode: 0o600 });
    symlinkSync("/dev/null", join(folder.path, "nothing"));
    mkdirSync(join(folder.path, "lost+found"), { mode: 0o700 });
    execFileSync("mkfifo", ["-m", "600", join(folder.path, "lost+found/pipe")]);
    const { out, code } = await plantgate(["doctor", "--role", "gateway", "--data", folder.path, "--json"], { cwd: folder.path });
    const { findings } = JSON.parse(out) as { findings: CheckFinding[] };
    const named = findings.filter(({ level }) => level === "fault" || level === "warning");
    expect(named.map(({ check, seen }) => `${check}: ${seen}`)).toEqual([
      `permissions: neither files nor folders, but pipes or devices: ${[name, "pipe"].toSorted().join(", ")}`,
    ]);
    expect(code).toBe(1);
  },
);

it.skipIf(process.platform === "win32")(
  "a support bundle is refused where it would wait for a pipe, and that is said",
  async () => {
    using folder = temporaryFolder();
    execFileSync("mkfifo", ["-m", "600", join(folder.path, "gateway.json")]);
    const out = join(folder.path, "support.tar.gz");
    const { code, err } = await plantgate(["support-bundle", "--role", "gateway", "--data", folder.path, "--out", out], {
      cwd: folder.path,
    });
    expect({ code, err }).toMatchObject({ code: 1, err: expect.stringMatching(/gateway\.json in .* is no file, but a pipe/) });
    expect(existsSync(out)).toBe(false);
  },
);
