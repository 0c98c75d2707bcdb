import { z } from "zod";
import { laneName } from "../../../protocol/index.ts";
import { instantText } from "./common.ts";

/** What is lost of an epoch after which its lane went on under one that names none before it. */
export const laneLossRange = z
  .object({
    first: z.int().meta({ description: "Behind the last number that is recorded." }),
    last: z.int().nullable().meta({
      description: "The last number that its gateway spoke of; below `first`: all of that is recorded. Null: it spoke of none.",
    }),
    count: z.int().nullable().meta({ description: "So many are known to be lost; null: nobody can tell." }),
    saidAt: instantText
      .nullable()
      .meta({ description: "When the report came that `last` is from. What was taken in after it is not known." }),
    endedAt: instantText.meta({ description: "When the next epoch began." }),
    summary: z.string().meta({ description: "For a person." }),
  })
  .meta({ id: "LossRange" });
const laneLoss = laneLossRange.extend({ lane: laneName, epoch: z.string() }).meta({ id: "LaneLoss" });
export type LaneLoss = z.infer<typeof laneLoss>;

/** `GET /v1/sites/{site}/losses` */
export const lossesAnswer = z.object({
  site: z.string(),
  lanes: z.array(laneLoss).meta({ description: "The newest first, a hundred at most." }),
  downlink: z.object({ upTo: z.int(), at: instantText }).nullable().meta({
    description:
      "Up to which number the last gateway that was lost had acknowledged what was for the site, and when another one began.",
  }),
});
export type LossesAnswer = z.infer<typeof lossesAnswer>;

const destination = { connector: z.string(), destination: z.string() };
const report = z.object({ ...destination, outcome: z.string(), at: z.string() });
const unconfirmedMessage = z
  .object({
    sequence: z.int().meta({ description: "Of the downlink." }),
    from: z.string().meta({ description: "The site that it came from." }),
    acknowledgedAt: instantText,
    message: z
      .object({ id: z.string(), type: z.string(), key: z.string().nullable(), time: z.string() })
      .nullable()
      .meta({ description: "Null: it cannot be read from central's disk now." }),
    open: z
      .array(report)
      .meta({ description: "What was reported last where it was left to a person, `unknown` or `parked`; empty: nothing was." }),
    ended: z.array(report).meta({ description: "Deliveries of it that are over, as reported." }),
    unreported: z.array(z.object(destination)).nullable().meta({
      description:
        "Destinations that the site's flows name for it and that nothing was reported of. Null: none takes it now, so nobody can tell.",
    }),
  })
  .meta({ id: "UnconfirmedMessage" });
export type UnconfirmedMessage = z.infer<typeof unconfirmedMessage>;

/** `GET /v1/sites/{site}/losses/unconfirmed?before=` */
export const unconfirmedAnswer = z.object({
  site: z.string(),
  messages: z.array(unconfirmedMessage),
  next: z.int().nullable().meta({ description: "Give it as `before` to look further back; null: that was all." }),
});
export type UnconfirmedAnswer = z.infer<typeof unconfirmedAnswer>;

/** `POST /v1/sites/{site}/losses/send-again` */
export const sendAgainBody = z.object({
  sequences: z.array(z.int().min(1)).min(1).max(500),
  outOfOrder: z
    .boolean()
    .default(false)
    .meta({ description: "Also those behind which later messages of their key have gone, or wait: whoever says so has looked." }),
});
export const sentAgain = z.object({ site: z.string(), sent: z.int() });
