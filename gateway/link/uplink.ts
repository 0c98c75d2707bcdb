import {
  backoff,
  batchHeaders,
  batchLimits,
  type Clock,
  type Lane,
  PlantgateError,
  watermarkAnswer,
} from "../../protocol/index.ts";
import { Wake } from "../delivery/wake.ts";
import type { LanePosition, StoredFrame } from "../queue/change.ts";
import type { Queue } from "../queue/queue.ts";
import type { Logger } from "../telemetry/logger.ts";
import type { Session } from "./session.ts";

export interface UplinkDeps {
  readonly site: string;
  readonly queue: Queue;
  readonly session: Session;
  readonly clock: Clock;
  readonly log: Logger;
}

/** Samples wait this long for company; transactions never wait. */
const lingerMs: Readonly<Record<Lane, number>> = { transaction: 0, bulk: 200, telemetry: 250 };

/** What follows from central's answer to a batch. */
type BatchResult =
  | { readonly kind: "acknowledged"; readonly watermark: number }
  | { readonly kind: "gap" | "fork"; readonly watermark: number }
  | { readonly kind: "tooLarge" }
  | { readonly kind: "busy"; readonly afterMs: number };

/**
 * Drains one lane to central: whole frames as they lie on disk, in order, one batch in flight. A frame leaves the disk only after
 * central's watermark passed it. Each lane has its own loop, so live transactions never wait behind samples (P7).
 */
export async function runUplink(deps: UplinkDeps, lane: Lane, signal: AbortSignal): Promise<void> {
  const { queue, session, clock, log } = deps;
  const wake = new Wake();
  const stopListening = queue.onAppended(lane, () => wake.ring());
  let delays = backoff({ baseMs: 300, capMs: 10_000 });
  let frameLimit: number = batchLimits.frames;
  try {
    let { acknowledged } = await queue.position(lane);
    while (!signal.aborted) {
      const online = await session.online(signal);
      if (!online) return;
      const frames = await queue.frames(lane, acknowledged, { frames: frameLimit, bytes: batchLimits.compressedBytes / 2 });
      if (frames.length === 0) {
        await wake.wait(signal);
        if (lingerMs[lane] > 0) await clock.sleep(lingerMs[lane], signal);
        continue;
      }
      try {
        const depth = await queue.position(lane);
        const result = await sendBatch(deps, lane, online.session, depth.epoch, withinEpoch(frames, depth), signal);
        switch (result.kind) {
          case "acknowledged":
            acknowledged = Math.max(acknowledged, result.watermark);
            await queue.commit({ acknowledged: { lane, epoch: depth.epoch, watermark: result.watermark } });
            frameLimit = Math.min(batchLimits.frames, frameLimit * 2);
            break;
          case "gap":
            if (await isLost(queue, lane, result.watermark)) {
              const range = `${result.watermark + 1} to ${acknowledged}`;
              log.error(
                { event: "uplink.range.lostByReceiver", lane, epoch: depth.epoch, range },
                "central lost messages that it had acknowledged and that are deleted here: a new epoch begins behind them",
              );
              await queue.openEpoch(lane);
              session.renew(online.session);
              break;
            }
            // central was set back behind what still lies here, or a predecessor is in flight
            log.warn(
              { event: "uplink.batch.gap", lane, watermark: result.watermark, acknowledged },
              "central misses messages before this batch",
            );
            acknowledged = Math.min(acknowledged, result.watermark);
            await clock.sleep(1000, signal);
            break;
          case "fork":
            log.error(
              { event: "uplink.lane.forked", lane, epoch: depth.epoch, watermark: result.watermark },
              "central holds other messages under the same sequences: a new epoch begins",
            );
            await queue.openEpoch(lane);
            session.renew(online.session);
            break;
          case "tooLarge":
            frameLimit = Math.max(1, Math.floor(frames.length / 2));
            break;
          case "busy":
            await clock.sleep(result.afterMs, signal);
            break;
        }
        delays = backoff({ baseMs: 300, capMs: 10_000 });
      } catch (error) {
        if (signal.aborted) return;
        if (!(error instanceof PlantgateError) || error.disposition === "crash") throw error;
        await clock.sleep(delays.next().value, signal);
      }
    }
  } finally {
    stopListening();
  }
}

async function sendBatch(
  deps: UplinkDeps,
  lane: Lane,
  session: string,
  epoch: string,
  frames: readonly StoredFrame[],
  signal: AbortSignal,
): Promise<BatchResult> {
  const [first, last] = [frames[0], frames.at(-1)];
  if (!first || !last) throw new PlantgateError("INVARIANT", "a batch without frames");
  const answer = await deps.session.send(
    session,
    {
      method: "POST",
      path: `/v1/sites/${encodeURIComponent(deps.site)}/lanes/${lane}/batches`,
      headers: {
        "content-type": "application/x-ndjson",
        "content-encoding": "zstd",
        [batchHeaders.session]: session,
        [batchHeaders.epoch]: epoch,
        [batchHeaders.firstSequence]: String(first.first),
        [batchHeaders.count]: String(frames.reduce((sum, frame) => sum + frame.count, 0)),
        [batchHeaders.chain]: last.chain,
        [batchHeaders.frames]: frames.map((frame) => `${frame.count}/${frame.events.byteLength}`).join(","),
      },
      body: Buffer.concat(frames.map((frame) => frame.events)),
      timeoutMs: 20_000,
    },
    signal,
  );
  if (answer.kind === "ok") {
    const parsed = watermarkAnswer.safeParse(answer.body);
    if (!parsed.success) throw new PlantgateError("PEER_UNREACHABLE", "central's answer to a batch was not understood");
    return { kind: "acknowledged", watermark: parsed.data.watermark };
  }
  const { code, watermark, title, detail } = answer.problem;
  if ((code === "gap" || code === "fork") && watermark !== undefined) return { kind: code, watermark };
  deps.log.warn(
    { event: "uplink.batch.refused", lane, code, detail, firstSequence: first.first, frames: frames.length },
    "central refused a batch, it is kept",
  );
  // one frame always fits: whatever is wrong with many is found by fewer
  if ((code === "too-large" || code === "invalid") && frames.length > 1) return { kind: "tooLarge" };
  if (code === "busy") return { kind: "busy", afterMs: answer.retryAfterMs ?? 2000 };
  throw new PlantgateError("PEER_BUSY", detail ?? title, { context: { code, lane } });
}

/** A batch never spans two epochs. */
function withinEpoch(frames: readonly StoredFrame[], depth: LanePosition): readonly StoredFrame[] {
  return frames[0] && frames[0].first >= depth.epochFirst ? frames : frames.filter((frame) => frame.first < depth.epochFirst);
}

/** Whether what central misses next was deleted here, as central had acknowledged it before it was set back. */
async function isLost(queue: Queue, lane: Lane, watermark: number): Promise<boolean> {
  const [next] = await queue.frames(lane, watermark, { frames: 1, bytes: 1 });
  return next === undefined || next.first > watermark + 1;
}
