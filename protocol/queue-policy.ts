import { z } from "zod";
import { duration } from "./base/duration.ts";
import { byteSize } from "./base/size.ts";

const weight = z.int().min(1).max(100).meta({ description: "Share of the link while several lanes have something to send." });
const maxBytes = byteSize.meta({ description: "What may lie on disk, compressed." });

/** Business facts and batch data are never discarded: past the budget they are refused at their source. */
const keptLane = (bytes: string, share: number) =>
  z.strictObject({ maxBytes: maxBytes.default(bytes), weight: weight.default(share) }).prefault({});

/** Samples past the budget: the oldest are discarded, and the range is recorded (P2). */
const telemetryLane = z
  .strictObject({
    maxBytes: maxBytes.default("2GiB"),
    maxMessages: z.int().min(1000).optional(),
    maxAge: duration.optional().meta({ description: "By running time, not by the wall clock (P10)." }),
    weight: weight.default(1),
  })
  .prefault({});

/** How a gateway keeps what waits: budgets per lane, shares of the link, encryption. Changes apply live. */
export const queuePolicy = z.strictObject({
  lanes: z.strictObject({ transaction: keptLane("8GiB", 8), bulk: keptLane("2GiB", 2), telemetry: telemetryLane }).prefault({}),
  /** AES-256-GCM of messages at rest; a new data key after `rotateEvery`, older ones stay for what they wrote. */
  encryption: z.strictObject({ atRest: z.boolean().default(false), rotateEvery: duration.default("90d") }).prefault({}),
});
export type QueuePolicy = z.infer<typeof queuePolicy>;

export const defaultQueuePolicy: QueuePolicy = queuePolicy.parse({});
