import type { EpochMs } from "../base/clock.ts";
import { PlantgateError } from "../base/error.ts";
import type { CloudEvent } from "../message.ts";
import { instant } from "../types/common.ts";
import type { CompiledDestination } from "./compiled-flow.ts";
import { decodeJson } from "./decode.ts";
import type { Inputs } from "./expression.ts";
import { evaluate, keyOf, type Steps } from "./map.ts";
import { fillTemplate } from "./topic-template.ts";

/** One message for one destination, as it will be sent. `key`: never two of one key at a time. `expiresAt`: too late from then on. */
export type Delivery = { readonly expiresAt?: EpochMs } & (
  | {
      readonly kind: "topic";
      readonly topic: string;
      readonly body: Uint8Array;
      readonly qos: 0 | 1;
      readonly retain: boolean;
      readonly key: string;
    }
  | {
      readonly kind: "post";
      readonly path: string;
      readonly body: Uint8Array;
      readonly idempotencyKey: string;
      readonly key: string;
    }
  | { readonly kind: "write"; readonly item: string; readonly value: string | number | boolean; readonly key: string }
  | { readonly kind: "operation"; readonly operation: string; readonly key: string }
);

/** @throws PlantgateError DESTINATION_INVALID, MAPPING_FAILED, KEY_INCOMPLETE */
export function* renderDelivery(destination: CompiledDestination, event: CloudEvent): Steps<Delivery> {
  const rendered = yield* renderTarget(destination, event);
  if (!destination.expiresAt) return rendered;
  const at = yield* evaluate(destination.expiresAt, { data: event.data, message: event }, "expires.at");
  if (!instant.safeParse(at).success)
    throw new PlantgateError("DESTINATION_INVALID", `expires.at: ${JSON.stringify(at) ?? "nothing"} is no instant in UTC`);
  return { ...rendered, expiresAt: Date.parse(at as string) };
}

function* renderTarget(destination: CompiledDestination, event: CloudEvent): Steps<Delivery> {
  const inputs: Inputs = { data: event.data, message: event };
  const { config } = destination;
  const key = event.partitionkey;
  if ("topic" in config) {
    const topic = destination.template ? fillTemplate(destination.template, inputs) : config.topic;
    return { kind: "topic", topic, body: yield* bodyOf(destination, inputs), qos: config.qos, retain: config.retain, key };
  }
  if ("post" in config) {
    const path = destination.template ? fillTemplate(destination.template, inputs, encodeURIComponent) : config.post;
    return { kind: "post", path, body: yield* bodyOf(destination, inputs), idempotencyKey: idempotencyHeader(event), key };
  }
  if ("write" in config) {
    const value = destination.value ? yield* evaluate(destination.value, inputs, "value") : undefined;
    if (typeof value !== "string" && typeof value !== "number" && typeof value !== "boolean") {
      throw new PlantgateError("DESTINATION_INVALID", `${config.value} is not one value that can be written to ${config.write}`);
    }
    return { kind: "write", item: config.write, value, key };
  }
  const serialize = destination.serialize ? yield* keyOf({ list: false, parts: [destination.serialize] }, inputs) : key;
  return { kind: "operation", operation: config.operation, key: serialize };
}

function* bodyOf(destination: CompiledDestination, inputs: Inputs): Steps<Uint8Array> {
  const body = destination.body ? yield* evaluate(destination.body, inputs, "body") : inputs.data;
  const text = JSON.stringify(body) as string | undefined;
  if (text === undefined) throw new PlantgateError("MAPPING_FAILED", "body: the expression found nothing");
  return new TextEncoder().encode(text);
}

/** Names the message for its receiver, the same at every attempt; text that any HTTP header can carry. */
function idempotencyHeader(event: CloudEvent): string {
  return encodeURI(`${event.type}/${event.idempotencykey ?? event.id}`);
}

/** The value that the receiver's answer has to match. @throws PlantgateError KEY_INCOMPLETE */
export function* expectedAnswer(destination: CompiledDestination, event: CloudEvent): Steps<string> {
  const equals = destination.accepted?.equals;
  return equals ? yield* keyOf(equals, { data: event.data, message: event }) : event.partitionkey;
}

export interface ReadAnswer {
  readonly match: string;
  readonly accepted: boolean;
  readonly reason?: string;
}

/** What a receiver answered. @throws PlantgateError INPUT_NOT_JSON, KEY_INCOMPLETE, MAPPING_FAILED */
export function* readAnswer(destination: CompiledDestination, body: Uint8Array): Steps<ReadAnswer> {
  const { accepted } = destination;
  if (!accepted) throw new PlantgateError("INVARIANT", "the destination expects no answer");
  const inputs: Inputs = { payload: decodeJson(body) };
  const match = yield* keyOf(accepted.match, inputs);
  const is = yield* evaluate(accepted.is, inputs, "is");
  const reason = yield* evaluate(accepted.reason, inputs, "reason");
  return {
    match,
    accepted: is === true,
    ...(typeof reason === "string" && reason !== "" ? { reason: reason.slice(0, 1000) } : {}),
  };
}
