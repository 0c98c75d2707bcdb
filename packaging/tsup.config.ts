import { defineConfig, type Options } from "tsup";

const shared: Options = {
  format: "esm",
  target: "node26",
  platform: "node",
  sourcemap: true,
  dts: false,
  // node:sqlite has no name without the prefix
  removeNodeProtocol: false,
  publicDir: false,
};

/**
 * What ships, each program and worker at the path that it has in the sources, so that the workers are found from there
 * (gateway/worker-url.ts). Packages stay outside.
 */
export default defineConfig(({ outDir = "dist" }): Options[] => [
  {
    ...shared,
    entry: {
      "packaging/cli/main": "packaging/cli/main.ts",
      "gateway/main": "gateway/main.ts",
      "central/main": "central/main.ts",
    },
    outDir,
    // what several share, and each kind of connector, is a file of its own: a kind is loaded when it is needed
    splitting: true,
    esbuildOptions(options) {
      // one folder deep, like gateway/main
      options.chunkNames = "chunks/[name]-[hash]";
    },
    clean: ["packaging/**", "gateway/*", "central/*", "chunks/**"],
    async onSuccess() {
      const { copyFile } = await import("node:fs/promises");
      await copyFile("packaging/cli/launch.mjs", `${outDir}/packaging/cli/launch.mjs`);
    },
  },
  {
    ...shared,
    // each whole, of what it uses: a thread pays memory for all that it loads
    entry: {
      "gateway/queue/worker": "gateway/queue/worker.ts",
      "gateway/flow/expression-worker": "gateway/flow/expression-worker.ts",
      "gateway/rehearsal/dry-run-worker": "gateway/rehearsal/dry-run-worker.ts",
      "central/document/render-worker": "central/document/render-worker.ts",
    },
    outDir,
    splitting: false,
    clean: ["gateway/queue/**", "gateway/flow/**", "gateway/rehearsal/**", "central/document/**"],
  },
]);
