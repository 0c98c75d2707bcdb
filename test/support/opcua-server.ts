import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import type { Deed } from "../../packaging/demo/simulators/press/truth-log.ts";
import { claimPort } from "../fault/plant/ports.ts";

const main = fileURLToPath(new URL("../../packaging/demo/simulators/press/main.ts", import.meta.url));

/** The demo's press in a process of its own, on a port that stays its own over restarts. */
export interface PressProcess extends AsyncDisposable {
  readonly endpoint: string;
  /** Everything it noted so far; complete after `stop`. */
  truth(): Promise<Deed[]>;
  /** Without any farewell, as a power cut: sockets are reset, nothing is flushed. */
  kill(): Promise<void>;
  stop(): Promise<void>;
  /** Same port, same log; the same certificate unless a new one is asked for. */
  restart(options?: { namespaces?: readonly string[]; newCertificate?: boolean }): Promise<void>;
  /** The process stands still: sockets stay open, nothing is answered. */
  freeze(): void;
  thaw(): void;
}

export async function startPressProcess(options: { namespaces?: readonly string[]; port?: number } = {}): Promise<PressProcess> {
  const folder = await mkdtemp(join(tmpdir(), "plantgate-press-"));
  const log = join(folder, "press.ndjson");
  let child: ChildProcess;
  let endpoint = "";
  let certificates = 0;
  const launch = async (port: number, namespaces: readonly string[]): Promise<void> => {
    const args = [main, "--port", String(port), "--name", "press", "--log", log, "--pki", join(folder, `pki-${certificates}`)];
    child = spawn(process.execPath, [...args, ...namespaces.flatMap((uri) => ["--namespace", uri])], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    for await (const line of createInterface({ input: child.stdout! })) {
      if (!line.startsWith("{")) continue;
      endpoint = (JSON.parse(line) as { endpoint: string }).endpoint;
      return;
    }
    throw new Error("the press ended before it listened");
  };
  const end = async (signal: NodeJS.Signals): Promise<void> => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    const exited = once(child, "exit");
    child.kill("SIGCONT");
    child.kill(signal);
    await exited;
  };
  await launch(options.port ?? (await claimPort()), options.namespaces ?? []);
  return {
    get endpoint() {
      return endpoint;
    },
    truth: async () =>
      (await readFile(log, "utf8"))
        .split("\n")
        .slice(0, -1)
        .map((line) => JSON.parse(line) as Deed),
    kill: () => end("SIGKILL"),
    stop: () => end("SIGTERM"),
    restart: async ({ namespaces, newCertificate } = {}) => {
      if (newCertificate) certificates += 1;
      await launch(Number(new URL(endpoint).port), namespaces ?? []);
    },
    freeze: () => {
      child.kill("SIGSTOP");
    },
    thaw: () => {
      child.kill("SIGCONT");
    },
    [Symbol.asyncDispose]: async () => {
      await end("SIGKILL");
      await rm(folder, { recursive: true, force: true });
    },
  };
}
