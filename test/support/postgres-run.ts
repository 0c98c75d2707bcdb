import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestProject } from "vitest/node";

declare module "vitest" {
  interface ProvidedContext {
    /** Folder of this run's PostgreSQL server; the first test that needs one starts it there (test/support/postgres.ts). */
    postgresFolder: string;
  }
}

const prefix = "plantgate-postgres-";

/**
 * Before all tests: names the folder. After them: ends the server, if any test started it. The folder also holds what Node made of
 * our sources, unless the environment names one for that: only the first of the many processes that the tests start has to read them as
 * TypeScript.
 */
export default function setup(project: TestProject): () => void {
  endOrphans();
  const folder = mkdtempSync(join(tmpdir(), prefix));
  writeFileSync(join(folder, "owner"), String(process.pid));
  project.provide("postgresFolder", folder);
  process.env.NODE_COMPILE_CACHE ??= join(folder, "compiled");
  return () => end(folder);
}

/** Servers of runs that were killed, and could not end them. */
function endOrphans(): void {
  for (const name of readdirSync(tmpdir()).filter((each) => each.startsWith(prefix))) {
    const folder = join(tmpdir(), name);
    const owner = join(folder, "owner");
    if (existsSync(owner) && !runs(Number(readFileSync(owner, "utf8")))) end(folder);
  }
}

function end(folder: string): void {
  const stop = join(folder, "stop");
  if (existsSync(stop)) {
    const [command = "", ...args] = JSON.parse(readFileSync(stop, "utf8")) as string[];
    spawnSync(command, args, { stdio: "ignore" });
  }
  rmSync(folder, { recursive: true, force: true });
}

function runs(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as { code?: unknown }).code === "EPERM";
  }
}
