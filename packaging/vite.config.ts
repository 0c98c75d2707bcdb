import { join } from "node:path";
import react from "@vitejs/plugin-react";
import { defineConfig } from "vite";

/** Builds the console into dist/console: hashed files and one index.html, for a server without any access to the internet. */
export default defineConfig({
  root: join(import.meta.dirname, "../central/console"),
  plugins: [react()],
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
