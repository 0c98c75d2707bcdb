import { z } from "zod";
import { identifier, instant, text } from "./common.ts";
import { messageType } from "./message-type.ts";

/**
 * How the delivery of one message to one local destination ended. `delivered`: the transport took it. `accepted`: the receiver said yes.
 * `refused`: it said no, the message is a dead letter. `superseded`: a newer state of the same key was there before it was sent.
 * `expired`: it was too late, so it was not carried out; a dead letter keeps it. Not an end yet, a person decides: `unknown`, sent, and
 * nobody can tell whether it arrived; `parked`, its attempts are used up.
 */
export const deliveryCompleted = messageType({
  type: "mfg.delivery.completed.v1",
  lane: "transaction",
  purpose: "A message reached, or finally did not reach, a local destination",
  data: z.strictObject({
    messageId: identifier,
    messageType: identifier,
    connector: identifier,
    destination: text,
    outcome: z.enum(["delivered", "accepted", "refused", "superseded", "expired", "unknown", "parked"]),
    /** With `superseded`: the message that took its place. */
    supersededBy: identifier.optional(),
    attempts: z.int().min(0),
    startedAt: instant,
    completedAt: instant,
    detail: text.optional(),
    /** The production orders of the message, so that its way is found by its order. */
    orders: z.array(identifier).max(1000),
  }),
  subject: (data) => `message/${data.messageId}`,
  key: (data) => `${data.connector}/${data.messageId}`,
  idempotencyKey: (data) => [data.messageId, data.connector, data.destination, data.completedAt],
  orders: (data) => data.orders,
  time: (data) => data.completedAt,
});
