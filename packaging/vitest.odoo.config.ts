import { defineConfig } from "vitest/config";

/** Against a real Odoo 19: one after the other, as they share its stock. */
export default defineConfig({
  test: {
    include: ["test/odoo/**/*.test.ts"],
    pool: "forks",
    fileParallelism: false,
    testTimeout: 300_000,
    hookTimeout: 120_000,
  },
});
