import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import type { Readable } from "node:stream";
import { text } from "node:stream/consumers";
import type { CheckFinding } from "../../../../protocol/index.ts";
import type { WallClock } from "../../../fault/clock/faketime.ts";
import { type Ended, launcher } from "../../../support/command.ts";
import type { loopDisk } from "./disk.ts";
import type { Root } from "./root.ts";

/** A machine on which a package put a role that runs, as far as seeds of either role need it. */
export interface Host {
  readonly root: Root;
  readonly disk: ReturnType<typeof loopDisk>;
  /** As it lies outside of its root. */
  readonly dataDir: string;
  /** The doctor's own. */
  readonly clock: WallClock;
  readonly pid: number | undefined;
  file(path: string): string;
  stop(signal?: NodeJS.Signals): Promise<void>;
  /** Whatever was broken is mended: it is as it was. */
  recover(): Promise<void>;
  readonly doctor: ReturnType<typeof doctorIn>;
}

export interface DoctorSaid {
  readonly code: number | null;
  readonly out: string;
  readonly findings: readonly CheckFinding[];
  /** Faults and warnings. A busy disk of the machine that tests run on is not among them. */
  readonly named: readonly CheckFinding[];
}

export interface DoctorOptions {
  readonly env?: Readonly<Record<string, string>>;
  /** What is installed; or its folder alone, as if nothing were installed. */
  readonly of?: "installed" | "folder";
}

/** Runs a command line of `plantgate` on that machine, as root. */
export async function runIn(root: Root, args: readonly string[], env: Readonly<Record<string, string>> = {}): Promise<Ended> {
  const [command = "", ...rest] = [...root.entered, process.execPath, launcher, ...args];
  const child = spawn(command, rest, {
    env: { ...process.env, NO_COLOR: "1", ...root.env, ...env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const [out, err, [code]] = await Promise.all([
    text(child.stdout as Readable),
    text(child.stderr as Readable),
    once(child, "close") as Promise<[number | null]>,
  ]);
  return { code, out, err };
}

export function doctorIn(root: Root, folder: string) {
  return async ({ env = {}, of = "installed" }: DoctorOptions = {}): Promise<DoctorSaid> => {
    const elsewhere: Record<string, string> = of === "installed" ? {} : { PLANTGATE_ROOT: join(folder, "nowhere") };
    const args = ["doctor", "--json", "--role", root.role, ...(of === "installed" ? [] : ["--data", root.dataDir])];
    const { code, out, err } = await runIn(root, args, { ...elsewhere, ...env });
    if (!out.startsWith("{")) throw new Error(err);
    const { findings } = JSON.parse(out) as { findings: CheckFinding[] };
    const named = findings
      .filter(({ level }) => level === "fault" || level === "warning")
      .filter(({ check, seen }) => check !== "flush" || !seen.includes("a flush of 4 KiB takes"));
    return { code, out, findings, named };
  };
}
