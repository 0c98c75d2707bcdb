import { execFileSync } from "node:child_process";
import { mkdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { version } from "../../../gateway/version.ts";
import type { CheckFinding } from "../../../protocol/index.ts";
import { launcher } from "../../support/command.ts";
import { temporaryFolder } from "../../support/folder.ts";

/** Another root, in which a package put a version that was not enrolled yet. */
function openRoot(root: string) {
  const top = join(root, "opt/plantgate/gateway");
  const tree = join(top, "versions", version);
  for (const folder of [join(tree, "bin"), join(tree, "app/packaging/cli"), join(root, "etc/plantgate")])
    mkdirSync(folder, { recursive: true });
  for (const part of ["bin/node", "bin/plantgate", "app/packaging/cli/launch.mjs", "release-keys.pem", "../../choose"])
    writeFileSync(join(tree, part), "");
  for (const folder of ["etc/plantgate/secrets", "var/lib/plantgate/gateway"])
    mkdirSync(join(root, folder), { recursive: true, mode: 0o700 });
  const manifest = { product: "plantgate", version, platform: "linux-x64", node: process.versions.node, queueFormat: 4 };
  writeFileSync(join(tree, "manifest.json"), JSON.stringify(manifest));
  symlinkSync(`versions/${version}`, join(top, "current"));
  const config = join(root, "etc/plantgate/gateway.yaml");
  writeFileSync(config, `dataDir: ${join(root, "var/lib/plantgate/gateway")}\n`);
  return { top, config };
}

it("looks into another root: one that is not enrolled yet, a trial that is young, settings that are gone", () => {
  using folder = temporaryFolder();
  const { top, config } = openRoot(folder.path);
  const doctor = (): string[] => {
    let out: string;
    try {
      const env = { ...process.env, PLANTGATE_ROOT: folder.path };
      out = execFileSync(process.execPath, [launcher, "doctor", "--json"], { env, encoding: "utf8" });
    } catch (error) {
      out = (error as { stdout: string }).stdout;
    }
    return (JSON.parse(out) as { findings: CheckFinding[] }).findings
      .filter(({ level, check }) => (level === "fault" || level === "warning") && check !== "flush")
      .map(({ level, check, seen }) => `${level} ${check}: ${seen}`);
  };
  const notEnrolled = "fault settings: this gateway is not enrolled";
  expect(doctor()).toEqual([notEnrolled]);

  const onTrial = (begun: number, of = version) => ({ version: of, from: "0.0.1", begun: new Date(begun).toISOString() });
  const watched = (minutes: number, hoursAgo: number) => ({
    ...onTrial(Date.now() - hoursAgo * 3_600_000),
    watchMs: minutes * 60_000,
  });
  const nobody = expect.stringMatching(/^fault versions: version .* has been on trial since .*, and nobody ends it$/);
  for (const [trial, said] of [
    [onTrial(Date.now() - 60_000), []],
    [watched(60, 2.5), []],
    [watched(60, 2.6), [nobody]],
    [watched(1, 0.6), []],
    [watched(1, 0.7), [nobody]],
    [onTrial(Date.now(), "9.9.9"), [`fault versions: version 9.9.9 is noted to be on trial, and ${version} is current`]],
  ] as const) {
    writeFileSync(join(top, "trial.json"), JSON.stringify(trial));
    expect(doctor()).toEqual([...said, notEnrolled]);
  }
  rmSync(join(top, "trial.json"));
  rmSync(config);
  expect(doctor()).toEqual([`fault settings: ${config} is missing`]);
});
