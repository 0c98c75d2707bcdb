import { fileURLToPath } from "node:url";
import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["test/**/*.test.ts"],
    exclude: ["test/odoo/**", "**/node_modules/**"],
    globalSetup: [fileURLToPath(new URL("../test/support/postgres-run.ts", import.meta.url))],
    pool: "forks",
    maxWorkers: 2,
    testTimeout: 60_000,
    hookTimeout: 120_000,
  },
});
