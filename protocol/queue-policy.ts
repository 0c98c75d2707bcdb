import { z } from "zod";
import { byteSize, duration } from "./measure.ts";
import { defaultQueuePolicy } from "./queue-defaults.ts";

const { lanes, encryption } = defaultQueuePolicy;

const weight = z.int().min(1).max(100).meta({ description: "Share of the link while several lanes have something to send." });
const maxBytes = byteSize.meta({ description: "What may lie on disk, compressed." });

/** Business facts and batch data are never discarded: past the budget they are refused at their source. */
const keptLane = (lane: { maxBytes: string; weight: number }) =>
  z
    .strictObject({ maxBytes: maxBytes.default(lane.maxBytes), weight: weight.default(lane.weight) })
    .meta({ description: "Never discarded: past the budget refused at its source." })
    .prefault({});

/** Samples past the budget: the oldest are discarded, and the range is recorded (P2). */
const telemetryLane = z
  .strictObject({
    maxBytes: maxBytes.default(lanes.telemetry.maxBytes),
    maxMessages: z.int().min(1000).optional().meta({
      description: "How many samples wait at most; past it the oldest are discarded.",
      unit: "messages",
      absent: "no limit",
    }),
    maxAge: duration.optional().meta({
      description: "How long a sample waits at most, by running time, not by the wall clock (P10).",
      absent: "no limit",
    }),
    weight: weight.default(lanes.telemetry.weight),
  })
  .meta({ description: "Past any of its budgets the oldest samples are discarded, and the range is recorded." })
  .prefault({});

/** How a gateway keeps what waits: budgets per lane, shares of the link, encryption. Changes apply live. */
export const queuePolicy = z
  .strictObject({
    lanes: z
      .strictObject({ transaction: keptLane(lanes.transaction), bulk: keptLane(lanes.bulk), telemetry: telemetryLane })
      .meta({ description: "Budgets of each lane, and its share of the link." })
      .prefault({}),
    /** AES-256-GCM of messages at rest; a new data key after `rotateEvery`, older ones stay for what they wrote. */
    encryption: z
      .strictObject({
        atRest: z
          .boolean()
          .default(encryption.atRest)
          .meta({ description: "Messages are encrypted on the gateway's disk (AES-256-GCM)." }),
        rotateEvery: duration
          .default(encryption.rotateEvery)
          .meta({ description: "A new data key is made when the newest is so old; older ones stay for what they sealed." }),
      })
      .meta({ description: "Encryption of what lies on the gateway's disk." })
      .prefault({}),
  })
  .meta({ description: "How a gateway keeps what waits." });
export type QueuePolicy = z.infer<typeof queuePolicy>;
