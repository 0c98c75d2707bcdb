import { defineConfig } from "tsup";

/**
 * What ships: each program and each worker is an entry at the path that it has in the sources, so that the workers are found beside it
 * (gateway/worker-url.ts). What several share, and each kind of connector, is a file of its own, so that a kind is loaded when it is needed.
 * Packages stay outside.
 */
export default defineConfig(({ outDir = "dist" }) => ({
  entry: {
    "packaging/cli/main": "packaging/cli/main.ts",
    "gateway/main": "gateway/main.ts",
    "gateway/queue/worker": "gateway/queue/worker.ts",
    "gateway/flow/expression-worker": "gateway/flow/expression-worker.ts",
    "central/main": "central/main.ts",
  },
  outDir,
  format: "esm",
  target: "node26",
  platform: "node",
  splitting: true,
  esbuildOptions(options) {
    // one folder deep like gateway/main: see gateway/worker-url.ts
    options.chunkNames = "chunks/[name]-[hash]";
  },
  sourcemap: true,
  dts: false,
  // what lies in console is Vite's
  clean: ["!console/**"],
  // node:sqlite has no name without the prefix
  removeNodeProtocol: false,
  publicDir: false,
  async onSuccess() {
    const { copyFile } = await import("node:fs/promises");
    await copyFile("packaging/cli/launch.mjs", `${outDir}/packaging/cli/launch.mjs`);
  },
}));
