import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { connect } from "node:net";

/** A peer's server: started, ended and started again on the same folder and port. */
export interface Program {
  /** Of the process that runs now. */
  readonly pid: number;
  /** Resolves when it takes connections. */
  start(): Promise<void>;
  stop(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

const running = new Set<ChildProcess>();
process.on("exit", () => {
  for (const child of running) child.kill("SIGKILL");
});
const startMs = 20_000;
const lookEveryMs = 5;

export function makeProgram(path: string, args: readonly string[], port: number): Program {
  let child: ChildProcess | undefined;
  const stop = async (): Promise<void> => {
    const ending = child;
    child = undefined;
    if (!ending || ending.exitCode !== null || ending.signalCode !== null) return;
    const ended = once(ending, "exit");
    const timer = setTimeout(() => ending.kill("SIGKILL"), 20_000);
    ending.kill("SIGTERM");
    await ended;
    clearTimeout(timer);
  };
  return {
    get pid() {
      return child?.pid ?? 0;
    },
    start: async () => {
      const started = spawn(path, args, { stdio: ["ignore", "ignore", "pipe"] });
      child = started;
      running.add(started);
      started.once("exit", () => running.delete(started));
      let output = "";
      started.stderr.setEncoding("utf8").on("data", (chunk: string) => {
        output = (output + chunk).slice(-4000);
      });
      const end = performance.now() + startMs;
      while (!(await listens(port))) {
        if (started.exitCode !== null || performance.now() > end) throw new Error(`${path} does not listen:\n${output}`);
        await new Promise((resolve) => setTimeout(resolve, lookEveryMs));
      }
    },
    stop,
    [Symbol.asyncDispose]: stop,
  };
}

async function listens(port: number): Promise<boolean> {
  const socket = connect(port, "127.0.0.1");
  try {
    await once(socket, "connect");
    return true;
  } catch {
    return false;
  } finally {
    socket.destroy();
  }
}
