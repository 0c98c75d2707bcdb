import {
  type Clock,
  describeError,
  durationMs,
  type KeyNotice,
  type KeyPolicy,
  keyPolicy,
  PlantgateError,
} from "../../protocol/index.ts";
import { Wake } from "../delivery/wake.ts";
import type { Session } from "../link/session.ts";
import type { Logger } from "../telemetry/logger.ts";
import type { CentralKeys } from "./central-keys.ts";
import type { Identity, KeyPair } from "./identity.ts";
import { introduceKeys } from "./proofs.ts";

export interface KeyRotationDeps {
  readonly site: string;
  readonly identity: Identity;
  readonly centralKeys: Pick<CentralKeys, "expect">;
  readonly session: Session;
  readonly clock: Clock;
  readonly log: Logger;
}

/** Before something that did not work is tried again. */
const retryMs = 30_000;
/** Before a change that central refused is tried again: a person may have to look at it. */
const refusedMs = 600_000;
/** The longest overlap that central grants. */
const maxOverlapSeconds = 7 * 86_400;
/** Keys of one age are not changed all at the same moment: each somewhere in the last tenth of its life. */
const spread = 0.1;

/**
 * Changes the gateway's keys: on schedule (`keys.rotateEvery`), and when a person asks at central. The next pair is flushed, then introduced by a
 * call that the old one signs, then taken; central takes both meanwhile, so that no call is lost, wherever this is cut off. All times are
 * central's: how old a key is does not depend on our clock (rule 11).
 */
export class KeyRotation {
  readonly #deps: KeyRotationDeps;
  readonly #wake = new Wake();
  #policy: KeyPolicy = keyPolicy.parse({});
  #notice: KeyNotice | undefined;
  /** The signing key of central that could not be followed, so that it is told once. */
  #strange: string | undefined;

  constructor(deps: KeyRotationDeps) {
    this.#deps = deps;
  }

  /** Takes a bundle's word for it; without one the defaults apply. */
  configure({ keys = keyPolicy.parse({}) }: { readonly keys?: KeyPolicy | undefined }): void {
    this.#policy = keys;
    this.#wake.ring();
  }

  /** What central says with each answer to a report. */
  noticed(notice: KeyNotice): void {
    this.#notice = notice;
    this.#wake.ring();
  }

  async run(signal: AbortSignal): Promise<void> {
    const { clock, log } = this.#deps;
    while (!signal.aborted) {
      await this.#wake.wait(signal);
      const notice = this.#notice;
      this.#notice = undefined;
      if (signal.aborted || !notice) continue;
      await this.#followCentral(notice.signingKey);
      let pauseMs = 0;
      try {
        pauseMs = await this.#change(notice, signal);
      } catch (error) {
        if (signal.aborted) return;
        pauseMs = retryMs;
        log.warn(
          { event: "identity.key.delayed", reason: describeError(error) },
          "the gateway's key was not changed, it is tried again; the one before goes on",
        );
      }
      await clock.sleep(pauseMs, signal);
    }
  }

  /** @returns how long to wait before the next try */
  async #change(notice: KeyNotice, signal: AbortSignal): Promise<number> {
    const { identity, log } = this.#deps;
    // said of a key that is not the current one any more
    if (notice.fingerprint !== identity.fingerprint) return 0;
    if (!notice.seals) return (await this.#introduce(identity.current, signal)) ? 0 : refusedMs;
    if (!identity.next && !notice.rotate && !this.#isDue(notice)) return 0;
    const before = identity.fingerprint;
    if (!(await this.#introduce(identity.prepareNext(), signal))) {
      identity.discardNext();
      return refusedMs;
    }
    identity.changeOver();
    log.info({ event: "identity.key.changed", fingerprint: identity.fingerprint, before }, "the gateway signs with a new key");
    return 0;
  }

  #isDue({ since, fingerprint }: KeyNotice): boolean {
    const now = this.#deps.session.centralNow();
    const everyMs = durationMs(this.#policy.rotateEvery);
    const early = (Number.parseInt(fingerprint.slice(0, 8), 16) / 2 ** 32) * spread;
    return now !== undefined && now - Date.parse(since) >= everyMs * (1 - early);
  }

  /** @returns false: central refuses it, for a reason that will not pass by itself */
  async #introduce(next: KeyPair, signal: AbortSignal): Promise<boolean> {
    const { site, session, identity, log } = this.#deps;
    const online = await session.online(signal);
    if (!online) throw new PlantgateError("STOPPED", "the gateway stops");
    const overlap = Math.floor(durationMs(this.#policy.overlap) / 1000);
    const introduction = await introduceKeys(site, identity.current, next, Math.min(maxOverlapSeconds, overlap));
    const path = `/v1/sites/${encodeURIComponent(site)}/keys`;
    const answer = await session.send(
      online.session,
      { method: "POST", path, json: { introduction }, silenceMs: 15_000 },
      signal,
    );
    if (answer.kind === "ok") return true;
    const reason = answer.problem.detail ?? answer.problem.title;
    if (answer.problem.code !== "conflict" && answer.problem.code !== "invalid") throw new PlantgateError("PEER_BUSY", reason);
    log.error({ event: "identity.key.refused", reason }, "central refuses the gateway's next key; the one before goes on");
    return false;
  }

  async #followCentral(kid: string): Promise<void> {
    const { centralKeys, log } = this.#deps;
    try {
      await centralKeys.expect(kid);
      this.#strange = undefined;
    } catch (error) {
      const isRefused = error instanceof PlantgateError && error.disposition === "deny";
      if (isRefused && this.#strange !== kid)
        log.error(
          { event: "identity.central.unknown", kid, reason: describeError(error) },
          "central signs with a key that it cannot show to be its own: what it signs with that is refused, the plant runs on",
        );
      if (isRefused) this.#strange = kid;
    }
  }
}
