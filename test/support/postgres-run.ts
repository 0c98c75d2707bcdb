import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestProject } from "vitest/node";

declare module "vitest" {
  interface ProvidedContext {
    /** Folder of this run's PostgreSQL server; the first test that needs one starts it there (test/support/postgres.ts). */
    postgresFolder: string;
  }
}

/** Before all tests: names the folder. After them: ends the server, if any test started it. */
export default function setup(project: TestProject): () => void {
  const folder = mkdtempSync(join(tmpdir(), "plantgate-postgres-"));
  project.provide("postgresFolder", folder);
  return () => {
    const stop = join(folder, "stop");
    if (existsSync(stop)) {
      const [command = "", ...args] = JSON.parse(readFileSync(stop, "utf8")) as string[];
      spawnSync(command, args, { stdio: "ignore" });
    }
    rmSync(folder, { recursive: true, force: true });
  };
}
