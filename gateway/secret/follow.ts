import { backoff, type Clock, describeError, PlantgateError } from "../../protocol/index.ts";
import { Wake } from "../delivery/wake.ts";
import { askedToWaitMs } from "../link/pauses.ts";
import type { Session } from "../link/session.ts";
import type { Logger } from "../telemetry/logger.ts";
import type { SecretStore } from "./secret-store.ts";

export interface SecretFollowerDeps {
  readonly site: string;
  readonly store: SecretStore;
  readonly session: Session;
  readonly clock: Clock;
  readonly log: Logger;
  /** These have another value now. */
  readonly onChanged: (names: ReadonlySet<string>) => Promise<void>;
}

/** How long a new configuration waits for the secrets that central announced with it. */
const patienceMs = 15_000;

/** Fetches the secrets that central names, whenever it names others than are held. Outside of rollouts: a new password has no revision. */
export class SecretFollower {
  readonly #deps: SecretFollowerDeps;
  readonly #wake = new Wake();
  #wanted: string | undefined;
  /** A set that cannot be taken: not asked for again until another one is named, or the gateway starts again. */
  #refused: string | undefined;

  constructor(deps: SecretFollowerDeps) {
    this.#deps = deps;
  }

  /** What the next poll says that is known: what is held, or on its way. */
  get known(): string {
    return this.#wanted ?? this.#deps.store.set;
  }

  /** Central names a set; undefined: it has none for this site, and what is held stays. */
  want(set: string | undefined): void {
    if (set === undefined || set === this.#wanted) return;
    this.#wanted = set;
    this.#wake.ring();
  }

  /** Resolves when what central named is held, or cannot be had soon: a plant does not wait for it for ever (P5). */
  async settled(signal: AbortSignal): Promise<void> {
    const { clock } = this.#deps;
    const until = clock.monotonic() + patienceMs;
    while (this.#isDue() && clock.monotonic() < until && !signal.aborted) await clock.sleep(50, signal);
  }

  async run(signal: AbortSignal): Promise<void> {
    const { clock, log } = this.#deps;
    let delays = backoff({ baseMs: 1000, capMs: 15_000 });
    while (!signal.aborted) {
      if (!this.#isDue()) {
        await this.#wake.wait(signal);
        continue;
      }
      try {
        await this.#fetch(signal);
        delays = backoff({ baseMs: 1000, capMs: 15_000 });
      } catch (error) {
        if (signal.aborted) return;
        if (error instanceof PlantgateError && error.disposition === "crash") throw error;
        log.warn(
          { event: "secret.fetch.delayed", reason: describeError(error) },
          "new secrets could not be fetched, tried again",
        );
        await clock.sleep(askedToWaitMs(error) ?? delays.next().value, signal);
      }
    }
  }

  #isDue(): boolean {
    return this.#wanted !== undefined && this.#wanted !== this.#deps.store.set && this.#wanted !== this.#refused;
  }

  async #fetch(signal: AbortSignal): Promise<void> {
    const { session, site, store, log, onChanged } = this.#deps;
    const wanted = this.#wanted;
    const online = await session.online(signal);
    if (!online) return;
    const path = `/v1/sites/${encodeURIComponent(site)}/secrets`;
    const answer = await session.send(online.session, { method: "GET", path, silenceMs: 30_000 }, signal);
    if (answer.kind === "problem") {
      const context = answer.retryAfterMs === undefined ? {} : { waitMs: answer.retryAfterMs };
      throw new PlantgateError("PEER_BUSY", answer.problem.detail ?? answer.problem.title, { context });
    }
    const { jws } = (answer.body ?? {}) as { jws?: unknown };
    let changed: ReadonlySet<string>;
    try {
      changed = await store.accept(String(jws));
    } catch (error) {
      if (!(error instanceof PlantgateError) || error.disposition !== "deny") throw error;
      this.#refused = wanted;
      log.error(
        { event: "secret.set.refused", reason: describeError(error) },
        "secrets from central were refused, those before serve on",
      );
      return;
    }
    // it may be newer than the one that was named
    if (this.#wanted === wanted) this.#wanted = store.set;
    log.info({ event: "secret.set.taken", changed: [...changed] }, "new secrets are held");
    if (changed.size > 0) await onChanged(changed);
  }
}
