import { z } from "zod";
import { identifier, instant } from "./common.ts";
import { messageType } from "./message-type.ts";

/**
 * One sample. `value`: numbers as numbers, 64-bit integers as decimal strings (OPC UA Int64, UInt64), NaN and infinities as null.
 * `statusCode`: the OPC UA status whole (UInt32); `quality` is derived from its top two bits.
 */
export const equipmentSampled = messageType({
  type: "mfg.equipment.sampled.v1",
  lane: "telemetry",
  purpose: "A value was sampled from a machine or device",
  data: z.strictObject({
    /** Connector, or line and device: who measured. */
    equipment: identifier,
    item: identifier,
    value: z.union([z.number(), z.string().max(4096), z.boolean(), z.null()]),
    dataType: z.string().max(32).optional(),
    /** UN/ECE Rec 20 code of the unit, such as CEL. */
    unitCode: z.string().max(16).optional(),
    statusCode: z.int().min(0).max(0xffffffff).optional(),
    quality: z.enum(["good", "uncertain", "bad"]),
    /** The source's own clock; kept, never trusted for order (P10). */
    sourceTimestamp: instant,
    serverTimestamp: instant.optional(),
    /** `nsu=URI;s=…`, never a namespace index. */
    node: z.string().max(512).optional(),
    /** The server dropped older values of this item before this one (OPC 10000-4, 7.39.1, Overflow). */
    overflow: z.boolean().optional(),
  }),
  subject: (data) => `equipment/${data.equipment}`,
  key: (data) => `${data.equipment}/${data.item}`,
  time: (data) => data.sourceTimestamp,
});

/**
 * Samples were not handed over between two instants of the source's clock: the machine's server or the gateway was away,
 * or the server's queue overflowed. What was never handed over cannot be fetched again; this message says so.
 */
export const samplingInterrupted = messageType({
  type: "mfg.equipment.sampling-interrupted.v1",
  lane: "transaction",
  purpose: "Samples of an item were not handed over for a while",
  data: z.strictObject({
    equipment: identifier,
    item: identifier,
    /** Source timestamp of the last sample on disk, and of the first one after the gap; both are themselves recorded. */
    after: instant,
    until: instant,
    cause: z.enum(["gateway-restarted", "session-lost", "queue-overflow", "sequence-gap"]),
  }),
  subject: (data) => `equipment/${data.equipment}`,
  key: (data) => `${data.equipment}/${data.item}`,
  idempotencyKey: (data) => [data.equipment, data.item, data.after, data.until],
});
