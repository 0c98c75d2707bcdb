import { z } from "zod";
import { connectorReport, diskStates, holeReasons, laneName } from "../../protocol/index.ts";
import { laneLossRange } from "./api/losses.ts";

/** Shapes of central's read API, as the console and other clients get them (packaging/docs/protocol.md). Instants are UTC text. */

const list = <Item extends z.ZodType>(item: Item) => z.array(item).readonly();
const range = z.object({ first: z.int(), last: z.int() });

/**
 * What a site is doing, judged by central. `unknown`: silent for longer than its lease; never shown as connected (P11).
 * `stuck`: heard of, has a backlog, and its watermark has not moved for 20 s. `draining`: has a backlog that shrinks. `new`: never heard of.
 */
const siteCondition = z.enum(["new", "online", "draining", "stuck", "unknown", "fenced", "revoked"]);
export type SiteCondition = z.infer<typeof siteCondition>;

/** `GET /v1/exceptions?site=`: messages that nobody takes, and what else people are told of (packaging/docs/protocol.md). */
const exceptionView = z
  .object({
    site: z.string().nullable().meta({ description: "Null: central itself." }),
    kind: z.string(),
    severity: z.enum(["error", "warn"]),
    lane: z.string().nullable(),
    type: z.string().nullable(),
    target: z
      .string()
      .nullable()
      .meta({ description: "What it is about: the site that a message named, an epoch, a session, a hole's reason." }),
    reason: z.string().meta({ description: "One sentence for a person." }),
    count: z.int().meta({ description: "Messages, or how often." }),
    firstAt: z.string(),
    lastAt: z.string(),
    endedAt: z.string().nullable().meta({ description: "When what it warns of was over; null: it stands, or it is an event." }),
    stands: z.boolean().meta({ description: "It says how something is, and that is not over; false: it is over, or an event." }),
    lastPosition: z.int().nullable(),
    range: range.nullable().meta({ description: "The last range of sequences that it speaks of." }),
  })
  .meta({ id: "Exception" });
export type ExceptionView = z.infer<typeof exceptionView>;
export const exceptionsAnswer = z.object({ exceptions: list(exceptionView) });

const siteView = z
  .object({
    name: z.string(),
    labels: z.record(z.string(), z.string()).readonly(),
    condition: siteCondition,
    reason: z.string().meta({ description: 'One sentence for a person, such as "silent for 42 s; its lease ended 27 s ago".' }),
    lastHeardAt: z.string().nullable(),
    leaseEndsAt: z.string().nullable(),
    pid: z.int().nullable(),
    startedAt: z.string().nullable(),
    lanes: list(
      z.object({
        lane: laneName,
        epoch: z.string(),
        recorded: z.int(),
        waiting: z.int().meta({ description: "Waiting in the gateway, as it last said." }),
        waitingBytes: z.int(),
        lagSeconds: z
          .number()
          .nullable()
          .meta({ description: "From recording in the plant to now, of the oldest that waits; null when nothing waits." }),
        waitingForProjection: z.int().meta({ description: "At central: recorded, and not yet readable one by one." }),
        summary: z.string().meta({
          description:
            'What of the lane is recorded, what will never come, in one sentence: "1 to 48,211 recorded; nothing missing".',
        }),
        stalled: z.string().nullable().meta({ description: "Why nothing of the backlog gets through, in the gateway's words." }),
      }),
    ),
    deliveries: z
      .object({
        waiting: z.int(),
        unknown: z.int(),
        parked: z.int(),
        ofUnknownAge: z.int().meta({ description: "With a deadline that nobody can judge since the machine restarted." }),
        expired: z.int().nullable().meta({
          description: "Not carried out since the gateway started, as their deadline was over; null where it does not say.",
        }),
      })
      .nullable(),
    disk: z
      .object({ state: z.enum(diskStates), freeBytes: z.int() })
      .nullable()
      .meta({ description: "What the gateway's full disk refuses or discards, as it last said." }),
    alarms: list(exceptionView.pick({ kind: true, severity: true, reason: true, count: true, firstAt: true, lastAt: true })).meta(
      { description: "Alarms that stand, or were raised within the last day; worst and newest first." },
    ),
    deadLetters: z.int(),
    downlinkWaiting: z.int(),
    desiredRevision: z.int(),
    reportedRevision: z.int(),
    configurationState: z.enum(["none", "active", "refused", "applying", "watching", "rolled-back"]),
    configurationReason: z.string().nullable(),
    connectors: list(connectorReport),
    clockSkewMs: z
      .number()
      .nullable()
      .meta({ description: "Central's clock minus the gateway's, from its last report; includes the way." }),
  })
  .meta({ id: "Site" });
export type SiteView = z.infer<typeof siteView>;

export const sitesAnswer = z.object({
  sites: list(siteView),
  at: z.string(),
  rate: z
    .object({ transactionsPerSecond: z.number(), samplesPerSecond: z.number() })
    .meta({ description: "Messages recorded in the last whole second, of all sites." }),
});
export type SitesAnswer = z.infer<typeof sitesAnswer>;

/** One step on an order's way. */
const hop = z.object({
  at: z.string(),
  site: z.string().meta({ description: "Where: a site, a connector of it, or central." }),
  place: z.string(),
  kind: z.enum(["happened", "recorded", "central", "routed", "received", "delivered", "accepted", "refused", "unknown"]),
  what: z.string().meta({ description: 'For a person: "Released by the ERP, revision 1", "Press PRESS-7 took the order".' }),
});
export type Hop = z.infer<typeof hop>;

/** One message about an order, with its hops in time order. */
const orderMessage = z
  .object({
    id: z.string(),
    type: z.string(),
    site: z.string(),
    lane: laneName,
    epoch: z.string(),
    sequence: z.int(),
    time: z.string(),
    recordedtime: z.string(),
    summary: z.string(),
    data: z.unknown(),
    hops: list(hop),
  })
  .meta({ id: "OrderMessage" });
export type OrderMessage = z.infer<typeof orderMessage>;

export const orderView = z
  .object({
    moId: z.string(),
    orderName: z.string().nullable(),
    plant: z.string().nullable(),
    item: z.string().nullable(),
    quantity: z.string().nullable(),
    messages: list(orderMessage),
    unreadable: list(
      z.object({ site: z.string(), lane: laneName, epoch: z.string(), sequence: z.int(), recordedAt: z.string() }),
    ).meta({ description: "Messages of it that cannot be read from central's disk now." }),
  })
  .meta({ id: "Order" });
export type OrderView = z.infer<typeof orderView>;

export const ordersAnswer = z.object({
  orders: list(
    z.object({
      moId: z.string(),
      orderName: z.string().nullable(),
      plant: z.string().nullable(),
      lastAt: z.string(),
      messages: z.int(),
    }),
  ),
});
export type OrdersAnswer = z.infer<typeof ordersAnswer>;

/**
 * `GET /v1/messages?after=N&limit=N&site=&lane=&type=&waitMs=`: the ledger, in the order in which it was recorded. With
 * `Accept: application/x-ndjson` one of these a line, and nothing around them.
 */
export const ledgerMessage = z
  .object({
    position: z
      .int()
      .meta({ description: "In the ledger; rises, not always by one. Give the last one as `after` for the next page." }),
    site: z.string(),
    lane: laneName,
    epoch: z.string(),
    sequence: z.int(),
    recordedAt: z.string(),
    historical: z
      .literal(true)
      .optional()
      .meta({ description: "Its batch had waited in the gateway for more than 10 s: history, not news." }),
    event: z.record(z.string(), z.unknown()),
  })
  .meta({ id: "LedgerMessage" });
export type LedgerMessage = z.infer<typeof ledgerMessage>;

/** Messages that cannot be read from central's disk now; under the same positions they come back once it is repaired. */
const ledgerGap = z
  .object({
    position: z.int().meta({ description: "The last one, to go on behind it." }),
    site: z.string(),
    lane: laneName,
    epoch: z.string(),
    unreadable: range.extend({ firstPosition: z.int() }).meta({
      description:
        "The first position, and the range of sequences, of which some may be repeats or of other types than were asked for.",
    }),
  })
  .meta({ id: "LedgerGap" });
export type LedgerGap = z.infer<typeof ledgerGap>;

export const messagesAnswer = z.object({
  messages: list(ledgerMessage),
  gaps: list(ledgerGap).optional().meta({ description: "Only where there are some; as lines they stand between the messages." }),
  next: z.int().nullable(),
  incarnation: z.string().meta({
    description:
      "Of the ledger that the positions are of; also in the header `Plantgate-Incarnation`, with lines only there. Another one: it was restored.",
  }),
});
export type MessagesAnswer = z.infer<typeof messagesAnswer>;

/** `GET /v1/completeness?site=`: of each lane and epoch what is recorded, what will never come, and what became of it. */
const laneCompleteness = z
  .object({
    lane: laneName,
    epoch: z.string(),
    predecessor: z.object({ epoch: z.string(), lastSequence: z.int() }).nullable(),
    listedFrom: z.int().meta({
      description:
        "`ranges` and `holes` begin here: with the epoch, or, where it has more holes than are listed, with the first listed one.",
    }),
    ranges: list(range).meta({ description: "What is recorded." }),
    gaps: list(range).meta({ description: "The ranges of `holes`." }),
    holes: list(range.extend({ reason: z.enum(holeReasons) })).meta({
      description: "What will never come, with the reason that its gateway gave; the last thousand, all others only in `lost`.",
    }),
    recorded: z.int(),
    lost: z.int().meta({ description: "Messages in holes." }),
    messages: z.int(),
    repeats: z.int(),
    quarantined: z.int(),
    waitingForProjection: z.int(),
    missing: z.int().meta({ description: "0, unless something is wrong at central." }),
    loss: laneLossRange.nullable().meta({
      description: "What went with its gateway's disk; null for an epoch that goes on, or that the next one names.",
    }),
    summary: z.string().meta({ description: "For a person." }),
  })
  .meta({ id: "LaneCompleteness" });
export type LaneCompleteness = z.infer<typeof laneCompleteness>;

export const completenessAnswer = z.object({ site: z.string(), lanes: list(laneCompleteness) });
export type CompletenessAnswer = z.infer<typeof completenessAnswer>;

/** `GET /v1/quarantine?limit=`: messages that were set aside, the newest first, as many as 4 MiB hold. */
const quarantinedView = z
  .object({
    site: z.string(),
    lane: laneName,
    epoch: z.string(),
    sequence: z.int(),
    code: z.string(),
    reason: z.string(),
    conflictsWith: z.int().nullable().meta({ description: "The position of the message that it contradicts." }),
    line: z.string().meta({
      description:
        "The beginning of the line as it came; less of it, or nothing, where much was set aside together. All of it stays in its batch.",
    }),
    lineBytes: z.int().meta({ description: "Of the whole line." }),
    lineSha256: z.string(),
    recordedAt: z.string(),
  })
  .meta({ id: "QuarantinedMessage" });
export type QuarantinedView = z.infer<typeof quarantinedView>;
export const quarantineAnswer = z.object({ quarantine: list(quarantinedView) });
