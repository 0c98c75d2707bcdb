import { fileURLToPath } from "node:url";
import { defineConfig } from "vitest/config";

/** The console in a real Chromium, against a real central and a real gateway: `npm run test:browser`. */
export default defineConfig({
  test: {
    include: ["test/browser/**/*.test.ts"],
    globalSetup: [fileURLToPath(new URL("../test/support/postgres-run.ts", import.meta.url))],
    pool: "forks",
    maxWorkers: 1,
    testTimeout: 300_000,
    hookTimeout: 180_000,
    // one story, told in order
    bail: 1,
  },
});
