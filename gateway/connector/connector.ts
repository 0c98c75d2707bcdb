import type {
  Clock,
  CloudEvent,
  ConnectorConfig,
  ConnectorKindName,
  ConnectorReport,
  EpochMs,
  FromItems,
  FromPoll,
  FromSource,
  FromTopic,
  FromWebhook,
  SecretRef,
} from "../../protocol/index.ts";
import type { Logger } from "../telemetry/logger.ts";

/** How one input came in: what flows are matched on. */
export type Origin =
  | { readonly kind: "topic"; readonly topic: string; readonly retained: boolean }
  | { readonly kind: "webhook"; readonly path: string }
  | { readonly kind: "poll"; readonly flow: string }
  | { readonly kind: "items"; readonly item: string }
  | { readonly kind: "source"; readonly flow: string }
  /** A fact about the input itself, made by the connector, already canonical: recorded without a flow. */
  | { readonly kind: "fact"; readonly type: "mfg.equipment.sampling-interrupted.v1" };

/** A named position of a source (poll cursor, last sample of an item), flushed in the transaction of the messages it brought (rule 18). */
export interface Cursor {
  readonly name: string;
  readonly value: string;
}

/** One input as it came in. */
export interface Input {
  readonly origin: Origin;
  /** The bytes as received: kept for dead letters and, in the transaction lane, for replay. */
  readonly body: Uint8Array;
  /** Bytes that came, where that was too much to keep: `body` is their beginning, and becomes a dead letter. */
  readonly wholeBytes?: number;
  /** Decoded already by the connector (OPC UA values, ERP records): JSON, and canonical where the flow has no `map`. Else `body` is parsed as JSON. */
  readonly decoded?: unknown;
  readonly receivedAt: EpochMs;
  readonly cursors?: readonly Cursor[];
  /** MQTT QoS 2: flushed with the message, so that the same content with this (client, packet id) is not appended twice (rule 1). `content`: a hash. */
  readonly exactlyOnce?: { readonly client: string; readonly packetId: number; readonly content: string };
}

/** What became of an input. Everything named here is flushed. */
export interface Receipt {
  /** Messages appended. */
  readonly recorded: number;
  /** Inputs (per flow) that cannot succeed, kept with their reason; `deadLetterIds` names them. */
  readonly deadLetterIds: readonly string[];
  /** Messages whose (flow, idempotency key) was recorded before. */
  readonly repeats: number;
  /** Names this input for its sender: the id of its first message, else of its first dead letter, else a fresh id. */
  readonly id: string;
}

/** One input, mapped and validated, not yet written: for `commit` of the inlet that made it, soon, as it carries the time at which it was made. */
export interface Prepared {
  readonly input: Input;
}

/** The way in, handed to each connector. */
export interface Inlet {
  /**
   * Maps, validates and appends the messages of these inputs, in this order; resolves once all are flushed. Inputs that cannot succeed
   * become dead letters, which counts as success: the sender is acknowledged. Calls of one connection have to be made one after
   * the other in the order of arrival (the next may start before the last has resolved); they are recorded in that order.
   * @throws PlantgateError QUEUE_FULL: nothing was written, stop reading and try again later; STOPPED: the gateway or the connector is stopping, acknowledge nothing
   */
  accept(inputs: readonly Input[]): Promise<Receipt>;
  /**
   * The first half of `accept`, for who keeps the order of a connection himself: maps and validates, at once where the flow allows it.
   * Never fails for what the input holds. @throws PlantgateError STOPPED
   */
  prepare(input: Input): Prepared | Promise<Prepared>;
  /** The second half: appends, in this order; resolves and throws as `accept` does. Called in the order of arrival. */
  commit(prepared: readonly Prepared[]): Promise<Receipt>;
  /** The flushed value of a cursor of this connector. */
  cursor(name: string): Promise<string | undefined>;
  /** Forgets an exactly-once marker: the sender released the packet id (MQTT PUBREL). Without one, all of a client that began a clean session. */
  release(client: string, packetId?: number): Promise<void>;
}

/** One message for one destination, rendered: topics and bodies are final. `key` serializes: never two of one key at a time. */
export type Outbound = {
  readonly event: CloudEvent;
  readonly key: string;
  /** 1 for the first try; survives restarts. */
  readonly attempt: number;
  /** An earlier attempt may have its effect, or have it yet, and nobody asked the receiver: a repeat counts as harmless. */
  readonly perhapsDone?: true;
} & (
  | { readonly kind: "topic"; readonly topic: string; readonly body: Uint8Array; readonly qos: 0 | 1; readonly retain: boolean }
  | { readonly kind: "post"; readonly path: string; readonly body: Uint8Array; readonly idempotencyKey: string }
  | { readonly kind: "write"; readonly item: string; readonly value: string | number | boolean }
  | { readonly kind: "operation"; readonly operation: string }
);

/**
 * How an attempt ended. `unknown`: it was sent and the answer is missing; what then happens follows from the destination's `effect`.
 * `unanswered`: by this attempt nobody can tell whether the peer is away or this message is what it does not answer. `settlesInMs`: nothing was
 * sent, as the peer may still be at work on an earlier attempt, for so long at most; that uses no attempt up.
 */
export type Outcome =
  | { readonly kind: "done"; readonly detail?: string }
  | {
      readonly kind: "retry";
      readonly reason: string;
      readonly afterMs?: number;
      readonly unanswered?: true;
      readonly settlesInMs?: number;
    }
  | { readonly kind: "refused"; readonly reason: string }
  | { readonly kind: "unknown"; readonly reason: string; readonly unanswered?: true };

/**
 * Answer of `verify`: whether the system has the effect of a message already. `settlesInMs`: it does not have it now, or does not answer, and may
 * still be at work on an attempt, for so long at most: a "no" before then tells nothing, and is not held against it.
 */
export type Verdict =
  | { readonly kind: "done"; readonly detail?: string }
  | { readonly kind: "not-done" }
  | { readonly kind: "cannot-tell"; readonly reason: string; readonly settlesInMs?: number };

/** Of a source that a flow in shadow reads: what depends on it (a cursor, an answer) begins anew with the connector when its flow goes live. */
export interface Shadow {
  readonly shadow?: true;
}

/** What the flows want of a connector. A change of this, or of the configuration, starts the connector anew; nothing else does. */
export interface Wiring {
  readonly topics: readonly Pick<FromTopic, "topic" | "retained">[];
  /** Topic filters on which receivers answer (`accepted`); given to `accept` like any other topic. */
  readonly answers: readonly string[];
  readonly webhooks: readonly (Pick<FromWebhook, "webhook" | "verify"> & Shadow)[];
  readonly polls: readonly ({ readonly flow: string } & Pick<FromPoll, "poll" | "every" | "cursor" | "start"> & Shadow)[];
  readonly items: FromItems["items"];
  readonly sources: readonly ({ readonly flow: string } & Pick<FromSource, "source" | "overlap"> & Shadow)[];
}

/** Where an `http` connector hangs its webhooks: the gateway's own listener. */
export interface WebhookHost {
  /** Serves `POST /in/<connector><path>`; returns the way to take it down. */
  mount(connector: string, path: string, receive: (request: WebhookRequest) => Promise<WebhookAnswer>): () => void;
}
export interface WebhookRequest {
  readonly headers: Pick<Headers, "get">;
  readonly body: Uint8Array;
}
export interface WebhookAnswer {
  readonly status: 202 | 401 | 404 | 503;
  readonly body: Record<string, unknown>;
  readonly retryAfterSeconds?: number;
}

export interface ConnectorDeps<Config extends ConnectorConfig = ConnectorConfig> {
  readonly site: string;
  readonly name: string;
  readonly config: Config;
  readonly wiring: Wiring;
  readonly inlet: Inlet;
  /** @throws PlantgateError SECRET_MISSING */
  secret(ref: SecretRef): string;
  /** Every value that is good now, the newest first; for judging what comes in. @throws PlantgateError SECRET_MISSING */
  secrets(ref: SecretRef): readonly string[];
  readonly webhooks: WebhookHost;
  /** A folder of this connector's own (certificates), made on demand. */
  folder(): string;
  readonly clock: Clock;
  readonly log: Logger;
}

/**
 * One outside system. `start` returns as soon as the connector tries, not when its peer is there: a plant starts with half of its
 * systems off. Peers that go away are dialled again with backoff, for ever; `report` says why it is not up.
 */
export interface Connector {
  start(signal: AbortSignal): Promise<void>;
  /** Ends sessions and timers; what is in hand and not flushed is not acknowledged. Safe to call twice. */
  stop(): Promise<void>;
  report(): ConnectorReport;
  /** One attempt; never throws for what the peer does. Absent where a kind has nothing to send to. */
  deliver?(message: Outbound, signal: AbortSignal): Promise<Outcome>;
  /** For `checkable` destinations after an unknown outcome. */
  verify?(message: Outbound, signal: AbortSignal): Promise<Verdict>;
}

export interface ConnectorKind<Name extends ConnectorKindName = ConnectorKindName> {
  readonly kind: Name;
  create(deps: ConnectorDeps<Extract<ConnectorConfig, { type: Name }>>): Connector;
}

/** Any one kind. */
export type AnyConnectorKind = { [Name in ConnectorKindName]: ConnectorKind<Name> }[ConnectorKindName];
