import { existsSync } from "node:fs";
import { faketimeLibrary } from "./clock/faketime.ts";
import type { Need } from "./scenario.ts";

/** What is missing of what a scenario needs, said so that a person can get it; empty: it can run. */
export async function missing(needs: readonly Need[]): Promise<string[]> {
  const said: string[] = [];
  if (needs.includes("root") && process.getuid?.() !== 0) said.push("it mounts file systems: run it as root");
  if (needs.includes("loop") && !existsSync("/dev/loop-control")) said.push("it needs loop devices (/dev/loop-control)");
  if (needs.includes("libfaketime") && faketimeLibrary() === undefined)
    said.push("it needs libfaketime: apt-get install -y faketime");
  return said;
}
