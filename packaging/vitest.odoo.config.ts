import { fileURLToPath } from "node:url";
import { defineConfig } from "vitest/config";

/** Against a real Odoo 19: one after the other, as they share its stock. */
export default defineConfig({
  test: {
    include: ["test/odoo/**/*.test.ts"],
    globalSetup: [fileURLToPath(new URL("../test/support/postgres-run.ts", import.meta.url))],
    pool: "forks",
    fileParallelism: false,
    testTimeout: 300_000,
    hookTimeout: 120_000,
  },
});
