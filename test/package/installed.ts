import { readlinkSync } from "node:fs";
import type { Machine } from "./machine.ts";
import type { Ended } from "./programs.ts";
import type { Role } from "./releases.ts";
import { until } from "./wait.ts";

export interface UnitView {
  readonly active: string;
  readonly pid: number;
  readonly user: string;
  readonly invocation: string;
}

/** A role that is installed on a machine, as somebody on that machine sees it. */
export class InstalledRole {
  readonly machine: Machine;
  readonly role: Role;
  readonly unitName: string;
  readonly #top: string;

  constructor(machine: Machine, role: Role) {
    this.machine = machine;
    this.role = role;
    this.unitName = `plantgate-${role}.service`;
    this.#top = `opt/plantgate/${role}`;
  }

  /** `plantgate …` as root types it. */
  plantgate(...args: string[]): Promise<Ended> {
    return this.machine.run(["plantgate", ...args]);
  }

  /** What systemd says of its unit. */
  async unit(): Promise<UnitView> {
    const said = await this.machine.must(["systemctl", "show", this.unitName, "-p", "ActiveState,MainPID,User,InvocationID"]);
    const value = (name: string): string => new RegExp(`^${name}=(.*)$`, "m").exec(said)?.[1] ?? "";
    return {
      active: value("ActiveState"),
      pid: Number(value("MainPID")),
      user: value("User"),
      invocation: value("InvocationID"),
    };
  }

  async isActive(): Promise<void> {
    await until(
      () => this.unit(),
      ({ active }) => active === "active",
    );
  }

  /** The version that `current` points to. */
  current(): string {
    try {
      return readlinkSync(this.machine.path(`${this.#top}/current`)).replace(/^versions\//, "");
    } catch {
      return "";
    }
  }

  /** The version whose program the unit's process is, whatever anything says. */
  async running(): Promise<string> {
    const { pid } = await this.unit();
    const { out } = await this.machine.run(["readlink", `/proc/${pid}/exe`]);
    // a package manager may have put the same file there once more
    return /\/versions\/([^/]+)\/bin\/node(?: \(deleted\))?$/.exec(out.trim())?.[1] ?? out.trim();
  }

  /** Whether a version is on trial. */
  isOnTrial(): boolean {
    return this.machine.exists(`${this.#top}/trial.json`);
  }

  async lastUpgrade(): Promise<{ readonly version: string; readonly outcome: string; readonly reason: string }> {
    return JSON.parse(await this.machine.must(["cat", `/${this.#top}/last-upgrade.json`]));
  }

  /** Resident memory now. */
  async rssKiB(): Promise<number> {
    const { pid } = await this.unit();
    const status = await this.machine.must(["cat", `/proc/${pid}/status`]);
    return Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1]);
  }

  /** What `systemd-analyze security` gives a unit of it. */
  async exposure(unit = this.unitName): Promise<number> {
    const { out } = await this.machine.run(["systemd-analyze", "security", "--no-pager", unit]);
    return Number(/exposure level for .*: ([\d.]+)/.exec(out)?.[1]);
  }
}
