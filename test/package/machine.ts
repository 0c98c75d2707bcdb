import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { appendFileSync, copyFileSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { removeGroup } from "./leftovers.ts";
import type { MachineNetwork } from "./network.ts";
import { type Ended, fine, must, path, type RunOptions, run, tail } from "./programs.ts";
import { until } from "./wait.ts";

const bootScript = fileURLToPath(new URL("boot.sh", import.meta.url));

/** A Debian of its own, booted: systemd is process 1 of its namespaces. What runs in it sees its root and its network alone. */
export class Machine {
  readonly folder: string;
  readonly network: MachineNetwork;
  readonly #group: string;
  #running: { readonly parent: ChildProcess; readonly init: number } | undefined;

  /** @param folder its root, as `unpackRoot` made it; its own from now on */
  constructor(folder: string, network: MachineNetwork) {
    this.folder = folder;
    this.network = network;
    this.#group = network.name;
  }

  async boot(): Promise<void> {
    const parent = spawn(
      "setpriv",
      // whoever kills this process kills the machine
      ["--pdeathsig", "KILL", "ip", "netns", "exec", this.network.name, "unshare", "--mount", "--propagation", "private"].concat([
        "sh",
        bootScript,
        this.folder,
        this.#group,
      ]),
      { stdio: ["ignore", "pipe", "pipe"], env: { ...process.env, PATH: path } },
    );
    for (const stream of [parent.stdout, parent.stderr])
      stream?.on("data", (chunk: Buffer) => appendFileSync(this.#consoleFile, chunk));
    const init = await until(
      () => childOf(parent.pid as number),
      (pid) => pid !== undefined || hasEnded(parent),
    );
    if (init === undefined) throw new Error(`${this.name} did not boot; its console:\n${tail(this.console)}`);
    this.#running = { parent, init };
    await until(
      () => this.run(["systemctl", "is-active", "basic.target"]),
      ({ code }) => code === 0,
    );
    // what it says of units stands beside what they say; until here it said it on its console, as there may be no journal yet
    await this.must(["systemctl", "log-target", "journal"]);
  }

  /** What people call it. */
  get name(): string {
    return basename(this.folder);
  }

  get isOn(): boolean {
    return this.#running !== undefined && !hasEnded(this.#running.parent);
  }

  /** What its systemd said since it was made. */
  get console(): string {
    return existsSync(this.#consoleFile) ? readFileSync(this.#consoleFile, "utf8") : "";
  }

  get #consoleFile(): string {
    return `${this.folder}.console`;
  }

  /** Runs a program in it, as root. */
  async run(command: readonly string[], options: RunOptions = {}): Promise<Ended> {
    if (!this.#running) throw new Error(`${this.name} is off`);
    if (!this.isOn) throw new Error(`${this.name} ended by itself; its console:\n${tail(this.console)}`);
    const enter = ["nsenter", "-t", String(this.#running.init), "-a", "env", "-i"];
    const env = {
      PATH: "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
      LANG: "C.UTF-8",
      HOME: "/root",
      ...options.env,
    };
    const { env: _, ...rest } = options;
    return run([...enter, ...Object.entries(env).map(([name, value]) => `${name}=${value}`), ...command], rest);
  }

  /** The same, and it must end well. @returns what it printed */
  async must(command: readonly string[], options: RunOptions = {}): Promise<string> {
    return fine(command, await this.run(command, options));
  }

  /** A line of shell. */
  sh(line: string, options: RunOptions = {}): Promise<Ended> {
    return this.run(["sh", "-c", line], options);
  }

  /** Of the root's own files; links are not followed. */
  path(name: string): string {
    return join(this.folder, name);
  }

  exists(name: string): boolean {
    return existsSync(this.path(name));
  }

  copyIn(file: string, name: string): void {
    mkdirSync(dirname(this.path(name)), { recursive: true });
    copyFileSync(file, this.path(name));
  }

  copyOut(name: string, file: string): void {
    copyFileSync(this.path(name), file);
  }

  write(name: string, content: string): void {
    mkdirSync(dirname(this.path(name)), { recursive: true });
    writeFileSync(this.path(name), content);
  }

  /** Ends everything that runs in it at once, as nothing in it expects. What it had written to files stays: the page cache is not lost. */
  async cutPower(): Promise<void> {
    const running = this.#running;
    if (!running) return;
    this.#running = undefined;
    const { parent, init } = running;
    const gone = hasEnded(parent) ? Promise.resolve() : once(parent, "exit");
    try {
      process.kill(init, "SIGKILL");
    } catch {
      // it has ended
    }
    await gone;
    removeGroup(this.#group);
  }

  /** It burns down: nothing of it is left but the cable. A fresh root may be put in its place. */
  async lose(): Promise<void> {
    await this.cutPower();
    await must(["rm", "-rf", "--one-file-system", this.folder]);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.lose();
    rmSync(this.#consoleFile, { force: true });
  }
}

function hasEnded({ exitCode, signalCode }: ChildProcess): boolean {
  return exitCode !== null || signalCode !== null;
}

/** The one child of `unshare`: process 1 inside, once it is there. */
function childOf(pid: number): number | undefined {
  try {
    const command = readFileSync(`/proc/${pid}/comm`, "utf8").trim();
    const [child] = readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").trim().split(" ");
    if (command !== "unshare" || !child) return undefined;
    return readFileSync(`/proc/${child}/comm`, "utf8").trim() === "systemd" ? Number(child) : undefined;
  } catch {
    return undefined;
  }
}
