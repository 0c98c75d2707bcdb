import type { Bundle, CloudEvent, Delivery, EpochMs, ErrorCode, Lane } from "../../protocol/index.ts";
import type { Origin } from "../connector/connector.ts";

/** One input for one flow. */
export interface MapJob {
  readonly flow: string;
  readonly connector: string;
  readonly origin: Origin;
  readonly body: Uint8Array;
  /** As the connector decoded it; else the mapper decodes `body` as JSON, without loss. */
  readonly decoded?: unknown;
  readonly receivedAt: EpochMs;
  /** SHA-256 of `body`, hex. */
  readonly inputHash: string;
}

/** What of an event decides about its way; the rest of it is in `line` only. */
export interface MappedMessage {
  readonly lane: Lane;
  readonly id: string;
  readonly type: string;
  readonly idempotencyKey?: string;
  /** The event as one line of JSON, without sequence and newline. */
  readonly line: string;
}

export type MapResult =
  /** All messages of the input; `cursor` where the flow polls with one. */
  | { readonly kind: "messages"; readonly messages: readonly MappedMessage[]; readonly cursor?: string }
  /** Nothing of the input may be recorded but a dead letter with this reason. */
  | { readonly kind: "failed"; readonly code: ErrorCode; readonly reason: string };

/** One message for one destination of its flow, judged just before it is sent. */
export type Rendered = Delivery | { readonly kind: "failed"; readonly code: ErrorCode; readonly reason: string };

/** What a receiver answered on its `accepted` topic. */
export type Answer =
  | { readonly kind: "answer"; readonly match: string; readonly accepted: boolean; readonly reason?: string }
  | { readonly kind: "failed"; readonly reason: string };

/**
 * Evaluates the flows' expressions where they can be ended: JSONata runs in a worker thread that is replaced when one input exceeds
 * its time. What is made of paths, objects and our own functions is bounded by its input, and runs here: to cross to the thread costs
 * more. Results come in the order of the calls per flow.
 */
export interface Mapping {
  /** Whether `configure` takes it; changes nothing. @throws PlantgateError CONFIG_INVALID with every problem */
  check(bundle: Bundle): void;
  /** Compiles the flows of a bundle. @throws PlantgateError CONFIG_INVALID with every problem; the old flows stay. */
  configure(bundle: Bundle): Promise<void>;
  /** Without a promise where the result is there at once: a connection's samples then reach the queue in the turn that read them. */
  map(job: MapJob): MapResult | Promise<MapResult>;
  render(flow: string, destination: number, event: CloudEvent): Promise<Rendered>;
  /** The value that an answer has to match: `accepted.equals` over the message, by default its ordering key. */
  expected(flow: string, destination: number, event: CloudEvent): Promise<string>;
  answer(flow: string, destination: number, body: Uint8Array): Promise<Answer>;
  stop(): Promise<void>;
}
