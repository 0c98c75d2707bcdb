import type { Lane } from "../../protocol/index.ts";

/** Tables of central's storage. `*_at` are epoch milliseconds by central's clock; JSON lies as text. */
export interface Schema {
  meta: { name: string; value: string };
  /** Numbers that are given out inside a transaction, never by the engine: `ledger` counts positions. */
  counters: { name: string; value: number };
  sites: {
    name: string;
    public_key: string;
    created_at: number;
    revoked_at: number | null;
    labels: string;
    desired_revision: number;
    reported_revision: number;
    session: string | null;
    /** When a gateway with an older session of another boot was last turned away. */
    fenced_at: number | null;
    downlink_epoch: string;
    downlink_last: number;
    downlink_acked: number;
    last_heard_at: number | null;
    status: string | null;
    status_at: number | null;
    clock_skew_ms: number | null;
  };
  sessions: { id: string; site: string; boot_id: string; gateway_version: string; started_at: number };
  /** One lane of one site under one name; `watermark` and `chain` move with each batch. */
  epochs: {
    site: string;
    lane: Lane;
    epoch: string;
    first_sequence: number;
    predecessor_epoch: string | null;
    predecessor_last: number | null;
    watermark: number;
    chain: string;
    started_at: number;
    moved_at: number;
  };
  /** Batches as they came, after trimming; `frames`: `[count, bytes, chain]` of each. */
  batches: {
    position: number;
    site: string;
    lane: Lane;
    epoch: string;
    first_sequence: number;
    last_sequence: number;
    frames: string;
    body: Uint8Array;
    received_at: number;
  };
  /** What the projector has before it: one row per batch until its last message is done. */
  work: { batch: number; priority: number; count: number; done: number; size: number; attempts: number };
  messages: {
    position: number;
    site: string;
    lane: Lane;
    epoch: string;
    sequence: number;
    type: string;
    message_id: string;
    idempotency_key: string | null;
    input_hash: string | null;
    state: "recorded" | "repeat";
    /** The position that a repeat repeats. */
    repeat_of: number | null;
    received_at: number;
    event: string;
  };
  message_orders: { mo_id: string; position: number };
  orders: {
    mo_id: string;
    order_name: string | null;
    plant: string | null;
    item: string | null;
    quantity: string | null;
    revision: number;
    last_at: string;
    last_position: number;
    messages: number;
  };
  order_names: { order_name: string; mo_id: string; last_position: number };
  /** How deliveries at the sites ended: which message a `delivery.completed` speaks of. */
  deliveries: { message_id: string; position: number };
  quarantine: {
    site: string;
    lane: Lane;
    epoch: string;
    sequence: number;
    code: string;
    reason: string;
    /** The position of the message that this one contradicts. */
    conflicts_with: number | null;
    line: string;
    received_at: number;
  };
  downlink: { site: string; sequence: number; position: number; routed_at: number; acked_at: number | null };
  exceptions: {
    site: string;
    type: string;
    kind: "unrouted";
    /** The site that the message named, or empty. */
    target: string;
    reason: string;
    count: number;
    first_at: number;
    last_at: number;
    last_position: number;
  };
  revisions: {
    site: string;
    revision: number;
    /** SHA-256 of what the revision says, without its number and date: the same content pushed again is the same revision. */
    content: string;
    digest: string;
    bundle: string;
    jws: string;
    files: string;
    created_at: number;
  };
  signin_codes: { hash: string; expires_at: number };
  operator_sessions: { hash: string; created_at: number; expires_at: number };
}
