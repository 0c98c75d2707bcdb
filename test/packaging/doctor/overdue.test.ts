import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import type { BackupAnswer } from "../../../central/http/api/recovery.ts";
import type { CheckFinding } from "../../../protocol/index.ts";
import { eventually, startTestCentral } from "../../support/central.ts";
import { settableClock } from "../../support/clock.ts";
import { plantgate } from "../../support/command.ts";

it("plantgate doctor names a backup that central takes for overdue, and says how to take one", async () => {
  const clock = settableClock();
  await using central = await startTestCentral({ parts: { clock } });
  clock.pass(50 * 3_600_000);
  await eventually(
    async () => (await central.admin<BackupAnswer>("GET", "/v1/backup")).body.overdue,
    (overdue) => overdue !== null,
  );
  const config = join(central.dataDir, "central.yaml");
  writeFileSync(config, JSON.stringify({ port: Number(new URL(central.url).port) }));
  const asked = ["doctor", "--role", "central", "--data", central.dataDir, "--config", config, "--json"];
  const { out } = await plantgate(asked, { cwd: central.dataDir });
  const { findings } = JSON.parse(out) as { findings: CheckFinding[] };
  expect(findings.find(({ check }) => check === "backup")).toMatchObject({
    level: "warning",
    seen: "no backup was ever taken, and central has run for more than 2 days",
    advice: expect.stringContaining("plantgate-central-backup.timer"),
  });
});
