import { mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "tsup";
import config from "../../../packaging/tsup.config.ts";

/** What is measured is what ships: programs that were built as a release is, and children of the bench that hold a part of them. */
export interface Built {
  /** `plantgate`. */
  readonly launcher: string;
  /** central-child.ts */
  readonly central: string;
  /** replay/open-child.ts: beside the gateway's program, so that it finds the same worker. */
  readonly open: string;
}

const children = {
  "central/bench-central": "test/bench/base/central-child.ts",
  "gateway/bench-open": "test/bench/replay/open-child.ts",
};

const root = fileURLToPath(new URL("../../..", import.meta.url));

/** Builds below node_modules, so that what is built finds its packages; gone with the process. */
export async function buildProgram(): Promise<Built> {
  const outDir = mkdtempSync(join(root, "node_modules", ".bench-"));
  process.on("exit", () => rmSync(outDir, { recursive: true, force: true }));
  const builds = [typeof config === "function" ? await config({ outDir }) : config].flat();
  const from = process.cwd();
  // entries of the configuration are relative to the root
  process.chdir(root);
  try {
    for (const options of builds) {
      const entry = options.entry as Record<string, string>;
      const own = "gateway/main" in entry ? children : {};
      await build({ ...options, entry: { ...entry, ...own }, clean: false, config: false, silent: true });
    }
  } finally {
    process.chdir(from);
  }
  return {
    launcher: join(outDir, "packaging", "cli", "launch.mjs"),
    central: join(outDir, "central", "bench-central.js"),
    open: join(outDir, "gateway", "bench-open.js"),
  };
}
