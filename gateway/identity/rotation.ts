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
import type { LinkAnswer, LinkRequest } from "../link/transport.ts";
import type { Logger } from "../telemetry/logger.ts";
import type { CentralKeys } from "./central-keys.ts";
import type { Identity, KeyPair } from "./identity.ts";
import { introduceKeys } from "./proofs.ts";

export interface KeyRotationDeps {
  readonly site: string;
  readonly identity: Identity;
  readonly centralKeys: Pick<CentralKeys, "expect">;
  readonly session: Session;
  /** Fingerprints of keys that the hardware before holds as well: the copy there must not pass for this gateway (ADR 0123). */
  readonly leftBehind?: ReadonlySet<string>;
  readonly clock: Clock;
  readonly log: Logger;
}

type Refusal = Extract<LinkAnswer, { kind: "problem" }>;

/** Before something that did not work is tried again. */
const retryMs = 30_000;
/** Before a change that central refused is tried again: a person may have to look at it. */
const refusedMs = 600_000;
/** The longest overlap that central grants. */
const maxOverlapSeconds = 7 * 86_400;
/** Keys of the same age change at different moments: each within the last tenth of its life. */
const spread = 0.1;
const notChanged = "the gateway's key was not changed, it is tried again; the one before goes on";

/**
 * Changes the gateway's keys: on schedule (`keys.rotateEvery`), when a person asks for it at central, and at once, without an overlap, after the folder
 * moved to other hardware. The next pair is flushed, then introduced in a call that the old key signs, then used. Central accepts both meanwhile, so
 * that being cut off at any point loses no call. All times are central's: a key's age does not depend on our clock (rule 11).
 */
export class KeyRotation {
  readonly #deps: KeyRotationDeps;
  readonly #wake = new Wake();
  #policy: KeyPolicy = keyPolicy.parse({});
  #notice: KeyNotice | undefined;
  /** A signing key of central that no known one introduces: remembered, so that it is logged once. */
  #strange: string | undefined;

  constructor(deps: KeyRotationDeps) {
    this.#deps = deps;
  }

  /** Follows the bundle's policy; without one the defaults apply. */
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
        log.warn({ event: "identity.key.delayed", reason: describeError(error) }, notChanged);
      }
      await clock.sleep(pauseMs, signal);
    }
  }

  /** @returns how long to wait before the next try */
  async #change(notice: KeyNotice, signal: AbortSignal): Promise<number> {
    const { identity } = this.#deps;
    // it is about a key that is not in use any more
    if (notice.fingerprint !== identity.fingerprint) return 0;
    if (!notice.seals) return (await this.#introduce(identity.current, signal)) ? 0 : refusedMs;
    const shared = this.#isLeftBehind(identity.current);
    if (!identity.next && !notice.rotate && !shared && !this.#isDue(notice)) return 0;
    if (!(await this.#introduce(identity.prepareNext(), signal))) {
      identity.discardNext();
      return refusedMs;
    }
    this.#changeOver();
    return 0;
  }

  #changeOver(): void {
    const { identity, log } = this.#deps;
    const before = identity.fingerprint;
    identity.changeOver();
    log.info({ event: "identity.key.changed", fingerprint: identity.fingerprint, before }, "the gateway signs with a new key");
  }

  /**
   * Called before a hello: replaces a key that the hardware before holds as well, before it is used for anything else. Central accepts one successor of
   * a key, so of two machines that took in the same file one goes on, and the other learns that it is left behind (ADR 0137). What cannot be done
   * now is done with the first report.
   * @returns central's refusal, if it refuses
   */
  async leave(send: (request: LinkRequest) => Promise<LinkAnswer>): Promise<Refusal | undefined> {
    const { identity } = this.#deps;
    // a next pair that was made before the move lies there as well: it is replaced in turn
    for (let changes = 0; changes < 2 && this.#isLeftBehind(identity.current); changes++) {
      const { current } = identity;
      const next = this.#onDisk(() => identity.prepareNext());
      if (!next) return undefined;
      const answer = await send(await this.#introduction(next));
      // where the disk refuses, the next call finds out: central knows the new key
      if (answer.kind === "ok") this.#onDisk(() => this.#changeOver());
      // unless the call found that central knows another of our keys: then that one counts
      else if (identity.current === current) return answer;
    }
    return undefined;
  }

  /** A disk that is full keeps nobody from saying hello. */
  #onDisk<Value>(work: () => Value): Value | undefined {
    try {
      return work();
    } catch (error) {
      this.#deps.log.warn({ event: "identity.key.delayed", reason: describeError(error) }, notChanged);
      return undefined;
    }
  }

  #isLeftBehind({ fingerprint }: KeyPair): boolean {
    return this.#deps.leftBehind?.has(fingerprint) ?? false;
  }

  #isDue({ since, fingerprint }: KeyNotice): boolean {
    const now = this.#deps.session.centralNow();
    const everyMs = durationMs(this.#policy.rotateEvery);
    const early = (Number.parseInt(fingerprint.slice(0, 8), 16) / 2 ** 32) * spread;
    return now !== undefined && now - Date.parse(since) >= everyMs * (1 - early);
  }

  /** @returns false: central refuses it, for a reason that will not pass by itself */
  async #introduce(next: KeyPair, signal: AbortSignal): Promise<boolean> {
    const { session, log } = this.#deps;
    const online = await session.online(signal);
    if (!online) throw new PlantgateError("STOPPED", "the gateway stops");
    const answer = await session.send(online.session, await this.#introduction(next), signal);
    if (answer.kind === "ok") return true;
    const reason = answer.problem.detail ?? answer.problem.title;
    if (answer.problem.code !== "conflict" && answer.problem.code !== "invalid") throw new PlantgateError("PEER_BUSY", reason);
    log.error({ event: "identity.key.refused", reason }, "central refuses the gateway's next key; the one before goes on");
    return false;
  }

  async #introduction(next: KeyPair): Promise<LinkRequest> {
    const { site, identity } = this.#deps;
    const overlap = Math.floor(durationMs(this.#policy.overlap) / 1000);
    // a next one that was made before the move is no way out of it: it is followed by another one
    const terms =
      this.#isLeftBehind(identity.current) && !this.#isLeftBehind(next)
        ? { overlapSeconds: 0, moved: true as const }
        : { overlapSeconds: Math.min(maxOverlapSeconds, overlap) };
    const introduction = await introduceKeys(site, identity.current, next, terms);
    return { method: "POST", path: `/v1/sites/${encodeURIComponent(site)}/keys`, json: { introduction }, silenceMs: 15_000 };
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
