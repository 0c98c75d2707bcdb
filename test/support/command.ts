import { spawn } from "node:child_process";
import { once } from "node:events";
import type { Readable } from "node:stream";
import { text } from "node:stream/consumers";
import { fileURLToPath } from "node:url";

export const launcher = fileURLToPath(new URL("../../packaging/cli/launch.mjs", import.meta.url));

export interface Ended {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

/** Runs one command line to its end, in a folder and with a home where no connection file of this machine's user is found. */
export async function plantgate(
  args: readonly string[],
  options: { cwd: string; node?: string; input?: string },
): Promise<Ended> {
  const child = spawn(options.node ?? process.execPath, [launcher, ...args], {
    cwd: options.cwd,
    env: { ...process.env, HOME: options.cwd, NO_COLOR: "1" },
    stdio: [options.input === undefined ? "ignore" : "pipe", "pipe", "pipe"],
  });
  child.stdin?.end(options.input);
  const [out, err, [code]] = await Promise.all([
    text(child.stdout as Readable),
    text(child.stderr as Readable),
    once(child, "close") as Promise<[number | null]>,
  ]);
  return { code, out, err };
}

/** The same without a process of its own, one at a time: what it prints is caught, and it believes in another folder and home. */
export async function plantgateHere(args: readonly string[], options: { cwd: string }): Promise<Ended> {
  const { main } = await import("../../packaging/cli/main.ts");
  const printed = { out: "", err: "" };
  const before = { cwd: process.cwd(), home: process.env.HOME, out: process.stdout.write, err: process.stderr.write };
  const catching = (name: keyof typeof printed): typeof process.stdout.write => {
    return (text: string | Uint8Array, ...rest: unknown[]) => {
      printed[name] += typeof text === "string" ? text : Buffer.from(text).toString();
      const done = rest.at(-1);
      if (typeof done === "function") process.nextTick(done);
      return true;
    };
  };
  process.chdir(options.cwd);
  process.env.HOME = options.cwd;
  process.stdout.write = catching("out");
  process.stderr.write = catching("err");
  try {
    return { code: await main(["node", "plantgate", ...args]), ...printed };
  } finally {
    process.chdir(before.cwd);
    if (before.home === undefined) delete process.env.HOME;
    else process.env.HOME = before.home;
    process.stdout.write = before.out;
    process.stderr.write = before.err;
  }
}
