import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { type RunningProcess, startPlantgate } from "../../support/process.ts";
import { keepInMind } from "../leftovers.ts";

export interface CentralNodeOptions {
  readonly dataDir: string;
  readonly port: number;
  readonly args?: readonly string[];
  readonly env?: Record<string, string>;
}

/** Central as a machine that can lose its process: the folder and the port stay, processes come and go. */
export class CentralNode implements AsyncDisposable {
  readonly dataDir: string;
  readonly url: string;
  readonly #options: CentralNodeOptions;
  #process: RunningProcess | undefined;
  #token: string | undefined;
  starts = 0;
  /** Of all processes that it had. */
  readonly pids: number[] = [];

  constructor(options: CentralNodeOptions) {
    this.#options = options;
    this.dataDir = options.dataDir;
    this.url = `http://127.0.0.1:${options.port}`;
  }

  get process(): RunningProcess {
    if (!this.#process) throw new Error("central was never started");
    return this.#process;
  }

  /** Resolves when it takes requests. */
  async start(env: Record<string, string> = {}): Promise<void> {
    const { dataDir, port, args = [] } = this.#options;
    this.#process = startPlantgate(["central", "--data", dataDir, "--port", String(port), "--log-level", "info", ...args], {
      env: { ...this.#options.env, ...env },
    });
    this.starts += 1;
    this.pids.push(this.#process.pid);
    keepInMind(this.#process.pid);
    await this.#process.logged("central.process.started");
    this.#token ??= readFileSync(join(dataDir, "admin.token"), "utf8").trim();
  }

  async kill(signal: NodeJS.Signals = "SIGKILL"): Promise<void> {
    await this.#process?.kill(signal);
  }

  /** The admin token is read once: the disk it lies on may be away. */
  get token(): string {
    this.#token ??= existsSync(join(this.dataDir, "admin.token"))
      ? readFileSync(join(this.dataDir, "admin.token"), "utf8").trim()
      : "";
    return this.#token;
  }

  async get<Value>(path: string): Promise<Value> {
    const response = await fetch(new URL(path, this.url), { headers: this.#headers(), signal: AbortSignal.timeout(30_000) });
    if (!response.ok) throw new Error(`${path}: ${response.status} ${await response.text()}`);
    return (await response.json()) as Value;
  }

  async post<Value>(path: string, body: unknown): Promise<Value> {
    const response = await fetch(new URL(path, this.url), {
      method: "POST",
      headers: { ...this.#headers(), "content-type": "application/json" },
      body: JSON.stringify(body),
    });
    if (!response.ok) throw new Error(`${path}: ${response.status} ${await response.text()}`);
    return (await response.json()) as Value;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#process?.[Symbol.asyncDispose]();
  }

  #headers(): Record<string, string> {
    return { authorization: `Bearer ${this.token}` };
  }
}
