import { z } from "zod";
import { byteSize, duration } from "./measure.ts";
import { defaultQueuePolicy } from "./queue-defaults.ts";

const { lanes, encryption } = defaultQueuePolicy;

const weight = z.int().min(1).max(100).meta({ description: "Share of the link while several lanes have something to send." });
const maxBytes = byteSize.meta({ description: "What may lie on disk, compressed." });

/** Business facts and batch data are never discarded: past the budget they are refused at their source. */
const keptLane = (lane: { maxBytes: string; weight: number }) =>
  z.strictObject({ maxBytes: maxBytes.default(lane.maxBytes), weight: weight.default(lane.weight) }).prefault({});

/** Samples past the budget: the oldest are discarded, and the range is recorded (P2). */
const telemetryLane = z
  .strictObject({
    maxBytes: maxBytes.default(lanes.telemetry.maxBytes),
    maxMessages: z.int().min(1000).optional(),
    maxAge: duration.optional().meta({ description: "By running time, not by the wall clock (P10)." }),
    weight: weight.default(lanes.telemetry.weight),
  })
  .prefault({});

/** How a gateway keeps what waits: budgets per lane, shares of the link, encryption. Changes apply live. */
export const queuePolicy = z.strictObject({
  lanes: z
    .strictObject({ transaction: keptLane(lanes.transaction), bulk: keptLane(lanes.bulk), telemetry: telemetryLane })
    .prefault({}),
  /** AES-256-GCM of messages at rest; a new data key after `rotateEvery`, older ones stay for what they wrote. */
  encryption: z
    .strictObject({
      atRest: z.boolean().default(encryption.atRest),
      rotateEvery: duration.default(encryption.rotateEvery),
    })
    .prefault({}),
});
export type QueuePolicy = z.infer<typeof queuePolicy>;
