import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type RunningProcess, startPlantgate } from "../../support/process.ts";
import { keepInMind } from "../leftovers.ts";
import type { CentralNode } from "./central-node.ts";
import { floorUser } from "./documents.ts";

export interface GatewayNodeOptions {
  readonly site: string;
  readonly dataDir: string;
  /** Central's address as this gateway dials it: a link with faults, or central itself. */
  readonly centralUrl: string;
  readonly httpPort: number;
  readonly args?: readonly string[];
  readonly env?: Record<string, string>;
}

/** A gateway as a machine that can lose its process: folder and ports stay, processes come and go. */
export class GatewayNode implements AsyncDisposable {
  readonly options: GatewayNodeOptions;
  #process: RunningProcess | undefined;
  starts = 0;
  /** Of all processes that it had. */
  readonly pids: number[] = [];

  constructor(options: GatewayNodeOptions) {
    this.options = options;
  }

  get site(): string {
    return this.options.site;
  }

  get dataDir(): string {
    return this.options.dataDir;
  }

  get url(): string {
    return `http://127.0.0.1:${this.options.httpPort}`;
  }

  get process(): RunningProcess {
    if (!this.#process) throw new Error(`the gateway of ${this.site} was never started`);
    return this.#process;
  }

  /** Makes the folder, its key and its secrets, and has central pin the key. */
  async enroll(central: CentralNode): Promise<void> {
    const { site, dataDir } = this.options;
    mkdirSync(join(dataDir, "secrets"), { recursive: true });
    writeFileSync(join(dataDir, "secrets", floorUser.secret), floorUser.password, { mode: 0o600 });
    const key = startPlantgate(["key", "--data", dataDir]);
    if ((await key.ended) !== 0) throw new Error(`plantgate key: ${key.output.join("\n")}`);
    const { signingKey } = await central.post<{ signingKey: string }>("/v1/sites", {
      name: site,
      publicKey: `${key.output.join("\n")}\n`,
    });
    writeFileSync(join(dataDir, "central.pub"), signingKey);
  }

  /** Resolves when its listener takes requests. */
  async start(options: { env?: Record<string, string>; args?: readonly string[] } = {}): Promise<void> {
    const { site, dataDir, centralUrl, httpPort, args = [] } = this.options;
    this.#process = startPlantgate(
      [
        "gateway",
        "--site",
        site,
        "--data",
        dataDir,
        "--central",
        centralUrl,
        "--central-key",
        join(dataDir, "central.pub"),
        "--http-port",
        String(httpPort),
        ...args,
        ...(options.args ?? []),
      ],
      { env: { ...this.options.env, ...options.env } },
    );
    this.starts += 1;
    this.pids.push(this.#process.pid);
    keepInMind(this.#process.pid);
    await this.#process.logged("gateway.process.started");
  }

  async kill(signal: NodeJS.Signals = "SIGKILL"): Promise<void> {
    await this.#process?.kill(signal);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#process?.[Symbol.asyncDispose]();
  }
}
