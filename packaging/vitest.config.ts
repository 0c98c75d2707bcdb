import { fileURLToPath } from "node:url";
import { defineConfig } from "vitest/config";
import { BaseSequencer, type TestSpecification } from "vitest/node";

/** The files that take longest, longest first: begun last, one of them would keep the other worker waiting. */
const long = [
  "gateway/connector/opcua/opcua",
  "e2e/exchange",
  "central/ledger/crash",
  "e2e/acknowledged-means-on-disk",
  "central/console/console",
  "central/console/configuration",
  "e2e/forks",
  "bench/bench",
  "e2e/full-disk-start",
  "central/ledger/projector",
  "packaging/cli/central",
  "e2e/demo",
  "gateway/queue/bit-flips",
  "packaging/cli/queue-live",
  "central/storage/replaced",
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
    maxWorkers: 2,
    sequence: { sequencer: LongFirst },
    // on a slow machine everything takes several times as long: what stands still is told by the waits inside the tests
    testTimeout: 180_000,
    hookTimeout: 180_000,
    expect: { poll: { timeout: 60_000 } },
  },
});
