import { z } from "zod";
import { identifier, instant } from "./common.ts";
import { messageType } from "./message-type.ts";

/** The plan of one work centre in one revision. */
export const scheduleRevised = messageType({
  type: "mfg.schedule.revised.v1",
  lane: "transaction",
  purpose: "The plan of a work centre changed",
  state: true,
  data: z.strictObject({
    scheduleId: identifier,
    revision: z.int().min(0),
    workCentre: identifier,
    frozenUntil: instant.optional(),
    basedOn: instant.optional(),
    entries: z
      .array(
        z.strictObject({
          moId: identifier,
          opSeq: z.int(),
          workCentre: identifier,
          start: instant,
          end: instant,
          sequenceNo: z.int(),
          setupMin: z.number().min(0).optional(),
        }),
      )
      .max(5000),
    supersedes: z.int().optional(),
  }),
  subject: (data) => `work-centre/${data.workCentre}`,
  key: (data) => data.workCentre,
  idempotencyKey: (data) => [data.scheduleId, data.workCentre, data.revision],
  orders: (data) => [...new Set(data.entries.map((entry) => entry.moId))],
});
