import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { webhookUrl } from "./documents.ts";
import type { MachineNetwork } from "./network.ts";
import { until } from "./wait.ts";

const program = fileURLToPath(new URL("warehouse-child.ts", import.meta.url));

/** A system of the plant that reports to the gateway: in its network, and no part of the machine that the gateway is on. */
export class Warehouse {
  readonly #child: ChildProcess;
  #asked = 0;
  #acknowledged = 0;
  readonly #ended: Promise<string>;

  constructor(network: MachineNetwork) {
    const enter = ["--pdeathsig", "KILL", "nsenter", `--net=/run/netns/${network.name}`];
    this.#child = spawn("setpriv", [...enter, process.execPath, program, webhookUrl], {
      stdio: ["ignore", "inherit", "inherit", "ipc"],
    });
    this.#child.on("message", (acknowledged: number) => {
      this.#acknowledged = acknowledged;
    });
    this.#ended = once(this.#child, "exit").then(([code, signal]) => `the warehouse ended (${code ?? signal})`);
  }

  /** Messages that were answered with 2xx: numbers 1 to this. */
  get acknowledged(): number {
    return this.#acknowledged;
  }

  /** So many more are posted, as fast as they are acknowledged. */
  begin(count: number): void {
    this.#asked += count;
    this.#child.send(count);
  }

  /** All that was begun is acknowledged. */
  async settled(): Promise<void> {
    await until(
      () => ({ acknowledged: this.#acknowledged, of: this.#asked }),
      ({ acknowledged, of }) => acknowledged === of,
      this.#ended,
    );
  }

  async send(count: number): Promise<void> {
    this.begin(count);
    await this.settled();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    this.#child.kill("SIGKILL");
    await this.#ended;
  }
}
