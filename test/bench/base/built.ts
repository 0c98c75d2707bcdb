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

const root = fileURLToPath(new URL("../../..", import.meta.url));

/** Builds below node_modules, so that what is built finds its packages; gone with the process. */
export async function buildProgram(): Promise<Built> {
  const outDir = mkdtempSync(join(root, "node_modules", ".bench-"));
  process.on("exit", () => rmSync(outDir, { recursive: true, force: true }));
  const options = typeof config === "function" ? await config({ outDir }) : config;
  if (Array.isArray(options)) throw new Error("the build has one configuration");
  const from = process.cwd();
  // entries of the configuration are relative to the root
  process.chdir(root);
  try {
    await build({
      ...options,
      entry: {
        ...(options.entry as Record<string, string>),
        "central/bench-central": "test/bench/base/central-child.ts",
        "gateway/bench-open": "test/bench/replay/open-child.ts",
      },
      config: false,
      silent: true,
    });
  } finally {
    process.chdir(from);
  }
  return {
    launcher: join(outDir, "packaging", "cli", "launch.mjs"),
    central: join(outDir, "central", "bench-central.js"),
    open: join(outDir, "gateway", "bench-open.js"),
  };
}
