import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";

/** One of the bench's own programs in a process of its own, so that what it costs and what it measures is its own. */
export interface Child<Result> {
  readonly pid: number;
  /** The next thing that it says under this name, or what it said already; rejects when it ends without. */
  heard<Value>(event: string): Promise<Value>;
  tell(event: string, value?: unknown): void;
  /** What its work came to; rejects when it ended without. */
  readonly result: Promise<Result>;
  [Symbol.asyncDispose](): Promise<void>;
}

interface Message {
  readonly event: string;
  readonly value: unknown;
}

const running = new Set<ChildProcess>();
// the last resort: nothing may outlive the bench
process.on("exit", () => {
  for (const child of running) child.kill("SIGKILL");
});

/** Ends the bench: what it measures is gone, and whoever waits for it would wait for ever. The exit handlers end all the rest. */
export function giveUp(who: string, how: string, output: readonly string[] = []): never {
  process.stderr.write(`\nbench: ${who} ended by itself (${how})\n${output.map((line) => `  ${line}\n`).join("")}`);
  process.exit(1);
}

/** Starts `<name>-child.ts` of a folder of the bench, given as a URL; its standard error is ours. */
export function startChild<Result>(
  program: URL,
  options: object,
  settings: { execArgv?: readonly string[] } = {},
): Child<Result> {
  const child = spawn(process.execPath, [...(settings.execArgv ?? []), program.pathname, JSON.stringify(options)], {
    stdio: ["ignore", "ignore", "inherit", "ipc"],
    serialization: "advanced",
  });
  running.add(child);
  const said: Message[] = [];
  const waiters = new Set<() => void>();
  let [over, dismissed, taken] = [false, false, false];
  const wake = (): void => {
    for (const waiter of waiters) waiter();
  };
  child.on("message", (message: Message) => {
    said.push(message);
    wake();
  });
  const ended = once(child, "exit").then(async ([code, signal]) => {
    // what it said last may still be in the channel
    if (child.connected) await once(child, "disconnect");
    over = true;
    running.delete(child);
    const finished = dismissed || said.some(({ event }) => event === "result") || taken;
    if (!finished) giveUp(program.pathname, String(signal ?? `exit code ${code}`));
    wake();
  });
  const heard = <Value>(event: string): Promise<Value> =>
    new Promise((resolve, reject) => {
      const look = (): void => {
        const at = said.findIndex((message) => message.event === event);
        if (at < 0 && !over) return;
        waiters.delete(look);
        if (at < 0) return reject(new Error(`${program.pathname} ended without "${event}"`));
        taken ||= event === "result";
        resolve(said.splice(at, 1)[0]?.value as Value);
      };
      waiters.add(look);
      look();
    });
  const result = heard<Result>("result");
  // whoever waits for it sees it; nobody may
  result.catch(() => {});
  return {
    pid: child.pid ?? 0,
    heard,
    tell: (event, value) => {
      if (child.connected) child.send({ event, value } satisfies Message, () => {});
    },
    result,
    async [Symbol.asyncDispose]() {
      dismissed = true;
      if (over) return;
      const timer = setTimeout(() => child.kill("SIGKILL"), 5000);
      // a child ends itself when it has given its result or its parent lets go
      if (child.connected) child.disconnect();
      await ended;
      clearTimeout(timer);
    },
  };
}

/** The other end, in the child. */
export interface Parent {
  say(event: string, value?: unknown): void;
  heard<Value>(event: string): Promise<Value>;
}

/** Runs a child's work with the options that it was started with; what it returns is the result. The process ends with it. */
export async function serveParent<Options, Result>(work: (options: Options, parent: Parent) => Promise<Result>): Promise<void> {
  const said: Message[] = [];
  const waiters = new Set<() => void>();
  process.on("message", (message: Message) => {
    said.push(message);
    for (const waiter of waiters) waiter();
  });
  process.on("disconnect", () => process.exit(0));
  const say = (event: string, value?: unknown): void => void process.send?.({ event, value } satisfies Message, () => {});
  const result = await work(JSON.parse(process.argv[2] ?? "{}") as Options, {
    say,
    heard: <Value>(event: string) =>
      new Promise<Value>((resolve) => {
        const look = (): void => {
          const at = said.findIndex((message) => message.event === event);
          if (at < 0) return;
          waiters.delete(look);
          resolve(said.splice(at, 1)[0]?.value as Value);
        };
        waiters.add(look);
        look();
      }),
  });
  process.send?.({ event: "result", value: result } satisfies Message, () => process.disconnect?.());
}

/** Wall clock in ms with fractions: comparable between the processes of one machine. */
export function nowMs(): number {
  return performance.timeOrigin + performance.now();
}
