import { type Bundle, describeError, hasDisposition, PlantgateError } from "../../protocol/index.ts";
import type { ConnectorHost } from "../connector/host.ts";
import type { Dispatcher } from "../delivery/dispatch.ts";
import type { Changeover } from "../flow/changeover.ts";
import type { Logger } from "../telemetry/logger.ts";

/** A part of the gateway that a bundle configures; it takes a bundle as often as it is given one. */
export interface Configurable {
  /** Changes nothing. @throws PlantgateError CONFIG_INVALID where `configure` would */
  check?(bundle: Bundle): void;
  /** @throws PlantgateError CONFIG_INVALID, after which the bundle before is in effect here */
  configure(bundle: Bundle): void | Promise<void>;
}

export interface ConfigurationDeps {
  /** In this order. */
  readonly parts: readonly Configurable[];
  readonly host: Pick<ConnectorHost, "retire" | "apply" | "resume">;
  readonly dispatcher: Pick<Dispatcher, "configure" | "suspend">;
  readonly changeover: Changeover;
  readonly log: Logger;
  /** Whether a configuration is in effect and none on its way in or out. */
  readonly onSettled: (is: boolean) => void;
}

/**
 * The bundle in effect. Modes: none; one in effect (`#current`). A new one is applied to every part, and where one of them fails, the bundle before
 * is applied to every part again: what has not changed between the two was not touched by either (P8). Where even that one does not start whole any
 * more, the connectors that do not are stood in for: a plant with one of them down is better than none of them (P5).
 *
 * From the first part to the last nobody works by a configuration ({@link Changeover}): what comes in meanwhile, and what waits to be delivered, waits
 * for the one that is in effect in the end. So nothing is judged by a mixture of two, or given up for one that is refused (P2).
 */
export class Configuration {
  readonly #deps: ConfigurationDeps;
  #current: Bundle | undefined;
  /** It runs in the place of a newer one, for which what waits is kept. */
  #instead = false;
  /** One change at a time, in the order in which they are asked for. */
  #turn: Promise<unknown> = Promise.resolve();

  constructor(deps: ConfigurationDeps) {
    this.#deps = deps;
  }

  /**
   * Whole or not at all.
   * @throws PlantgateError CONFIG_INVALID: the bundle before, if any, is in effect
   */
  apply(next: Bundle): Promise<void> {
    return this.#inTurn(() => this.#apply(next));
  }

  async #apply(next: Bundle): Promise<void> {
    try {
      await this.#put(next, "whole");
    } catch (error) {
      if (!(error instanceof PlantgateError))
        throw await this.#putBack(new PlantgateError("CONFIG_INVALID", "it cannot be put into effect", { cause: error }));
      throw hasDisposition(error, "crash") ? error : await this.#putBack(error);
    }
  }

  /**
   * As much as can run of a bundle that ran before: nothing else is in effect yet. `instead` of a newer one: what waits for connectors that only
   * that one has is kept for it.
   * @throws PlantgateError CONFIG_INVALID
   */
  async restore(stored: Bundle, instead = false): Promise<void> {
    await this.#inTurn(() => this.#put(stored, "runnable", instead));
  }

  /** The bundle in effect once more, for what it names and does not hold: only connectors to which that makes a difference begin anew. */
  async refresh(): Promise<void> {
    await this.#inTurn(async () => {
      if (!this.#current) return;
      try {
        await this.#put(this.#current, "runnable", this.#instead);
      } catch (error) {
        if (hasDisposition(error, "crash")) throw error;
        // what could not be stopped cleanly is gone all the same, and nothing else would start it again
        await this.#putBack(new PlantgateError("CONFIG_INVALID", "it cannot be put into effect anew", { cause: error }));
      }
    });
  }

  #inTurn(change: () => Promise<void>): Promise<void> {
    const turn = this.#turn.then(change);
    this.#turn = turn.catch(() => {});
    return turn;
  }

  async #put(bundle: Bundle, how: "whole" | "runnable", instead = false): Promise<void> {
    const { parts, host, dispatcher, changeover, onSettled } = this.#deps;
    onSettled(false);
    for (const part of parts) part.check?.(bundle);
    // what takes long, and needs the configuration before to end well, comes before all others have to wait
    await host.retire(bundle);
    dispatcher.suspend();
    await changeover.begin();
    for (const part of parts) await part.configure(bundle);
    await host.apply(bundle, how);
    dispatcher.configure(bundle);
    this.#current = bundle;
    this.#instead = instead;
    const resumed = host.resume(bundle, instead);
    changeover.end();
    onSettled(true);
    await resumed;
  }

  async #putBack(refused: PlantgateError): Promise<PlantgateError> {
    if (!this.#current) return refused;
    this.#deps.log.warn(
      { event: "configuration.change.undone", revision: this.#current.revision, reason: describeError(refused) },
      "the new configuration cannot be put into effect, the one before is put back",
    );
    await this.#put(this.#current, "runnable", this.#instead);
    return refused;
  }
}
