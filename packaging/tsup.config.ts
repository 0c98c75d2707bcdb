import { defineConfig, type Options } from "tsup";

/** Set by the build of packages: the version that the program then says, whatever the sources say; without source maps. */
const release = process.env.PLANTGATE_BUILD_RELEASE;

const shared: Options = {
  format: "esm",
  target: "node26",
  platform: "node",
  sourcemap: release === undefined,
  dts: false,
  // node:sqlite has no name without the prefix
  removeNodeProtocol: false,
  publicDir: false,
  esbuildPlugins:
    release === undefined
      ? []
      : [
          {
            name: "release",
            setup({ onLoad }) {
              onLoad({ filter: /[/\\\\]gateway[/\\\\]version\.ts$/ }, () => ({
                contents: `export const version = ${JSON.stringify(release)};`,
              }));
            },
          },
        ],
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
      "central/backup/main": "central/backup/main.ts",
    },
    outDir,
    // what several share, and each kind of connector, is a file of its own: a kind is loaded when it is needed
    splitting: true,
    esbuildOptions(options) {
      // one folder deep, like gateway/main
      options.chunkNames = "chunks/[name]-[hash]";
    },
    clean: ["packaging/**", "gateway/*", "central/*", "central/backup/**", "chunks/**"],
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
