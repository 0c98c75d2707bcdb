import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import type { CheckFinding } from "../../../protocol/index.ts";
import { startTestCentral, type TestCentral } from "../../support/central.ts";
import { plantgate } from "../../support/command.ts";
import { temporaryFolder } from "../../support/folder.ts";
import { storages } from "../../support/storages.ts";

/** Faults and warnings of a central, as its settings' file describes it. */
async function doctor({ dataDir }: TestCentral, config: string): Promise<string[]> {
  const { out } = await plantgate(["doctor", "--role", "central", "--data", dataDir, "--config", config, "--json"], {
    cwd: dataDir,
  });
  const { findings } = JSON.parse(out) as { findings: CheckFinding[] };
  return findings
    .filter(({ level, check }) => (level === "fault" || level === "warning") && check !== "flush")
    .map(({ level, check, subject }) => [level, check, subject].filter((each) => each !== undefined).join(" "));
}

describe.each(await storages())("plantgate doctor beside a central on %s", (storage) => {
  it("that no package installed names nothing where all is well, and what its settings get wrong", async () => {
    await using central = await startTestCentral({ storage });
    using folder = temporaryFolder();
    const config = join(folder.path, "central.yaml");
    const write = (more: object): void => {
      const settings = { port: Number(new URL(central.url).port), databaseUrl: central.database?.url, ...more };
      writeFileSync(config, JSON.stringify(settings));
    };
    write({});
    expect(await doctor(central, config)).toEqual([]);

    write({ leaseSeconds: "long" });
    expect(await doctor(central, config)).toEqual(["fault settings"]);
    write({ databaseUrl: "postgres://central@database.invalid/plantgate" });
    expect(await doctor(central, config)).toEqual(["fault names database.invalid"]);
  });
});
