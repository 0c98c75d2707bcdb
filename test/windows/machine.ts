import { copyFileSync, cpSync, mkdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Role } from "../../packaging/package/platforms.ts";
import { type Ended, must } from "../package/programs.ts";
import type { Wine, WineProcess } from "./wine.ts";

/** A Windows with a role laid out as install.ps1 lays it out; that script itself needs PowerShell, which is not here. */
export class WindowsMachine {
  readonly #wine: Wine;
  readonly #role: Role;

  private constructor(wine: Wine, role: Role) {
    this.#wine = wine;
    this.#role = role;
  }

  /** @param archive of `npm run package`; @param unpacked where it is, or is put */
  static async install(wine: Wine, role: Role, archive: string, version: string): Promise<WindowsMachine> {
    const machine = new WindowsMachine(wine, role);
    const top = machine.#top;
    mkdirSync(join(top, "versions"), { recursive: true });
    await must(["tar", "-xzf", archive, "-C", join(top, "versions")]);
    cpSync(join(top, "versions", `plantgate-${version}-windows-x64`), join(top, "versions", version), { recursive: true });
    rmSync(join(top, "versions", `plantgate-${version}-windows-x64`), { recursive: true });
    symlinkSync(`versions/${version}`, join(top, "current"));
    const settings = join(wine.driveC, "ProgramData/Plantgate");
    mkdirSync(join(settings, role), { recursive: true });
    writeFileSync(join(settings, `${role}.yaml`), `dataDir: '${machine.dataDir}'\r\n`);
    copyFileSync(new URL("host.mjs", import.meta.url), join(wine.driveC, "host.mjs"));
    return machine;
  }

  get dataDir(): string {
    return `C:\\ProgramData\\Plantgate\\${this.#role}`;
  }

  /** Where this machine sees the same. */
  get dataDirHere(): string {
    return join(this.#wine.driveC, "ProgramData/Plantgate", this.#role);
  }

  get #tree(): string {
    return `C:\\Program Files\\Plantgate\\${this.#role}\\current`;
  }

  /** As its installer notes something beside the versions. */
  note(name: string, value: object): void {
    writeFileSync(join(this.#top, name), JSON.stringify(value));
  }

  forget(name: string): void {
    rmSync(join(this.#top, name));
  }

  get #top(): string {
    return join(this.#wine.driveC, "Program Files/Plantgate", this.#role);
  }

  /** `plantgate …` as an administrator types it. */
  start(...args: readonly string[]): WineProcess {
    return this.#wine.start(`${this.#tree}\\bin\\node.exe`, `${this.#tree}\\app\\packaging\\cli\\launch.mjs`, ...args);
  }

  async plantgate(...args: readonly string[]): Promise<Ended> {
    const running = this.start(...args);
    const code = await running.ended;
    return { code, out: running.out, err: running.err };
  }

  /** By the command that lies in the path of an administrator. */
  command(...args: readonly string[]): Promise<Ended> {
    return this.#wine.run("cmd", "/c", `${this.#tree}\\bin\\plantgate.cmd`, ...args);
  }

  /** As its service does. */
  startService(...args: readonly string[]): Service {
    const stop = join(this.#wine.driveC, `stop-${this.#role}`);
    rmSync(stop, { force: true });
    const launcher = `${this.#tree}\\app\\packaging\\cli\\launch.mjs`;
    const settings = `C:\\ProgramData\\Plantgate\\${this.#role}.yaml`;
    const what = [this.#role, "--config", settings, ...args];
    const host = this.#wine.start(`${this.#tree}\\bin\\node.exe`, "C:\\host.mjs", launcher, `C:\\stop-${this.#role}`, ...what);
    return new Service(host, stop);
  }
}

/** A role that runs below a host without signals. */
export class Service {
  readonly host: WineProcess;
  readonly #stopFile: string;

  constructor(host: WineProcess, stopFile: string) {
    this.host = host;
    this.#stopFile = stopFile;
  }

  /** @returns the role's exit code */
  async stop(): Promise<number | null> {
    writeFileSync(this.#stopFile, "");
    return this.host.ended;
  }
}
