import { spawn } from "node:child_process";
import { once } from "node:events";
import type { Readable } from "node:stream";
import { text } from "node:stream/consumers";

export interface Ended {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}
export interface RunOptions {
  readonly env?: Readonly<Record<string, string>>;
  readonly input?: string;
  readonly cwd?: string;
  /** It is killed then, and the run fails. */
  readonly timeoutMs?: number;
}

/** Administrators' programs lie in /usr/sbin, which is not on everybody's path. */
export const path = `${process.env.PATH}:/usr/sbin:/sbin`;
const limitMs = 1_200_000;

/** Before a command: whatever it starts, and what it mounts, is gone with it. */
export const contained = "unshare --mount --propagation private --pid --fork --kill-child=KILL --mount-proc".split(" ");

/** Each leads a group of its own, with all that it starts: nothing outlives this process. */
const running = new Set<number>();
process.on("exit", () => {
  for (const pid of running) endGroup(pid);
});

function endGroup(pid: number): void {
  try {
    process.kill(-pid, "SIGKILL");
  } catch {
    // it has ended
  }
}

/** Runs a program to its end, whatever that is. @throws Error when it cannot be started or takes too long */
export async function run(command: readonly string[], options: RunOptions = {}): Promise<Ended> {
  // whoever kills this process kills it, too
  const child = spawn("setpriv", ["--pdeathsig", "KILL", ...command], {
    stdio: [options.input === undefined ? "ignore" : "pipe", "pipe", "pipe"],
    env: options.env ?? { ...process.env, PATH: path },
    cwd: options.cwd,
    detached: true,
  });
  const { pid } = child;
  if (pid !== undefined) running.add(pid);
  const withinMs = options.timeoutMs ?? limitMs;
  let isLate = false;
  const timer = setTimeout(() => {
    isLate = true;
    if (pid !== undefined) endGroup(pid);
  }, withinMs);
  child.stdin?.on("error", () => {});
  child.stdin?.end(options.input);
  const ended = Promise.all([
    text(child.stdout as Readable),
    text(child.stderr as Readable),
    once(child, "close") as Promise<[number | null, string | null]>,
  ]).finally(() => {
    clearTimeout(timer);
    if (pid !== undefined) running.delete(pid);
  });
  const [out, err, [code, signal]] = await ended;
  if (signal !== null)
    throw new Error(
      `${command.join(" ")} was ended ${isLate ? `after ${withinMs / 1000} s` : `by ${signal}`}:\n${tail(out + err)}`,
    );
  return { code, out, err };
}

/** The same, and it must end well. @returns what it printed */
export async function must(command: readonly string[], options: RunOptions = {}): Promise<string> {
  return fine(command, await run(command, options));
}

/** @throws Error with what it said, unless it ended well */
export function fine(command: readonly string[], { code, out, err }: Ended): string {
  if (code !== 0) throw new Error(`${command.join(" ")} ended with ${code}:\n${tail(out + err)}`);
  return out;
}

export function tail(said: string, lines = 30): string {
  return said.trimEnd().split("\n").slice(-lines).join("\n");
}
