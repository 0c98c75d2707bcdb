import { defineConfig } from "vitest/config";

/** The console in a real Chromium, against a real central and a real gateway: `npm run test:browser`. */
export default defineConfig({
  test: {
    include: ["test/browser/**/*.test.ts"],
    pool: "forks",
    maxWorkers: 1,
    testTimeout: 300_000,
    hookTimeout: 180_000,
    // one story, told in order
    bail: 1,
  },
});
