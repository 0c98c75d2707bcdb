import { fileURLToPath } from "node:url";
import { defineConfig } from "vitest/config";
import { BaseSequencer, type TestSpecification } from "vitest/node";

/** The files that take longest, longest first: begun last, one of them would keep the others waiting. */
const long = [
  "gateway/connector/opcua/opcua",
  "bench/bench",
  "central/console/configuration",
  "central/release/rollout",
  "e2e/forks",
  "packaging/doctor/catalogue",
  "e2e/planted-secret",
  "central/console/console",
  "e2e/exchange",
  "e2e/acknowledged-means-on-disk",
  "central/change/changes",
  "e2e/demo-rollout",
  "central/ledger/crash",
  "packaging/package-build",
  "central/http/sign-in",
  "gateway/move/move",
  "central/backup/backup",
  "e2e/moved-gateway",
  "packaging/upgrade/cuts",
  "central/ledger/damage",
  "e2e/key-rotation",
  "central/http/people",
  "e2e/demo",
  "packaging/demo/verifier",
  "central/storage/replaced",
  "central/router/downlink",
  "central/ledger/projector",
  "central/rollout/engine",
  "central/rollout/crash",
  "gateway/queue/bit-flips",
  "e2e/dry-run",
];

class LongFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const place = ({ moduleId }: TestSpecification): number => {
      const at = long.findIndex((name) => moduleId.endsWith(`/test/${name}.test.ts`));
      return at === -1 ? long.length : at;
    };
    return (await super.sort(files)).sort((one, other) => place(one) - place(other));
  }
}

export default defineConfig({
  test: {
    include: ["test/**/*.test.ts"],
    exclude: ["test/odoo/**", "test/browser/**", "**/node_modules/**"],
    globalSetup: [fileURLToPath(new URL("../test/support/postgres-run.ts", import.meta.url))],
    pool: "forks",
    // they wait for other processes and disks, and these compute as well
    maxWorkers: 3,
    sequence: { sequencer: LongFirst },
    // on a slow machine everything takes several times as long: what stands still is told by the waits inside the tests
    testTimeout: 180_000,
    hookTimeout: 180_000,
    expect: { poll: { timeout: 60_000 } },
  },
});
