import { mkdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, expect, it, vi } from "vitest";
import { version } from "../../../gateway/version.ts";
import type { CheckFinding } from "../../../protocol/index.ts";
import { plantgate } from "../../support/command.ts";
import { temporaryFolder } from "../../support/folder.ts";

afterEach(() => vi.unstubAllEnvs());

it.each(["gateway", "central"] as const)(
  "passes over what a newer version's settings of %s say, as its start does, and warns of it",
  async (role) => {
    using folder = temporaryFolder();
    const top = join(folder.path, "opt/plantgate", role);
    const dataDir = join(folder.path, "var/lib/plantgate", role);
    for (const each of [version, "99.1.0"]) mkdirSync(join(top, "versions", each), { recursive: true });
    symlinkSync(`versions/${version}`, join(top, "current"));
    mkdirSync(join(folder.path, "etc/plantgate"), { recursive: true });
    mkdirSync(dataDir, { recursive: true, mode: 0o700 });
    const enrolled = JSON.stringify({ site: "lyon", centralUrl: "https://central.example.com" });
    if (role === "gateway") writeFileSync(join(dataDir, "gateway.json"), enrolled, { mode: 0o600 });
    const config = join(folder.path, "etc/plantgate", `${role}.yaml`);
    writeFileSync(config, `dataDir: ${dataDir}\nlater: true\nport: auto\n`);
    vi.stubEnv("PLANTGATE_ROOT", folder.path);
    const look = async (): Promise<string[]> => {
      const { out } = await plantgate(["doctor", "--role", role, "--json", "--only", "settings", "ports"], { cwd: folder.path });
      const { findings } = JSON.parse(out) as { findings: CheckFinding[] };
      return findings.map(({ level, check, seen, advice }) => `${level} ${check}: ${seen} (${advice})`);
    };

    const [settings, ports, ...others] = await look();
    expect(settings).toMatch(/^warning settings: version \S+ does not take "later", "port", .* version 99\.1\.0 was here/);
    expect(settings).toContain(config);
    // by its default
    expect(ports).toMatch(/^(ok|fault|unchecked) ports: /);
    expect(ports).not.toMatch(/its port is not known|its ports are not known/);
    expect(others).toEqual([]);

    rmSync(join(top, "versions/99.1.0"), { recursive: true });
    const [mistyped] = await look();
    expect(mistyped).toMatch(/^fault settings: .*(port|later)/);
  },
);
