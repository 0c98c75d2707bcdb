import { z } from "zod";
import { quantity } from "../quantity.ts";
import { identifier, instant, lineNo, sscc, text } from "./common.ts";
import { messageType } from "./message-type.ts";

/** One picked line. */
export const pickConfirmed = messageType({
  type: "mfg.pick.confirmed.v1",
  lane: "transaction",
  purpose: "Material was picked for an order",
  data: z.strictObject({
    txnId: identifier,
    taskId: identifier,
    stagingId: identifier.optional(),
    moId: identifier,
    lineNo,
    item: identifier,
    lot: identifier.optional(),
    serial: identifier.optional(),
    fromBin: identifier.optional(),
    toSupplyArea: identifier.optional(),
    qtyPicked: quantity,
    qtyRequested: quantity.optional(),
    sscc: sscc.optional(),
    operator: identifier.optional(),
    pickedAt: instant,
  }),
  subject: (data) => `production-order/${data.moId}`,
  key: (data) => data.moId,
  idempotencyKey: (data) => [data.txnId, data.lineNo],
  orders: (data) => [data.moId],
  time: (data) => data.pickedAt,
});

/** The warehouse cannot bring what the order needs. */
export const shortageReported = messageType({
  type: "mfg.shortage.reported.v1",
  lane: "transaction",
  purpose: "Material is missing for an order",
  data: z.strictObject({
    shortageId: identifier,
    taskId: identifier.optional(),
    moId: identifier,
    item: identifier,
    qtyShort: quantity,
    cause: text,
    reportedAt: instant,
    expectedAt: instant.optional(),
    substituteAllowed: z.boolean().optional(),
  }),
  subject: (data) => `production-order/${data.moId}`,
  key: (data) => data.moId,
  idempotencyKey: (data) => [data.shortageId],
  orders: (data) => [data.moId],
  time: (data) => data.reportedAt,
});
