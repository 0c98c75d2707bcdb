import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, mkdirSync, openSync, readFileSync, watch, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Ended } from "../package/programs.ts";

export const loader = "/usr/lib/wine/wine64";
const builtin = "/usr/lib/x86_64-linux-gnu/wine/x86_64-windows/kernelbase.dll";

/**
 * A Windows of its own, as Wine plays it: drives, registry and processes in one folder. What runs in it writes to files, as Wine's programs cannot use
 * the pipes of this machine.
 */
export class Wine implements AsyncDisposable {
  readonly #folder: string;
  readonly #env: NodeJS.ProcessEnv;
  #count = 0;
  #cwd: string;

  private constructor(folder: string) {
    this.#folder = folder;
    this.#cwd = folder;
    this.#env = {
      PATH: process.env.PATH,
      HOME: folder,
      WINEPREFIX: join(folder, "prefix"),
      WINEDEBUG: "-all",
      DISPLAY: "",
      // no .NET and no browser is in Debian's
      WINEDLLOVERRIDES: "mscoree,mshtml=",
      NO_COLOR: "1",
    };
  }

  /** @param folder empty */
  static async make(folder: string): Promise<Wine> {
    const wine = new Wine(folder);
    mkdirSync(join(folder, "said"), { recursive: true });
    await wine.must("wineboot", "-i");
    writeFileSync(join(wine.driveC, "windows/system32/kernelbase.dll"), withoutPlaceholders(readFileSync(builtin)));
    // that one from here on, and not Wine's own
    wine.#env.WINEDLLOVERRIDES += ";kernelbase=n";
    // Node.js wants Windows 10; from its build 16299 on it asks for a socket option that Wine has not, and sockets do not connect
    await wine.must("winecfg", "-v", "win10");
    for (const name of ["CurrentBuild", "CurrentBuildNumber"])
      await wine.must("reg", "add", "HKLM\\Software\\Microsoft\\Windows NT\\CurrentVersion", "/v", name, "/d", "14393", "/f");
    // paths without a drive are of C:, not of this machine, whose /proc a Windows does not have
    wine.#cwd = wine.driveC;
    return wine;
  }

  get driveC(): string {
    return join(this.#folder, "prefix/drive_c");
  }

  /** Starts a Windows program. */
  start(...command: readonly string[]): WineProcess {
    const file = join(this.#folder, "said", `${++this.#count}-${command.at(-1)?.replace(/\W/g, "")}`);
    return new WineProcess(command, file, { env: this.#env, cwd: this.#cwd });
  }

  async run(...command: readonly string[]): Promise<Ended> {
    const running = this.start(...command);
    const code = await running.ended;
    return { code, out: running.out, err: running.err };
  }

  async must(...command: readonly string[]): Promise<string> {
    const { code, out, err } = await this.run(...command);
    if (code !== 0) throw new Error(`${command.join(" ")} ended with ${code}: ${out}${err}`);
    return out;
  }

  /** Ends all that runs in it, as a power cut does, but what is not flushed is not lost. */
  async killAll(): Promise<void> {
    await once(spawn("/usr/lib/wine/wineserver64", ["-k"], { env: this.#env, stdio: "ignore" }), "exit");
    await once(spawn("/usr/lib/wine/wineserver64", ["-w"], { env: this.#env, stdio: "ignore" }), "exit");
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.killAll();
  }
}

/**
 * Wine 8 has the functions by which V8 reserves address space on newer Windows, but not what they do. Without one of them V8 takes the way that it has for
 * older ones; Node.js stays as it is.
 */
function withoutPlaceholders(dll: Buffer): Buffer {
  const name = Buffer.from("\0UnmapViewOfFile2\0");
  const changed = Buffer.from(dll);
  for (let at = changed.indexOf(name); at >= 0; at = changed.indexOf(name, at + 1)) changed.write("3", at + name.length - 2);
  // what says that it is Wine's own: such a one is taken from Wine's folder
  return changed.fill(0, 0x40, 0x60);
}

/** A program that runs in it. */
export class WineProcess {
  readonly #child: ChildProcess;
  readonly #file: string;
  readonly ended: Promise<number | null>;

  constructor(command: readonly string[], file: string, options: { env: NodeJS.ProcessEnv; cwd: string }) {
    const handles = [openSync(`${file}.out`, "w"), openSync(`${file}.err`, "w")];
    this.#file = file;
    this.#child = spawn(loader, command, { ...options, stdio: ["ignore", ...handles] });
    for (const handle of handles) closeSync(handle);
    this.ended = once(this.#child, "exit").then(([code]) => code as number | null);
  }

  get out(): string {
    return readFileSync(`${this.#file}.out`, "utf8");
  }

  get err(): string {
    return readFileSync(`${this.#file}.err`, "utf8");
  }

  /** The first entry of its log with this event. @throws Error when it ends before */
  async logged(event: string): Promise<Record<string, unknown>> {
    const over = this.ended.then(() => "over" as const);
    using changes = new DisposableStack();
    for (let last = false; ; ) {
      const changed = Promise.withResolvers<void>();
      const watcher = changes.adopt(
        watch(`${this.#file}.out`, () => changed.resolve()),
        (each) => each.close(),
      );
      const line = this.out.split("\n").find((each) => each.includes(`"event":"${event}"`));
      if (line !== undefined) return JSON.parse(line) as Record<string, unknown>;
      if (last) throw new Error(`it ended without "${event}":\n${this.out.slice(-3000)}${this.err.slice(-3000)}`);
      last = (await Promise.race([changed.promise, over])) === "over";
      watcher.close();
    }
  }

  /** As a power cut to it alone: nothing of it runs on. */
  async kill(): Promise<void> {
    this.#child.kill("SIGKILL");
    await this.ended;
  }
}
