import {
  backoff,
  type Clock,
  compareVersions,
  describeError,
  PlantgateError,
  type ReleaseOffer,
  type StatusReport,
  toInstant,
  type UpgradeState,
} from "../../protocol/index.ts";
import { Wake } from "../delivery/wake.ts";
import type { Logger } from "../telemetry/logger.ts";
import { isNoRoom } from "../write-flushed.ts";
import { type DownloadDeps, download } from "./download.ts";
import { Incoming } from "./incoming.ts";
import { type LastUpgrade, platformHere, type UpdatedMachine } from "./machine.ts";

export interface ReleaseFollowerDeps extends Omit<DownloadDeps, "incoming"> {
  readonly version: string;
  readonly dataDir: string;
  /** Undefined: nobody takes packages here. */
  readonly machine: UpdatedMachine | undefined;
  readonly incoming?: Incoming;
  readonly clock: Clock;
  readonly log: Logger;
}
/** As central said it, where it can be understood. */
export type WantedRelease = ReleaseOffer | { readonly problem: string };
type Report = Pick<StatusReport, "platform" | "installed" | "upgrade">;

/**
 * What is done about what central wants. `waiting`: for the updater to be done with another one. `taken`: nothing, while the updater is at one that was
 * wanted before.
 */
type Work =
  | { readonly kind: "idle" }
  | { readonly kind: "taken"; readonly version: string; readonly since: number }
  | { readonly kind: "waiting" | "downloading"; readonly why: string | undefined }
  | { readonly kind: "handed" }
  | { readonly kind: "refused"; readonly reason: string; readonly at: number };

const trialEveryMs = 2000;
/** So long after it took a package the updater may yet put it in place; later a power cut has come between. */
const takenMs = 10 * 60_000;

/**
 * Brings the package that central names to where the machine's updater takes it, and tells what became of it. Which version runs is decided by root's
 * updater alone, by the signature: this process has no right to replace its program, and what it downloads proves nothing.
 */
export class ReleaseFollower {
  readonly #deps: ReleaseFollowerDeps;
  readonly #incoming: Incoming;
  readonly #wake = new Wake();
  /** Undefined: central was not heard since the start. Null: it wants no version in particular. */
  #wanted: WantedRelease | null | undefined;
  #work: Work = { kind: "idle" };
  #job = new AbortController();

  constructor(deps: ReleaseFollowerDeps) {
    this.#deps = deps;
    this.#incoming = deps.incoming ?? new Incoming(deps.dataDir);
  }

  /** What the next poll says that is known; undefined: what would be news is not to be hurried. */
  get known(): string | undefined {
    if (!this.#deps.machine) return undefined;
    const wanted = this.#wanted ?? undefined;
    if (wanted && "problem" in wanted) return undefined;
    return wanted?.attempt ?? "";
  }

  /** Another one than before replaces what is under way. */
  want(release: WantedRelease | undefined): void {
    const next = release ?? null;
    if (this.#wanted !== undefined && keyOf(this.#wanted) === keyOf(next)) return;
    this.#wanted = next;
    this.#job.abort();
    this.#wake.ring();
  }

  get report(): Report {
    const { machine } = this.#deps;
    const platform = platformHere();
    if (!machine) return { platform };
    return { platform, installed: machine.kind, upgrade: this.#upgrade(machine) };
  }

  #upgrade(machine: UpdatedMachine): NonNullable<Report["upgrade"]> & { readonly state: UpgradeState } {
    const trial = machine.trial();
    if (trial !== undefined) return { state: trial === this.#deps.version ? "trial" : "handed-over", version: trial };
    const offer = this.#offer();
    const version = offer && { version: offer.version };
    const work = this.#work;
    if (work.kind === "refused") return { state: "refused", ...version, reason: cut(work.reason), at: toInstant(work.at) };
    if (offer && (work.kind === "downloading" || work.kind === "waiting")) {
      const { file, size } = offer;
      const bytes = this.#incoming.isWhole(file) ? size : Math.min(size, this.#incoming.received(file));
      return { state: "downloading", ...version, bytes, size, ...(work.why === undefined ? {} : { reason: cut(work.why) }) };
    }
    const last = machine.last();
    const isSilent = this.#incoming.note()?.before === textOf(last);
    if (offer && work.kind === "handed" && isSilent) return { state: "handed-over", ...version };
    if (work.kind === "taken" && isSilent && this.#deps.clock.monotonic() - work.since < takenMs)
      return { state: "handed-over", version: work.version };
    if (!last) return { state: "none" };
    const { outcome: state, reason, at } = last;
    const said = Date.parse(at);
    return {
      ...{ state, version: last.version.slice(0, 64) },
      ...(reason === "" ? {} : { reason: cut(reason) }),
      // what no clock of our days says is left out: the rest counts
      ...(said >= 0 && said < 253_402_300_800_000 ? { at: toInstant(said) } : {}),
    };
  }

  async run(signal: AbortSignal): Promise<void> {
    const { machine, clock, log } = this.#deps;
    if (!machine) return;
    let delays = backoff({ baseMs: 1000, capMs: 60_000 });
    while (!signal.aborted) {
      const wanted = this.#wanted;
      this.#job = new AbortController();
      const job = AbortSignal.any([signal, this.#job.signal]);
      try {
        if (wanted !== undefined) await this.#follow(machine, wanted, job);
        delays = backoff({ baseMs: 1000, capMs: 60_000 });
        if (this.#wanted === wanted) await this.#wake.wait(signal);
      } catch (error) {
        if (signal.aborted) return;
        const isExpected = isNoRoom(error) || (error instanceof PlantgateError && error.disposition !== "crash");
        if (!isExpected) throw error;
        log.warn({ event: "release.follow.delayed", reason: describeError(error) }, "an upgrade does not get on, tried again");
        await clock.sleep(delays.next().value, job);
      }
    }
  }

  async #follow(machine: UpdatedMachine, wanted: WantedRelease | null, signal: AbortSignal): Promise<void> {
    const { version, clock, log } = this.#deps;
    const incoming = this.#incoming;
    incoming.open();
    if (wanted && "problem" in wanted) {
      incoming.sweep();
      return this.#refuse(`what central wants to be installed cannot be understood: ${wanted.problem}`);
    }
    // an older one that nobody means is what a restored central still knows
    const note = incoming.note();
    if (!wanted || wanted.version === version || (compareVersions(wanted.version, version) < 0 && !wanted.older)) {
      const isTaken = note?.phase === "handed" && note.before === textOf(machine.last()) && !incoming.isRequested;
      this.#work = isTaken ? { kind: "taken", version: note.version, since: clock.monotonic() } : { kind: "idle" };
      return incoming.withdraw();
    }
    const isKnown = note?.attempt === wanted.attempt && note.version === wanted.version && note.sha256 === wanted.sha256;
    // it is the updater's: what became of it is told, and never tried again by ourselves
    if (isKnown && (note.phase === "handed" || incoming.isRequested || note.before !== textOf(machine.last()))) {
      this.#work = { kind: "handed" };
      if (note.phase === "handing") incoming.keepNote({ ...note, phase: "handed" });
      if (note.before !== textOf(machine.last())) incoming.sweep();
      return;
    }
    this.#work = { kind: "waiting", why: "the machine's updater is at another version" };
    while (machine.trial() !== undefined && !signal.aborted) await clock.sleep(trialEveryMs, signal);
    if (signal.aborted) return;
    incoming.sweep(wanted.file);
    this.#work = { kind: "downloading", why: undefined };
    log.info({ event: "release.download.began", version: wanted.version, file: wanted.file }, "central wants another version");
    const waits = (why: string | undefined): void => {
      if (!signal.aborted) this.#work = { kind: "downloading", why };
    };
    const got = await download({ ...this.#deps, incoming }, wanted, waits, signal);
    if (!got || signal.aborted) return;
    if (got.kind === "refused") return this.#refuse(got.reason);
    incoming.sign(wanted);
    const { attempt, version: next, sha256 } = wanted;
    const handing = { attempt, version: next, sha256, before: textOf(machine.last()) };
    // noted first: what the updater does with it may end this process at any moment
    incoming.keepNote({ ...handing, phase: "handing" });
    incoming.request(wanted);
    incoming.keepNote({ ...handing, phase: "handed" });
    this.#work = { kind: "handed" };
    log.info({ event: "release.package.handedOver", version: next }, "the machine's updater has what central wants");
  }

  #refuse(reason: string): void {
    this.#work = { kind: "refused", reason, at: this.#deps.clock.now() };
    this.#deps.log.error(
      { event: "release.package.refused", reason },
      "a version from central was refused, the one that runs stays",
    );
  }

  #offer(): ReleaseOffer | undefined {
    return this.#wanted && !("problem" in this.#wanted) ? this.#wanted : undefined;
  }
}

function keyOf(wanted: WantedRelease | null): string {
  if (wanted === null) return "";
  if ("problem" in wanted) return `problem ${wanted.problem}`;
  const { attempt, version, sha256, older = false } = wanted;
  return JSON.stringify([attempt, version, sha256, older]);
}

/** Tells what the updater noted last from what it notes next. */
function textOf(last: LastUpgrade | undefined): string {
  return last === undefined ? "" : JSON.stringify(last);
}

function cut(reason: string): string {
  return reason.slice(0, 1000);
}
