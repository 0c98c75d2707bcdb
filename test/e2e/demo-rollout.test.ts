import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it } from "vitest";
import { type RolloutVerdict, runRolloutDemo } from "../../packaging/demo/rollout/demo.ts";

it("a fleet takes a good change wave by wave, its canary gives a bad one back, and the same once more touches nobody", async () => {
  const dataDir = mkdtempSync(join(tmpdir(), "plantgate-fleet-"));
  const printed: string[] = [];
  try {
    const code = await runRolloutDemo({ agents: 8, offline: 2, processes: 2, dataDir }, (text) => printed.push(text));
    expect(code, printed.join("")).toBe(0);
    const verdict = JSON.parse(printed.at(-1) ?? "") as RolloutVerdict;
    expect(verdict).toMatchObject({ agents: 8, converged: 8, badStoppedAtCanary: true, restartsOnIdenticalPush: 0 });
    expect(verdict.rolledBackSeconds).toBeGreaterThan(0);
    expect(Object.keys(verdict)).toEqual([
      "agents",
      "converged",
      "badStoppedAtCanary",
      "rolledBackSeconds",
      "restartsOnIdenticalPush",
    ]);
  } finally {
    rmSync(dataDir, { recursive: true, force: true });
  }
}, 600_000);
