import { writeFileSync } from "node:fs";
import { join, relative } from "node:path";
import react from "@vitejs/plugin-react";
import { defineConfig, type Plugin } from "vite";

/** Set by the build of packages: there it is written which packages of npm went into the console. */
const listFile = process.env.PLANTGATE_BUILD_CONSOLE_PACKAGES;

function listPackages(file: string): Plugin {
  return {
    name: "list-packages",
    generateBundle(_options, bundle) {
      const folders = new Set<string>();
      for (const id of Object.values(bundle).flatMap((file) => (file.type === "chunk" ? file.moduleIds : []))) {
        const found = /^(.*\/node_modules\/(?:@[^/]+\/)?[^/]+)\//.exec(id.replace(/^\0/, ""));
        if (found?.[1] !== undefined) folders.add(relative(join(import.meta.dirname, ".."), found[1]));
      }
      writeFileSync(file, JSON.stringify([...folders].sort()));
    },
  };
}

/** Builds the console into dist/console: hashed files and one index.html, for a server without any access to the internet. */
export default defineConfig({
  root: join(import.meta.dirname, "../central/console"),
  plugins: [react(), ...(listFile === undefined ? [] : [listPackages(listFile)])],
  publicDir: false,
  build: {
    outDir: join(import.meta.dirname, "../dist/console"),
    emptyOutDir: true,
    target: "es2023",
    // Everything is a file of its own: a content security policy needs no `data:` source.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    chunkSizeWarningLimit: 900,
  },
});
