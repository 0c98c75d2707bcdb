import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";

/** Whatever ends the tests' process: a test that ran out of time, or its runner that was killed. Nothing it started is left behind. */
const running = new Set<ChildProcess>();
process.on("exit", () => {
  for (const child of running) child.kill("SIGKILL");
});
process.on("disconnect", () => process.exit(1));
process.on("SIGTERM", () => process.exit(143));

const launcher = fileURLToPath(new URL("../../packaging/cli/launch.mjs", import.meta.url));

/** A whole Plantgate process, started as a user would, its log read line by line. */
export interface RunningProcess {
  readonly pid: number;
  readonly output: readonly string[];
  /** The first log entry with this event, past or future; rejects when the process ends before. */
  logged(event: string): Promise<Record<string, unknown>>;
  /** Resolves with the exit code, or the signal's name. */
  readonly ended: Promise<number | string>;
  kill(signal: NodeJS.Signals): Promise<number | string>;
  [Symbol.asyncDispose](): Promise<void>;
}

export function startPlantgate(
  args: readonly string[],
  options: { launcher?: string; wrapper?: readonly string[]; env?: Record<string, string>; cwd?: string } = {},
): RunningProcess {
  const [command, ...rest] = [...(options.wrapper ?? []), process.execPath, options.launcher ?? launcher, ...args];
  const child: ChildProcess = spawn(command as string, rest, {
    stdio: ["ignore", "pipe", "pipe"],
    env: { ...process.env, ...options.env },
    cwd: options.cwd,
  });
  running.add(child);
  const output: string[] = [];
  const entries: Record<string, unknown>[] = [];
  const waiters = new Set<() => void>();
  let over = false;
  for (const stream of [child.stdout, child.stderr]) {
    let rest = "";
    stream?.setEncoding("utf8").on("data", (chunk: string) => {
      const lines = (rest + chunk).split("\n");
      rest = lines.pop() ?? "";
      for (const line of lines) {
        output.push(line);
        if (line.startsWith("{")) entries.push(JSON.parse(line) as Record<string, unknown>);
      }
      for (const waiter of waiters) waiter();
    });
  }
  const ended = once(child, "close").then(([code, signal]) => {
    over = true;
    running.delete(child);
    for (const waiter of waiters) waiter();
    return (code ?? signal) as number | string;
  });
  const logged = (event: string): Promise<Record<string, unknown>> =>
    new Promise((resolve, reject) => {
      const look = (): void => {
        const found = entries.find((entry) => entry.event === event);
        if (!found && !over) return;
        waiters.delete(look);
        if (found) resolve(found);
        else reject(new Error(`the process ended without "${event}":\n${output.slice(-20).join("\n")}`));
      };
      waiters.add(look);
      look();
    });
  const kill = async (signal: NodeJS.Signals): Promise<number | string> => {
    if (!over) child.kill(signal);
    return ended;
  };
  return {
    pid: child.pid as number,
    output,
    logged,
    ended,
    kill,
    async [Symbol.asyncDispose]() {
      if (over) return;
      child.kill("SIGTERM");
      const timer = setTimeout(() => child.kill("SIGKILL"), 8000);
      await ended;
      clearTimeout(timer);
    },
  };
}

/** Asks again until `judge` is satisfied; the last answer is in the error when it never is. The deadline only ends a test that would fail anyway. */
export async function until<Value>(
  ask: () => Promise<Value> | Value,
  judge: (value: Value) => boolean,
  deadlineMs = 120_000,
): Promise<Value> {
  const end = performance.now() + deadlineMs;
  for (;;) {
    const value = await ask();
    if (judge(value)) return value;
    if (performance.now() > end) throw new Error(`not in ${deadlineMs} ms: ${JSON.stringify(value)?.slice(0, 2000)}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
