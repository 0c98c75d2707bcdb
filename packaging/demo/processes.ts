import { type ChildProcess, spawn } from "node:child_process";
import { closeSync, mkdirSync, openSync } from "node:fs";
import { join } from "node:path";

/** One program that the demo runs beside itself; its output goes to a file of its own. */
export interface Program {
  readonly name: string;
  readonly pid: number;
  readonly logFile: string;
  /** The next message that the program sends and `pick` wants. Rejects when the program ends first. */
  message<T>(pick: (message: unknown) => T | undefined): Promise<T>;
  onMessage(listener: (message: unknown) => void): void;
  tell(message: object): void;
  /** Ends it the hard way; its end is expected then. */
  kill(): Promise<void>;
}

/**
 * Starts and ends the demo's programs, by their process ids. When one ends that nobody asked to, `failed` rejects with its name and where
 * its output is.
 */
export class Processes {
  readonly failed: Promise<never>;
  readonly #logs: string;
  readonly #running = new Map<ChildProcess, string>();
  readonly #expected = new WeakSet<ChildProcess>();
  #fail: (error: Error) => void = () => {};
  #ending = false;

  constructor(logs: string) {
    this.#logs = logs;
    mkdirSync(logs, { recursive: true });
    this.failed = new Promise((_, reject) => {
      this.#fail = reject;
    });
    // whoever waits for it sees it; nobody may
    this.failed.catch(() => {});
    // the last resort: nothing may outlive the demo
    process.on("exit", () => {
      for (const child of this.#running.keys()) child.kill("SIGKILL");
    });
  }

  start(name: string, args: readonly string[]): Program {
    const logFile = join(this.#logs, `${name}.log`);
    const log = openSync(logFile, "a");
    const child = spawn(process.execPath, args, { stdio: ["ignore", log, log, "ipc"] });
    closeSync(log);
    this.#running.set(child, name);
    const ended = new Promise<string>((resolve) => {
      child.once("error", (error) => resolve(error.message));
      child.once("exit", (code, signal) => resolve(signal ? `signal ${signal}` : `exit code ${code}`));
    });
    void ended.then((how) => {
      this.#running.delete(child);
      if (!this.#ending && !this.#expected.has(child))
        this.#fail(new Error(`${name} ended by itself (${how}); its output is in ${logFile}`));
    });
    return {
      name,
      pid: child.pid ?? 0,
      logFile,
      message: (pick) =>
        new Promise((resolve, reject) => {
          const listener = (message: unknown): void => {
            const picked = pick(message);
            if (picked === undefined) return;
            child.off("message", listener);
            resolve(picked);
          };
          child.on("message", listener);
          void ended.then((how) => reject(new Error(`${name} did not start (${how}); its output is in ${logFile}`)));
        }),
      onMessage: (listener) => void child.on("message", listener),
      tell: (message) => {
        if (child.connected) child.send(message, () => {});
      },
      kill: async () => {
        this.#expected.add(child);
        child.kill("SIGKILL");
        await ended;
      },
    };
  }

  /** Asks all but the `last` ones to end, then those; whoever does not within its time is killed. At most 4 s altogether. */
  async stop(last: readonly string[]): Promise<void> {
    this.#ending = true;
    const all = [...this.#running];
    await end(
      all.filter(([, name]) => !last.includes(name)).map(([child]) => child),
      2500,
    );
    await end(
      all.filter(([, name]) => last.includes(name)).map(([child]) => child),
      1200,
    );
  }
}

async function end(children: readonly ChildProcess[], withinMs: number): Promise<void> {
  const gone = children.map((child) =>
    child.exitCode !== null || child.signalCode !== null
      ? Promise.resolve()
      : new Promise<void>((resolve) => child.once("exit", () => resolve())),
  );
  for (const child of children) child.kill("SIGTERM");
  const timer = setTimeout(() => {
    for (const child of children) child.kill("SIGKILL");
  }, withinMs);
  await Promise.all(gone);
  clearTimeout(timer);
}
