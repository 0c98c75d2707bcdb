import type { ConnectorReport, Lane } from "../../protocol/index.ts";

/** Shapes of central's read API, as the console and other clients get them (packaging/docs/protocol.md). Instants are UTC text. */

/**
 * What a site is doing, judged by central. `unknown`: silent for longer than its lease; never shown as connected (P11).
 * `stuck`: heard of, has a backlog, and its watermark has not moved for 30 s. `draining`: has a backlog that shrinks. `new`: never heard of.
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
  }[];
  readonly deliveries: { readonly waiting: number; readonly unknown: number } | null;
  readonly deadLetters: number;
  readonly downlinkWaiting: number;
  readonly desiredRevision: number;
  readonly reportedRevision: number;
  readonly configurationState: "none" | "active" | "refused" | "applying";
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

/** `GET /v1/messages?after=N&limit=N&site=&lane=&type=`: the ledger, in the order in which it was recorded. */
export interface LedgerMessage {
  /** Position in the ledger; give the last one as `after` for the next page. */
  readonly position: number;
  readonly site: string;
  readonly lane: Lane;
  readonly epoch: string;
  readonly sequence: number;
  readonly recordedAt: string;
  readonly event: Record<string, unknown>;
}
export interface MessagesAnswer {
  readonly messages: readonly LedgerMessage[];
  readonly next: number | null;
}
