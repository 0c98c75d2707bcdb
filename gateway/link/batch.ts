import { batchHeaders, batchLimits, type Lane, PlantgateError, watermarkAnswer } from "../../protocol/index.ts";
import type { StoredFrame } from "../queue/change.ts";
import type { Session } from "./session.ts";

/** Frames of one lane that go together. */
export interface Batch {
  readonly lane: Lane;
  readonly epoch: string;
  readonly frames: readonly [StoredFrame, ...StoredFrame[]];
}

/** What follows from central's answer to a batch. */
export type BatchResult =
  | { readonly kind: "acknowledged"; readonly watermark: number }
  | { readonly kind: "gap" | "fork"; readonly watermark: number }
  | { readonly kind: "too-large" }
  | { readonly kind: "slow-down"; readonly afterMs: number; readonly reason: string }
  | { readonly kind: "refused"; readonly reason: string };

const defaultBusyMs = 2000;
const unknownAgeMs = 30 * 86_400_000;

export function lastOf({ frames }: Batch): number {
  const last = frames.at(-1) ?? frames[0];
  return last.first + last.count - 1;
}

export function bytesOf({ frames }: Batch): number {
  return frames.reduce((sum, frame) => sum + frame.events.byteLength, 0);
}

/** As many of the frames as one batch takes: its header names them, and each begins where the one before ends. One always goes. */
export function fitting(frames: readonly StoredFrame[], maxMessages = Number.POSITIVE_INFINITY): readonly StoredFrame[] {
  let length = 0;
  let bytes = 0;
  let messages = 0;
  const taken = frames.findIndex((frame, index) => {
    length += entryOf(frame).length + 1;
    bytes += frame.events.byteLength;
    messages += frame.count;
    const before = frames[index - 1];
    const follows = before === undefined || before.first + before.count === frame.first;
    const isTooMuch = length > batchLimits.framesHeaderBytes || bytes > batchLimits.compressedBytes || messages > maxMessages;
    return !follows || isTooMuch;
  });
  return taken === -1 ? frames : frames.slice(0, Math.max(1, taken));
}

/** @throws PlantgateError what the session throws; PEER_UNREACHABLE for an answer that is none of central's */
export async function sendBatch(
  { site, session, sessionId }: { readonly site: string; readonly session: Session; readonly sessionId: string },
  batch: Batch,
  silenceMs: number,
  signal: AbortSignal,
): Promise<BatchResult> {
  const { lane, epoch, frames } = batch;
  const [first] = frames;
  const answer = await session.send(
    sessionId,
    {
      method: "POST",
      path: `/v1/sites/${encodeURIComponent(site)}/lanes/${lane}/batches`,
      headers: {
        "content-type": "application/x-ndjson",
        "content-encoding": "zstd",
        [batchHeaders.session]: sessionId,
        [batchHeaders.epoch]: epoch,
        [batchHeaders.firstSequence]: String(first.first),
        [batchHeaders.count]: String(frames.reduce((sum, frame) => sum + frame.count, 0)),
        [batchHeaders.chain]: (frames.at(-1) ?? first).chain,
        [batchHeaders.frames]: frames.map(entryOf).join(","),
        // what waited through a restart of the machine is older than anybody can tell
        [batchHeaders.age]: String(Math.max(0, Math.round(first.ageMs ?? unknownAgeMs))),
      },
      body: Buffer.concat(frames.map((frame) => frame.events)),
      silenceMs,
    },
    signal,
  );
  if (answer.kind === "ok") {
    const parsed = watermarkAnswer.safeParse(answer.body);
    if (!parsed.success) throw new PlantgateError("PEER_UNREACHABLE", "central's answer to a batch was not understood");
    return { kind: "acknowledged", watermark: parsed.data.watermark };
  }
  const { code, watermark, title, detail } = answer.problem;
  const reason = `central says: ${detail ?? title}`;
  if ((code === "gap" || code === "fork") && watermark !== undefined) return { kind: code, watermark };
  // one frame always fits: whatever is wrong with many is found by fewer
  if ((code === "too-large" || code === "invalid") && frames.length > 1) return { kind: "too-large" };
  if (code === "busy" || code === "limited") return { kind: "slow-down", afterMs: answer.retryAfterMs ?? defaultBusyMs, reason };
  return { kind: "refused", reason };
}

function entryOf({ count, events, hole, chain }: StoredFrame): string {
  return hole === undefined ? `${count}/${events.byteLength}` : `${count}~${hole}~${chain}`;
}
