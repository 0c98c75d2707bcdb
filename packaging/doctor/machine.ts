import type { Clock } from "../../protocol/index.ts";
import type { Installed, Role } from "../cli/installed.ts";

/** What the checks of a machine are told: which role, where its data lies, and what a package put here. */
export interface Machine {
  readonly role: Role;
  readonly dataDir: string;
  /** Undefined: not installed by a package, or another folder is meant than the installed one's. */
  readonly here: Installed | undefined;
  /** `/` but for whoever looks into another root: what runs and what systemd says is then not of that root. */
  readonly root: string;
  /** The process that holds the data folder. */
  readonly pid: number | undefined;
  /** Of the program that runs there, as it says itself. */
  readonly runningVersion: () => Promise<string | undefined>;
  /** It has what it needs to be started at all. */
  readonly isReady: () => boolean;
  readonly clock: Clock;
}

/** Whether systemd and what runs are those of the root that is looked at. */
export function isThisMachine({ root }: Machine): boolean {
  return root === "/";
}
