import { backoff, type Lane, PlantgateError } from "../../protocol/index.ts";
import type { LeftEpoch } from "../queue/left-epochs.ts";
import type { Queue } from "../queue/queue.ts";
import type { Logger } from "../telemetry/logger.ts";
import { type BatchResult, bytesOf, fitting, lastOf, sendBatch } from "./batch.ts";
import type { BatchSize } from "./batch-size.ts";
import type { LaneShares } from "./lane-shares.ts";
import type { LinkLimits } from "./link-limits.ts";
import type { LinkProgress } from "./progress.ts";
import type { OnlineLink, Session } from "./session.ts";

export interface LeftEpochDeps {
  readonly site: string;
  readonly queue: Queue;
  readonly session: Session;
  readonly shares: LaneShares;
  readonly limits: Pick<LinkLimits, "batch">;
  readonly progress: LinkProgress;
  readonly log: Logger;
}
interface Way {
  readonly lane: Lane;
  readonly online: OnlineLink;
  readonly size: BatchSize;
  /** Waits for so long, or until the session ends. */
  readonly pause: (ms: number) => Promise<void>;
}

/** After so many refusals an epoch waits for the next session: what follows it is not held up for ever. */
const refusals = 5;
const gapMs = 1000;

/**
 * Sends again what a restored central has less of than it had acknowledged, of epochs that the lane has left since: before anything of the lane's own epoch,
 * which follows them (P4, rule 6). One batch after the other. Returns once nothing of them is to come, or the session has ended.
 * @throws what `sendBatch` and the queue throw
 */
export async function sendLeftEpochs(deps: LeftEpochDeps, way: Way, signal: AbortSignal): Promise<void> {
  const { lane, online } = way;
  const told = new Map(online.watermarks.filter((each) => each.lane === lane).map(({ epoch, watermark }) => [epoch, watermark]));
  // most lanes have left none, and are told of their own epoch alone
  if (told.size < 2) return;
  for (const left of await deps.queue.leftEpochs()) {
    const watermark = told.get(left.epoch);
    if (left.lane !== lane || watermark === undefined || watermark >= left.last) continue;
    deps.log.warn(
      { event: "uplink.lane.goesBack", lane, epoch: left.epoch, watermark, acknowledged: left.last },
      "central has less of an earlier epoch than it acknowledged once: it gets it again",
    );
    await sendOne(deps, way, left, watermark, signal);
  }
}

async function sendOne(deps: LeftEpochDeps, way: Way, left: LeftEpoch, watermark: number, signal: AbortSignal): Promise<void> {
  const { queue, session, shares, progress, log, limits } = deps;
  const { lane, online, size, pause } = way;
  const { epoch, last } = left;
  const delays = backoff({ baseMs: 300, capMs: 10_000 });
  const isOver = (): boolean => signal.aborted || !session.isCurrent(online.session);
  let sent = watermark;
  let refused = 0;
  while (sent < last && !isOver()) {
    const { bytes, messages } = limits.batch;
    const read = { frames: size.limits.frames, bytes: Math.min(size.limits.bytes, bytes) };
    const [first, ...rest] = fitting((await queue.nextLeft(lane, epoch, sent, read)).frames, messages);
    if (!first) return queue.forgetLeft(lane, epoch);
    const batch = { lane, epoch, frames: [first, ...rest] as const };
    if (!(await shares.turn(lane, bytesOf(batch), signal))) return;
    let result: BatchResult;
    try {
      if (isOver()) return;
      result = await sendBatch({ site: deps.site, session, sessionId: online.session }, batch, size.silenceMs, signal);
    } finally {
      shares.done(lane);
    }
    switch (result.kind) {
      case "acknowledged":
        if (result.watermark <= sent) throw new PlantgateError("PEER_UNREACHABLE", "central acknowledges, and gets no further");
        sent = Math.min(result.watermark, lastOf(batch));
        progress.moved(lane);
        break;
      case "gap":
        sent = Math.min(sent, result.watermark);
        await pause(gapMs);
        break;
      case "fork":
        log.error(
          { event: "uplink.epoch.forked", lane, epoch, watermark: result.watermark, last },
          "central holds other messages under the sequences of an earlier epoch: what it has less of that stays as it is",
        );
        return queue.forgetLeft(lane, epoch);
      case "too-large":
        size.tooLarge(batch.frames.length);
        break;
      case "slow-down":
        progress.hindered(lane, result.reason);
        await pause(result.afterMs);
        break;
      case "refused":
        progress.hindered(lane, result.reason);
        refused += 1;
        if (refused < refusals) {
          await pause(delays.next().value);
          break;
        }
        log.error(
          { event: "uplink.epoch.refused", lane, epoch, reason: result.reason, sent, last },
          "central refuses what it has less of an earlier epoch: it is kept, and sent again in the next session",
        );
        return;
    }
  }
}
