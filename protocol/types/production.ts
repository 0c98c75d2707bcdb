import { z } from "zod";
import { quantity } from "../quantity.ts";
import { identifier, instant, lineNo, reason } from "./common.ts";
import { messageType } from "./message-type.ts";

/** Material went into an order (ISA-95 MaterialUse Consumed). A correction is a reversal, never an edit. */
export const materialConsumed = messageType({
  type: "mfg.material.consumed.v1",
  lane: "transaction",
  purpose: "Material was consumed by an order",
  data: z.strictObject({
    txnId: identifier,
    lineNo,
    moId: identifier,
    opSeq: z.int().optional(),
    item: identifier,
    lot: identifier.optional(),
    qty: quantity,
    use: z.literal("Consumed"),
    supplyArea: identifier.optional(),
    backflush: z.boolean().optional(),
    consumedAt: instant,
    reversalOf: identifier.optional(),
  }),
  subject: (data) => `production-order/${data.moId}`,
  key: (data) => data.moId,
  idempotencyKey: (data) => [data.txnId, data.lineNo],
  orders: (data) => [data.moId],
  time: (data) => data.consumedAt,
});

/** Good pieces left the line. `final`: no more will come for this order. `genealogy`: the lots that went in. */
export const finishedGoodsConfirmed = messageType({
  type: "mfg.finished-goods.confirmed.v1",
  lane: "transaction",
  purpose: "Good quantity was reported for an order",
  data: z.strictObject({
    txnId: identifier,
    moId: identifier,
    opSeq: z.int().optional(),
    item: identifier,
    lot: identifier.optional(),
    serials: z.array(identifier).max(1000).optional(),
    goodQty: quantity,
    final: z.boolean(),
    workUnit: identifier.optional(),
    toLocation: identifier.optional(),
    genealogy: z.array(z.strictObject({ lineNo, item: identifier, lot: identifier.optional(), qty: quantity })).max(1000),
    confirmedAt: instant,
    reversalOf: identifier.optional(),
  }),
  subject: (data) => `production-order/${data.moId}`,
  key: (data) => data.moId,
  idempotencyKey: (data) => [data.txnId],
  orders: (data) => [data.moId],
  time: (data) => data.confirmedAt,
});

/** Pieces or material were lost. */
export const scrapReported = messageType({
  type: "mfg.scrap.reported.v1",
  lane: "transaction",
  purpose: "Material or product was scrapped",
  data: z.strictObject({
    txnId: identifier,
    moId: identifier,
    opSeq: z.int().optional(),
    item: identifier,
    lot: identifier.optional(),
    qty: quantity,
    reason,
    workUnit: identifier.optional(),
    location: identifier.optional(),
    reportedAt: instant,
  }),
  subject: (data) => `production-order/${data.moId}`,
  key: (data) => data.moId,
  idempotencyKey: (data) => [data.txnId],
  orders: (data) => [data.moId],
  time: (data) => data.reportedAt,
});
