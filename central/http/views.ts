import type { ConnectorReport, DiskState, HoleReason, Lane } from "../../protocol/index.ts";

/** Shapes of central's read API, as the console and other clients get them (packaging/docs/protocol.md). Instants are UTC text. */

/**
 * What a site is doing, judged by central. `unknown`: silent for longer than its lease; never shown as connected (P11).
 * `stuck`: heard of, has a backlog, and its watermark has not moved for 20 s. `draining`: has a backlog that shrinks. `new`: never heard of.
 */
export type SiteCondition = "new" | "online" | "draining" | "stuck" | "unknown" | "fenced" | "revoked";

export interface SiteView {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly condition: SiteCondition;
  /** One sentence for a person, such as "silent for 42 s; its lease ended 27 s ago". */
  readonly reason: string;
  readonly lastHeardAt: string | null;
  readonly leaseEndsAt: string | null;
  readonly pid: number | null;
  readonly startedAt: string | null;
  readonly lanes: readonly {
    readonly lane: Lane;
    readonly epoch: string;
    readonly recorded: number;
    /** Waiting in the gateway, as it last said. */
    readonly waiting: number;
    readonly waitingBytes: number;
    /** Seconds from recording in the plant to now, of the oldest that waits; null when nothing waits. */
    readonly lagSeconds: number | null;
    /** At central: recorded, and not yet readable one by one. */
    readonly waitingForProjection: number;
    /** What of the lane is recorded, what will never come, in one sentence: "1 to 48,211 recorded; nothing missing". */
    readonly summary: string;
    /** Why nothing of the backlog gets through, in the gateway's words. */
    readonly stalled: string | null;
  }[];
  readonly deliveries: {
    readonly waiting: number;
    readonly unknown: number;
    readonly parked: number;
    /** With a deadline that nobody can judge since the machine restarted. */
    readonly ofUnknownAge: number;
    /** Not carried out since the gateway started, as their deadline was over; null where it does not say. */
    readonly expired: number | null;
  } | null;
  /** What the gateway's full disk refuses or discards, as it last said. */
  readonly disk: { readonly state: DiskState; readonly freeBytes: number } | null;
  /** Alarms that stand, or were raised within the last day; worst and newest first. */
  readonly alarms: readonly Pick<ExceptionView, "kind" | "severity" | "reason" | "count" | "firstAt" | "lastAt">[];
  readonly deadLetters: number;
  readonly downlinkWaiting: number;
  readonly desiredRevision: number;
  readonly reportedRevision: number;
  readonly configurationState: "none" | "active" | "refused" | "applying" | "watching" | "rolled-back";
  readonly configurationReason: string | null;
  readonly connectors: readonly ConnectorReport[];
  /** Central's clock minus the gateway's, from its last report; includes the way. */
  readonly clockSkewMs: number | null;
}
export interface SitesAnswer {
  readonly sites: readonly SiteView[];
  readonly at: string;
  /** Messages recorded in the last whole second, of all sites. */
  readonly rate: { readonly transactionsPerSecond: number; readonly samplesPerSecond: number };
}

/** One step on an order's way. */
export interface Hop {
  readonly at: string;
  /** Where: a site, a connector of it, or central. */
  readonly site: string;
  readonly place: string;
  readonly kind: "happened" | "recorded" | "central" | "routed" | "received" | "delivered" | "accepted" | "refused" | "unknown";
  /** For a person: "Released by the ERP, revision 1", "Press PRESS-7 took the order". */
  readonly what: string;
}
/** One message about an order, with its hops in time order. */
export interface OrderMessage {
  readonly id: string;
  readonly type: string;
  readonly site: string;
  readonly lane: Lane;
  readonly epoch: string;
  readonly sequence: number;
  readonly time: string;
  readonly recordedtime: string;
  readonly summary: string;
  readonly data: unknown;
  readonly hops: readonly Hop[];
}
export interface OrderView {
  readonly moId: string;
  readonly orderName: string | null;
  readonly plant: string | null;
  readonly item: string | null;
  readonly quantity: string | null;
  readonly messages: readonly OrderMessage[];
  /** Messages of it that cannot be read from central's disk now. */
  readonly unreadable: readonly (Pick<OrderMessage, "site" | "lane" | "epoch" | "sequence"> & { readonly recordedAt: string })[];
}
export interface OrdersAnswer {
  readonly orders: readonly {
    readonly moId: string;
    readonly orderName: string | null;
    readonly plant: string | null;
    readonly lastAt: string;
    readonly messages: number;
  }[];
}

/**
 * `GET /v1/messages?after=N&limit=N&site=&lane=&type=&waitMs=`: the ledger, in the order in which it was recorded. With
 * `Accept: application/x-ndjson` one of these a line, and nothing around them.
 */
export interface LedgerMessage {
  /** Position in the ledger; rises, not always by one. Give the last one as `after` for the next page. */
  readonly position: number;
  readonly site: string;
  readonly lane: Lane;
  readonly epoch: string;
  readonly sequence: number;
  readonly recordedAt: string;
  /** Its batch had waited in the gateway for more than 10 s: history, not news. */
  readonly historical?: true;
  readonly event: Record<string, unknown>;
}
/** Messages that cannot be read from central's disk now; under the same positions they come back once it is repaired. */
export interface LedgerGap {
  /** The last one, to go on behind it. */
  readonly position: number;
  readonly site: string;
  readonly lane: Lane;
  readonly epoch: string;
  /** The first position, and the range of sequences, of which some may be repeats or of other types than were asked for. */
  readonly unreadable: { readonly firstPosition: number; readonly first: number; readonly last: number };
}
export interface MessagesAnswer {
  readonly messages: readonly LedgerMessage[];
  /** Only where there are some; as lines they stand between the messages. */
  readonly gaps?: readonly LedgerGap[];
  readonly next: number | null;
  /** Of the ledger that the positions are of; also in the header `Plantgate-Incarnation`, with lines only there. Another one: it was restored. */
  readonly incarnation: string;
}

/** `GET /v1/completeness?site=`: of each lane and epoch what is recorded, what will never come, and what became of it. */
export interface LaneCompleteness {
  readonly lane: Lane;
  readonly epoch: string;
  readonly predecessor: { readonly epoch: string; readonly lastSequence: number } | null;
  /** `ranges` and `holes` begin here: with the epoch, or, where it has more holes than are listed, with the first listed one. */
  readonly listedFrom: number;
  /** What is recorded. */
  readonly ranges: readonly { readonly first: number; readonly last: number }[];
  /** The ranges of `holes`. */
  readonly gaps: readonly { readonly first: number; readonly last: number }[];
  /** What will never come, with the reason that its gateway gave; the last thousand, all others only in `lost`. */
  readonly holes: readonly { readonly first: number; readonly last: number; readonly reason: HoleReason }[];
  readonly recorded: number;
  /** Messages in holes. */
  readonly lost: number;
  readonly messages: number;
  readonly repeats: number;
  readonly quarantined: number;
  readonly waitingForProjection: number;
  /** 0, unless something is wrong at central. */
  readonly missing: number;
  /** For a person. */
  readonly summary: string;
}
export interface CompletenessAnswer {
  readonly site: string;
  readonly lanes: readonly LaneCompleteness[];
}

/** `GET /v1/quarantine?limit=`: messages that were set aside, the newest first, as many as 4 MiB hold. */
export interface QuarantinedView {
  readonly site: string;
  readonly lane: Lane;
  readonly epoch: string;
  readonly sequence: number;
  readonly code: string;
  readonly reason: string;
  /** The position of the message that it contradicts. */
  readonly conflictsWith: number | null;
  /** The beginning of the line as it came; less of it, or nothing, where much was set aside together. All of it stays in its batch. */
  readonly line: string;
  /** Of the whole line. */
  readonly lineBytes: number;
  readonly lineSha256: string;
  readonly recordedAt: string;
}

/** `GET /v1/exceptions?site=`: messages that nobody takes, and what else people are told of (packaging/docs/protocol.md). */
export interface ExceptionView {
  /** Null: central itself. */
  readonly site: string | null;
  readonly kind: string;
  readonly severity: "error" | "warn";
  readonly lane: string | null;
  readonly type: string | null;
  /** What it is about: the site that a message named, an epoch, a session, a hole's reason. */
  readonly target: string | null;
  /** One sentence for a person. */
  readonly reason: string;
  /** Messages, or how often. */
  readonly count: number;
  readonly firstAt: string;
  readonly lastAt: string;
  /** When what it warns of was over; null: it stands, or it is an event. */
  readonly endedAt: string | null;
  readonly lastPosition: number | null;
  /** The last range of sequences that it speaks of. */
  readonly range: { readonly first: number; readonly last: number } | null;
}
