import { z } from "zod";
import { decimalUnit } from "../quantity.ts";
import { gtin, identifier, instant, lineNo, text } from "./common.ts";
import { messageType } from "./message-type.ts";

/**
 * Master data of an item, whole in each revision. One of `unitCode` is exactly `numerator`/`denominator` of the base unit; who converts rounds
 * once, half to even where the conversion says nothing else.
 */
export const itemPublished = messageType({
  type: "mfg.item.published.v1",
  lane: "bulk",
  purpose: "An item was made, or what is known of it changed",
  state: true,
  data: z.strictObject({
    itemId: identifier,
    revision: z.int().min(0),
    /** As people write it on labels; not necessarily unique. */
    code: identifier,
    gtin: gtin.optional(),
    name: text,
    baseUnit: decimalUnit,
    conversions: z
      .array(
        z.strictObject({
          lineNo,
          /** UN/ECE Rec 20 code, also of packages whose content only the item knows, such as BX. */
          unitCode: z.string().min(1).max(16),
          numerator: z.int().min(1),
          denominator: z.int().min(1),
          rounding: z.enum(["half-even", "half-up", "up", "down"]).optional(),
        }),
      )
      .max(100),
    tracking: z.enum(["none", "lot", "serial"]),
    shelfLifeDays: z.int().min(0).optional(),
    status: z.enum(["active", "archived"]),
    effectiveFrom: instant.optional(),
  }),
  subject: (data) => `item/${data.itemId}`,
  key: (data) => data.itemId,
  idempotencyKey: (data) => [data.itemId, data.revision],
});
