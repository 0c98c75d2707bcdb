import { z } from "zod";
import { byteSize, duration } from "../measure.ts";
import { queuePolicy } from "../queue-policy.ts";
import type { lanes } from "../types/message-type.ts";
import { partly } from "./partial.ts";

const linger = (lane: (typeof lanes)[number], wait: string) =>
  duration.default(wait).meta({ description: `How long a message of lane ${lane} waits for company before it is sent.` });

/** What a gateway may ask of the way to central. Changes apply live. */
export const linkPolicy = z
  .strictObject({
    bytesPerSecond: byteSize.optional().meta({
      description: "What messages may take of the way to central, as they are sent (compressed), in one second.",
      unit: "bytes per second",
      absent: "no limit",
    }),
    batch: z
      .strictObject({
        bytes: byteSize.default("1MiB").meta({ description: "What one batch holds at most, compressed; one frame always goes." }),
        messages: z.int().min(1).max(1_000_000).optional().meta({
          description: "How many messages one batch holds at most; a frame goes whole.",
          unit: "messages",
          absent: "no limit",
        }),
      })
      .meta({ description: "What goes together in one batch." })
      .prefault({}),
    linger: z
      .strictObject({
        transaction: linger("transaction", "0ms"),
        bulk: linger("bulk", "200ms"),
        telemetry: linger("telemetry", "250ms"),
      })
      .meta({ description: "How long the first message after a silence waits for company." })
      .prefault({}),
  })
  .meta({ description: "Limits of the way to central." });

/** The gateway's own key, by which central knows it. */
export const keyPolicy = z
  .strictObject({
    rotateEvery: duration.default("90d").meta({ description: "The gateway makes itself a new key when this one is so old." }),
    overlap: duration.default("1h").meta({ description: "For how long the old key is taken beside the new one." }),
  })
  .meta({ description: "When the gateway's own key is replaced." });
export type KeyPolicy = z.infer<typeof keyPolicy>;

/** What a gateway watches after it put a new configuration into effect; what does not do well it gives back by itself. */
export const watchPolicy = z
  .strictObject({
    for: duration.default("30s").meta({ description: "For how long it is watched." }),
    maxDeadLetterShare: z.number().min(0).max(1).default(0.05).meta({
      description: "By how much the share of inputs that become dead letters may rise over what it was before (0 to 1).",
      unit: "share",
    }),
  })
  .meta({ description: "What a gateway watches after a new configuration; what does not do well it gives back by itself." });

export const logLevel = z.enum(["debug", "info", "warn", "error"]).meta({
  description: "What the gateway logs. debug tells of every message.",
  absent: "the gateway's own setting",
});

/** Everything that a gateway runs by beside its template, with defaults. Each value comes from one document: {@link effectiveSettings}. */
export const settings = z.strictObject({
  queue: queuePolicy,
  link: linkPolicy,
  keys: keyPolicy,
  watch: watchPolicy,
  logLevel: logLevel.optional(),
});
export type Settings = z.infer<typeof settings>;

/** What one document says of them. */
export const saidSettings = partly(settings);
