import type { Generated } from "kysely";
import type { HoleReason, Lane } from "../../protocol/index.ts";
import type { DocumentTables } from "./tables/documents.ts";
import type { DryRunTables } from "./tables/dry-runs.ts";
import type { KeyTables } from "./tables/keys.ts";
import type { PeopleTables } from "./tables/people.ts";
import type { RecoveryTables } from "./tables/recovery.ts";
import type { ReleaseTables } from "./tables/releases.ts";
import type { RolloutTables } from "./tables/rollouts.ts";
import type { SecretTables } from "./tables/secrets.ts";

/** Tables of central's storage, on SQLite and on PostgreSQL. `*_at` are epoch milliseconds by central's clock; JSON lies as text. */
export interface Schema
  extends PeopleTables,
    DocumentTables,
    RolloutTables,
    SecretTables,
    KeyTables,
    DryRunTables,
    RecoveryTables,
    ReleaseTables {
  meta: { name: string; value: string };
  /** Numbers that are given out inside a transaction, never by the engine: `ledger` counts positions, `configuration` changes. */
  counters: { name: string; value: number };
  sites: {
    name: string;
    created_at: number;
    revoked_at: number | null;
    labels: string;
    /** Where it belongs, for ever once its first document said so; empty: none has yet. What is not `dev` changes by review alone. */
    environment: Generated<string>;
    desired_revision: number;
    reported_revision: number;
    /** The version that its program should be, and the package of it; empty: none in particular. `attempt` names that wish. */
    desired_version: Generated<string>;
    desired_package: Generated<string>;
    desired_attempt: Generated<string>;
    /** 1: it was meant although it is older than what ran then. */
    desired_older: Generated<number>;
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
    /** Since when each lane has had a backlog, by its gateway's word: `{"telemetry": 1769846400000}`. */
    behind: string;
  };
  /** Sites that nothing is routed to, from this position of the ledger on, until their configuration can be read (central/router/held.ts). */
  held_sites: { site: string; position: number };
  /** Sessions that began, the newest of them (central/site/retention.ts); `started_at` rises with each of a site. */
  sessions: { id: string; site: string; boot_id: string; gateway_version: string; started_at: number };
  /** The row that orders what is taken in: locked by whoever records a batch, or begins a session, of this lane (rule 13). */
  lanes: {
    site: string;
    lane: Lane;
    /** The number of its last batch. */
    batches: number;
    /** Messages in all its batches. */
    recorded: number;
  };
  /** The row that orders projection: where the projector stands in a lane. `size`: messages of a step at most. */
  projections: Cursor & { projected: number };
  /**
   * Batches that could not be read from the disk: set aside with their rest, so that they hold nobody back. `looks`: begun since one
   * ended, whatever it found. `position`: the ledger's last one when it was set aside unprojected; what passed it in its lane lies behind.
   */
  damaged: Cursor & { looks: number; looked_at: number; position: Generated<number> };
  /** One lane of one site under one name; `watermark` and `chain` move with each batch and each hole. */
  epochs: {
    site: string;
    lane: Lane;
    epoch: string;
    first_sequence: number;
    /** The chain's value before the first message. */
    first_chain: string;
    predecessor_epoch: string | null;
    predecessor_last: number | null;
    watermark: number;
    chain: string;
    /** Messages in holes. */
    lost: number;
    started_at: number;
    moved_at: number;
    /** When its lane went on under an epoch that names none before it; what the gateway's last report had given as its last number, and when. */
    ended_at: number | null;
    said_last: number | null;
    said_at: number | null;
  };
  /** Up to which number of the downlink a site's gateway had acknowledged when another one began that knew nothing of it. */
  downlink_losses: { site: string; up_to: number; at: number };
  /** Ranges that will never come, with what their gateway said of them; `chain` is the chain's value behind the hole. */
  holes: {
    site: string;
    lane: Lane;
    epoch: string;
    first_sequence: number;
    last_sequence: number;
    reason: HoleReason;
    chain: string;
    at: number;
  };
  /** Batches as they came, after trimming; `frames` as in the header of that name. */
  batches: {
    site: string;
    lane: Lane;
    /** Rises by one in its lane. */
    number: number;
    epoch: string;
    first_sequence: number;
    last_sequence: number;
    /** Messages, without holes. */
    count: number;
    frames: string;
    /** The chain's value before its first frame. */
    chain_before: string;
    /** The chain's value behind each of its frames and holes, 32 bytes each. */
    chains: Uint8Array;
    body: Uint8Array;
    inflated_bytes: number;
    received_at: number;
    /** How long its oldest frame had waited in the gateway, by running time. */
    age_ms: number;
  };
  /**
   * The ledger: each row is a stretch of one batch, its messages at `position`, `position + 1`, … with sequences from `first_sequence` on.
   * Its text is not repeated here: `body_offset` and `body_bytes` are the whole frames that hold it, `skip_lines` lines come before it.
   */
  slices: {
    position: number;
    count: number;
    site: string;
    lane: Lane;
    epoch: string;
    first_sequence: number;
    batch: number;
    body_offset: number;
    body_bytes: number;
    skip_lines: number;
    /** How many messages of each type are recorded: `{"mfg.pick.confirmed.v1": 12}`; repeats and what was refused are not counted. */
    types: string;
    /** `[index, position of the first]` of each repeat, `[index, 0]` of each line that was set aside. */
    skips: string | null;
    repeats: number;
    received_at: number;
    age_ms: number;
  };
  /** What became of an epoch's messages, counted as they are projected. */
  tallies: { site: string; lane: Lane; epoch: string; messages: number; repeats: number; quarantined: number };
  /** Each (site, type, idempotency key), hashed, once; `input` tells what was sent under it (central/ledger/once.ts). */
  once_keys: { hash: Uint8Array; position: number; input: Uint8Array };
  message_orders: { mo_id: string; position: number; slice: number };
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
  deliveries: { message_id: string; position: number; slice: number };
  quarantine: {
    site: string;
    lane: Lane;
    epoch: string;
    sequence: number;
    code: string;
    reason: string;
    /** The position of the message that this one contradicts. */
    conflicts_with: number | null;
    /** Its beginning; all of it lies in its batch. */
    line: string;
    line_bytes: number;
    line_sha256: string;
    received_at: number;
  };
  downlink: {
    site: string;
    sequence: number;
    position: number;
    slice: number;
    routed_at: number;
    acked_at: number | null;
    /** Stands for its ordering key (central/router/parked.ts). */
    key: number;
    /** Since when it is passed over, as it, or one of its key before it, cannot be read. */
    parked_at: number | null;
  };
  exceptions: {
    /** Empty: central itself. */
    site: string;
    kind: string;
    lane: string;
    type: string;
    /** What tells two of one kind apart: the site that a message named, an epoch, a session, a hole's reason. */
    target: string;
    severity: "error" | "warn";
    reason: string;
    count: number;
    first_at: number;
    last_at: number;
    /** When what it warns of was over; null: it stands, or it is an event. */
    ended_at: number | null;
    last_position: number | null;
    /** The last range of sequences that it speaks of. */
    first_sequence: number | null;
    last_sequence: number | null;
  };
  revisions: {
    site: string;
    revision: number;
    /** SHA-256 of what the revision says, without its number: the same content pushed again is the same revision. */
    content: string;
    digest: string;
    bundle: string;
    jws: string;
    files: string;
    created_at: number;
    /** The change that it was rendered for; 0: none. */
    change: Generated<number>;
    /** The revisions of documents that it was rendered from, and where each of its values comes from; null for a push. */
    origins: string | null;
    /** Of the site's document; null for what was pushed before they were kept with it. */
    labels: string | null;
  };
  /** One-time links. `kind`: `sign-in`, `password` (its user then sets one), `first` (its user comes to be by it). */
  signin_codes: { hash: string; expires_at: number; user: Generated<string>; kind: Generated<string> };
  /** Signed-in browsers. `sets_password` 1: begun by a link that lets its user set one without the one before. */
  operator_sessions: {
    hash: string;
    created_at: number;
    expires_at: number;
    user: Generated<string>;
    csrf: Generated<string>;
    sets_password: Generated<number>;
  };
}

/**
 * A place in a lane's batches: `done` messages of batch `batch` are projected; `attempts` at what follows were begun, the last one noted
 * by the replica `noted_by` at `noted_at`, by the database's clock.
 */
interface Cursor {
  site: string;
  lane: Lane;
  batch: number;
  done: number;
  size: number;
  attempts: number;
  noted_by: string;
  noted_at: number;
}
