import { backoff, type ConnectorReport, describeError } from "../../protocol/index.ts";
import { Condition } from "./condition.ts";
import type { Connector, ConnectorDeps, Outbound, Outcome, Verdict } from "./connector.ts";

const delays = { baseMs: 1000, capMs: 30_000 };

/**
 * Stands for a connector that cannot be made or started, say for want of a secret or of room on the disk: the page shows why, all others
 * run, and it is tried again, for ever. Once that succeeds it is that connector.
 */
export class StandIn implements Connector {
  readonly #deps: ConnectorDeps;
  readonly #make: () => Promise<Connector>;
  readonly #condition: Condition;
  readonly #stopping = new AbortController();
  #running: Promise<void> | undefined;
  #connector: Connector | undefined;

  constructor(deps: ConnectorDeps, reason: string, make: () => Promise<Connector>) {
    this.#deps = deps;
    this.#make = make;
    this.#condition = new Condition(deps.name, deps.config.type, deps.clock);
    this.#fails(reason);
  }

  async start(signal: AbortSignal): Promise<void> {
    this.#running ??= this.#run(AbortSignal.any([signal, this.#stopping.signal]));
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#running;
    await this.#connector?.stop();
    this.#condition.stopped();
  }

  report(): ConnectorReport {
    return this.#connector?.report() ?? this.#condition.report();
  }

  get deliver(): Connector["deliver"] {
    const connector = this.#connector;
    return connector ? connector.deliver?.bind(connector) : this.#notYet;
  }

  get verify(): Connector["verify"] {
    const connector = this.#connector;
    return connector ? connector.verify?.bind(connector) : this.#cannotTell;
  }

  async #run(signal: AbortSignal): Promise<void> {
    const { clock, log } = this.#deps;
    const waits = backoff(delays);
    for (;;) {
      await clock.sleep(waits.next().value, signal);
      if (signal.aborted) return;
      try {
        this.#connector = await started(await this.#make(), signal);
        log.info({ event: "connector.standIn.ended" }, "the connector could be made at last, and runs");
        return;
      } catch (error) {
        this.#fails(describeError(error));
      }
    }
  }

  #fails(reason: string): void {
    if (this.#condition.report().reason !== reason)
      this.#deps.log.error(
        { event: "connector.make.failed", reason },
        "connector cannot run with this configuration, tried again",
      );
    this.#condition.down(reason);
  }

  readonly #notYet = async (_message: Outbound): Promise<Outcome> => ({ kind: "retry", reason: this.#reason });
  readonly #cannotTell = async (_message: Outbound): Promise<Verdict> => ({ kind: "cannot-tell", reason: this.#reason });

  get #reason(): string {
    return this.#condition.report().reason ?? "the connector does not run";
  }
}

async function started(connector: Connector, signal: AbortSignal): Promise<Connector> {
  try {
    await connector.start(signal);
    return connector;
  } catch (error) {
    await connector.stop();
    throw error;
  }
}
