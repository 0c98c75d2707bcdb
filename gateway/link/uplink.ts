import { backoff, type Clock, describeError, type Lane, PlantgateError } from "../../protocol/index.ts";
import { Wake } from "../delivery/wake.ts";
import type { Queue } from "../queue/queue.ts";
import type { Logger } from "../telemetry/logger.ts";
import { type Batch, type BatchResult, bytesOf, fitting, lastOf, sendBatch } from "./batch.ts";
import { BatchSize } from "./batch-size.ts";
import type { LaneShares } from "./lane-shares.ts";
import { sendLeftEpochs } from "./left-epochs.ts";
import type { LinkLimits } from "./link-limits.ts";
import { isAnswered } from "./pauses.ts";
import type { LinkProgress } from "./progress.ts";
import type { OnlineLink, Session } from "./session.ts";

export interface UplinkDeps {
  readonly site: string;
  readonly queue: Queue;
  readonly session: Session;
  readonly shares: LaneShares;
  readonly limits: Pick<LinkLimits, "batch" | "lingerMs">;
  readonly progress: LinkProgress;
  readonly clock: Clock;
  readonly log: Logger;
}

/** Why a lane waits, for a person. */
const limited = "the configuration limits what messages may take of the link, and this lane waits for its turn";
/** Before another epoch is begun, where one was a fork just before: that does not help. */
const forksAgain = { baseMs: 1000, capMs: 300_000 };
/** Before a batch is sent again that a predecessor was missing for. */
const gapMs = 1000;

/** How one batch ended. */
type Ended =
  | { readonly batch: Batch; readonly result: BatchResult }
  | { readonly batch: Batch; readonly result: { readonly kind: "failed"; readonly error: unknown } };

/**
 * Drains one lane to central: whole frames as they lie on disk, in order, a window of batches under way. A frame leaves the disk only after
 * central's watermark passed it. Each lane has its own loop, so live transactions never wait behind samples (P7).
 */
export async function runUplink(deps: UplinkDeps, lane: Lane, signal: AbortSignal): Promise<void> {
  const uplink = new LaneUplink(deps, lane, signal);
  try {
    await uplink.run();
  } finally {
    uplink.stop();
  }
}

class LaneUplink {
  readonly #deps: UplinkDeps;
  readonly #lane: Lane;
  readonly #signal: AbortSignal;
  readonly #wake = new Wake();
  readonly #stopListening: () => void;
  readonly #size = new BatchSize();
  readonly #underWay = new Set<Batch>();
  readonly #ended: Ended[] = [];
  #delays = backoff({ baseMs: 300, capMs: 10_000 });
  /** Since the last acknowledgement: sessions that were lost while a batch was under way, and forks. */
  #losses = 0;
  #lostWith: string | undefined;
  #forks = 0;
  #forkDelays = backoff(forksAgain);
  /** Everything up to it was sent in this session. */
  #sent = 0;
  #session: string | undefined;

  constructor(deps: UplinkDeps, lane: Lane, signal: AbortSignal) {
    this.#deps = deps;
    this.#lane = lane;
    this.#signal = signal;
    const stopListening = [
      deps.queue.onAppended(lane, () => this.#wake.ring()),
      // a lane where nothing is new still has to go back to where a restored central is
      deps.session.onChange(() => this.#wake.ring()),
    ];
    this.#stopListening = () => {
      for (const stop of stopListening) stop();
    };
  }

  stop(): void {
    this.#stopListening();
  }

  async run(): Promise<void> {
    while (!this.#signal.aborted) {
      const online = await this.#online();
      if (!online) break;
      try {
        if (online.session !== this.#session && !(await this.#begin(online))) continue;
        await this.#fill(online);
        await this.#settle(online);
      } catch (error) {
        if (this.#signal.aborted) break;
        if (!(error instanceof PlantgateError) || error.disposition === "crash") throw error;
        this.#deps.progress.hindered(this.#lane, describeError(error));
        await this.#drain();
        this.#session = undefined;
        if (this.#deps.session.isCurrent(online.session)) await this.#pause(this.#delays.next().value, online);
      }
    }
    await this.#drain();
  }

  async #online(): Promise<OnlineLink | undefined> {
    const { session, progress } = this.#deps;
    if (session.state.kind !== "online") progress.away(this.#lane);
    const online = await session.online(this.#signal);
    progress.back(this.#lane);
    return online;
  }

  /**
   * A new session: goes on behind what central has. It may have less than it acknowledged once (it was restored): that waits again. Never is more
   * taken for acknowledged than an answer to a batch says: what it has may be of another disk (rule 4). A link that returns is used at once;
   * where hellos come through and batches do not, each session after the first begins later. @returns whether the session is still there
   */
  async #begin(online: OnlineLink): Promise<boolean> {
    const { queue, session, progress, log } = this.#deps;
    const lane = this.#lane;
    progress.waits(lane);
    await this.#drain();
    this.#ended.length = 0;
    if (this.#losses > 1) await this.#pause(this.#delays.next().value, online);
    // before `confirm` lets go of what central has had for long enough
    await sendLeftEpochs(this.#deps, { lane, online, size: this.#size, pause: (ms) => this.#pause(ms, online) }, this.#signal);
    if (!session.isCurrent(online.session)) return false;
    const { acknowledged, epoch, epochFirst } = await queue.position(lane);
    const known = online.watermarks.find((each) => each.lane === lane && each.epoch === epoch)?.watermark;
    this.#sent = Math.max(Math.min(acknowledged, known ?? acknowledged), epochFirst - 1);
    if (this.#sent < acknowledged)
      log.warn(
        { event: "uplink.lane.goesBack", lane, watermark: this.#sent, acknowledged },
        "central has less than it acknowledged once: it gets it again",
      );
    if (known !== undefined) await queue.confirm(lane, this.#sent);
    this.#session = online.session;
    this.#size.begins();
    return true;
  }

  /** Sends while the window has room and there is something; waits for either. */
  async #fill(online: OnlineLink): Promise<void> {
    const { shares, clock, session, progress } = this.#deps;
    while (this.#ended.length === 0 && !this.#signal.aborted && session.isCurrent(online.session)) {
      if (this.#underWay.size >= this.#size.window) return this.#wake.wait(this.#signal);
      const batch = await this.#next();
      if (!batch) {
        if (this.#underWay.size === 0 && this.#ended.length === 0) progress.rests(this.#lane);
        await this.#wake.wait(this.#signal);
        const lingerMs = this.#deps.limits.lingerMs(this.#lane);
        if (this.#underWay.size === 0 && this.#deps.session.isCurrent(online.session) && lingerMs > 0)
          await clock.sleep(lingerMs, this.#signal);
        return;
      }
      progress.waits(this.#lane);
      const turn = shares.turn(this.#lane, bytesOf(batch), this.#signal);
      if (shares.isLimited) progress.hindered(this.#lane, limited);
      if (!(await turn)) return;
      progress.cleared(this.#lane, limited);
      // a limited link may have been waited for longer than the session lasted
      if (!session.isCurrent(online.session)) return shares.done(this.#lane);
      this.#sent = lastOf(batch);
      this.#send(batch, online);
    }
  }

  async #next(): Promise<Batch | undefined> {
    const { queue, limits, log } = this.#deps;
    const size = this.#size.limits;
    const { bytes, messages } = limits.batch;
    const { epoch, frames, chainUnknown } = await queue.next(this.#lane, this.#sent, {
      frames: size.frames,
      bytes: Math.min(size.bytes, bytes),
      pin: true,
    });
    if (chainUnknown) {
      log.error(
        { event: "uplink.range.lostByReceiver", lane: this.#lane, epoch, first: this.#sent + 1 },
        "central lost messages that it had acknowledged and that are deleted here: a new epoch begins behind them",
      );
      await queue.openEpoch(this.#lane);
      throw new PlantgateError("PEER_UNREACHABLE", "a new epoch has to be announced");
    }
    const [first, ...rest] = fitting(frames, messages);
    if (first?.hole === "lost-by-receiver")
      log.error(
        { event: "uplink.range.lostByReceiver", lane: this.#lane, epoch, first: first.first, count: first.count },
        "central lost messages that it had acknowledged and that are deleted here: the range is recorded as lost",
      );
    return first && { lane: this.#lane, epoch, frames: [first, ...rest] };
  }

  #send(batch: Batch, online: OnlineLink): void {
    const { site, session, shares, clock } = this.#deps;
    this.#underWay.add(batch);
    const began = clock.monotonic();
    void sendBatch({ site, session, sessionId: online.session }, batch, this.#size.silenceMs, this.#signal)
      .then(
        (result): Ended => {
          if (result.kind === "acknowledged") this.#size.answered(bytesOf(batch), clock.monotonic() - began);
          return { batch, result };
        },
        (error: unknown): Ended => {
          this.#noteLoss(online.session, error);
          return { batch, result: { kind: "failed", error } };
        },
      )
      .then((ended) => {
        shares.done(this.#lane);
        this.#underWay.delete(batch);
        this.#ended.push(ended);
        this.#wake.ring();
      });
  }

  /** A batch went without an answer, and its session with it. */
  #noteLoss(session: string, error: unknown): void {
    if (this.#signal.aborted || isAnswered(error)) return;
    this.#deps.progress.hindered(this.#lane, describeError(error));
    if (this.#lostWith !== session) this.#losses += 1;
    this.#lostWith = session;
  }

  /** Takes the answers that are there. After one that is not a yes, the others that are under way are waited for, and sending begins anew. */
  async #settle(online: OnlineLink): Promise<void> {
    let failed: Ended | undefined;
    while (this.#ended.length > 0) {
      const answers = this.#ended.splice(0);
      let watermark = 0;
      for (const ended of answers) {
        // what central has beyond this batch may be of another disk
        if (ended.result.kind === "acknowledged")
          watermark = Math.max(watermark, Math.min(ended.result.watermark, lastOf(ended.batch)));
        else if (!failed || ended.batch.frames[0].first < failed.batch.frames[0].first) failed = ended;
      }
      if (watermark > 0) await this.#acknowledge(answers, watermark);
      if (!failed) return;
      await this.#drain();
    }
    if (failed) await this.#judge(failed, online);
  }

  async #acknowledge(answers: readonly Ended[], watermark: number): Promise<void> {
    const epoch = answers.find(({ result }) => result.kind === "acknowledged")?.batch.epoch ?? "";
    await this.#deps.queue.commit({ acknowledged: { lane: this.#lane, epoch, watermark }, control: true });
    this.#deps.progress.moved(this.#lane);
    this.#delays = backoff({ baseMs: 300, capMs: 10_000 });
    this.#losses = 0;
    this.#forks = 0;
    this.#forkDelays = backoff(forksAgain);
  }

  async #judge({ batch, result }: Ended, online: OnlineLink): Promise<void> {
    const { queue, session, clock, log, progress } = this.#deps;
    const lane = this.#lane;
    const { acknowledged } = await queue.position(lane);
    this.#sent = Math.min(this.#sent, acknowledged);
    await queue.pin(lane, 0);
    switch (result.kind) {
      case "acknowledged":
        return;
      case "gap":
        log.warn(
          { event: "uplink.batch.gap", lane, watermark: result.watermark, acknowledged },
          "central misses messages before this batch",
        );
        progress.hindered(lane, `central has everything up to ${result.watermark} and misses what comes next`);
        this.#sent = Math.min(this.#sent, result.watermark);
        return clock.sleep(gapMs, this.#signal);
      case "fork":
        log.error(
          { event: "uplink.lane.forked", lane, epoch: batch.epoch, watermark: result.watermark },
          "central holds other messages under the same sequences: a new epoch begins",
        );
        this.#forks += 1;
        if (this.#forks > 1) {
          progress.hindered(lane, `central answers every new epoch with a fork, ${this.#forks} times by now`);
          await this.#pause(this.#forkDelays.next().value, online);
          if (!session.isCurrent(online.session)) return;
        }
        await queue.openEpoch(lane);
        return session.renew(online.session);
      case "too-large":
        return this.#size.tooLarge(batch.frames.length);
      case "slow-down":
        progress.hindered(lane, result.reason);
        return this.#pause(result.afterMs, online);
      case "refused":
        log.warn(
          { event: "uplink.batch.refused", lane, reason: result.reason, firstSequence: batch.frames[0].first },
          "central refused a batch, it is kept",
        );
        progress.hindered(lane, result.reason);
        return clock.sleep(this.#delays.next().value, this.#signal);
      case "failed":
        this.#size.lost();
        throw result.error;
    }
  }

  /** Waits for so long, or until the session ends: a new one may stand before another central. */
  async #pause(ms: number, online: OnlineLink): Promise<void> {
    const { clock, session } = this.#deps;
    const ended = new AbortController();
    const stopListening = session.onChange(() => session.isCurrent(online.session) || ended.abort());
    await clock.sleep(ms, AbortSignal.any([this.#signal, ended.signal]));
    stopListening();
  }

  /** Waits until nothing of this lane is under way. */
  async #drain(): Promise<void> {
    const never = new AbortController().signal;
    while (this.#underWay.size > 0) await this.#wake.wait(never);
  }
}
