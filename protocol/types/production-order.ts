import { z } from "zod";
import { quantity } from "../quantity.ts";
import { identifier, instant, lineNo, text } from "./common.ts";
import { messageType } from "./message-type.ts";

/** An order may be made: what, how much, of what, until when. `moId` never changes; `orderName` may (a backorder renames it). */
export const productionOrderReleased = messageType({
  type: "mfg.production-order.released.v1",
  lane: "transaction",
  purpose: "An order was released to its plant, or its released content changed",
  data: z.strictObject({
    moId: identifier,
    orderName: identifier,
    /** Rises by one whenever item, quantity, need date, priority, components or operations change. */
    revision: z.int().min(1),
    item: identifier,
    quantity,
    warehouse: identifier,
    needBy: instant.optional(),
    priority: z.int().min(0).max(9),
    components: z
      .array(
        z.strictObject({ lineNo, item: identifier, quantity, operation: z.int().optional(), location: identifier.optional() }),
      )
      .max(1000),
    operations: z
      .array(z.strictObject({ seq: z.int(), workCentre: identifier, minutes: z.number().min(0), name: text.optional() }))
      .max(200),
    bomRevision: z.string().max(64).optional(),
    routingRevision: z.string().max(64).optional(),
    targetLot: identifier.optional(),
  }),
  subject: (data) => `production-order/${data.moId}`,
  key: (data) => data.moId,
  idempotencyKey: (data) => [data.moId, data.revision],
  orders: (data) => [data.moId],
  orderName: (data) => data.orderName,
});
