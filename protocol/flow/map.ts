import type { EpochMs } from "../base/clock.ts";
import { describeError, PlantgateError } from "../base/error.ts";
import { frameLimits } from "../batch.ts";
import { type CloudEvent, makeEvent, maxMessageBytes } from "../message.ts";
import type { Lane, MessageType } from "../types/message-type.ts";
import type { CompiledFlow, KeyExpression } from "./compiled-flow.ts";
import { decodeJson } from "./decode.ts";
import type { Expression, Inputs } from "./expression.ts";
import { joinKey, singleKey } from "./key.ts";
import { toShape } from "./shape.ts";
import type { SyncEvaluator } from "./sync-expression.ts";

/** Input that is larger fails before it is decoded; one input may become many messages, each within its own limit. */
export const maxInputBytes = maxMessageBytes * 4;

/** One input for one flow. */
export interface FlowInput {
  readonly connector: string;
  readonly topic?: string;
  readonly body: Uint8Array;
  /** As the connector decoded it; else `body` is decoded as JSON. */
  readonly decoded?: unknown;
  readonly inputHash: string;
  readonly recordedAt: EpochMs;
  readonly newId: () => string;
}

export interface MappedLine {
  readonly lane: Lane;
  readonly event: CloudEvent;
  /** `event` as one line of JSON. */
  readonly line: string;
}

export interface Mapped {
  readonly messages: readonly MappedLine[];
  readonly cursor?: string;
}

/** Steps that may have to wait: what they yield is a value, or a promise of it. */
export type Steps<Result> = Generator<unknown, Result, unknown>;

/**
 * All messages of one input, or none: the first that fails fails the input.
 * @throws PlantgateError INPUT_NOT_JSON, INPUT_TOO_LARGE, INPUT_INVALID, MAPPING_FAILED, KEY_INCOMPLETE, UNIT_UNKNOWN, DESTINATION_INVALID
 */
export function* mapInput(flow: CompiledFlow, input: FlowInput): Steps<Mapped> {
  const { type } = flow;
  if (!type) throw new PlantgateError("INVARIANT", `flow "${flow.name}" takes messages from central, not input`);
  if (input.body.byteLength > maxInputBytes) {
    throw new PlantgateError("INPUT_TOO_LARGE", `the input has ${input.body.byteLength} bytes, more than ${maxInputBytes}`, {
      context: { sizeBytes: input.body.byteLength },
    });
  }
  const payload = input.decoded === undefined ? decodeJson(input.body) : input.decoded;
  const outer: Inputs = { payload, ...(input.topic === undefined ? {} : { topic: input.topic.split("/") }) };
  const lines = flow.split ? listOf(yield* evaluate(flow.split, outer, "split")) : undefined;

  const messages: MappedLine[] = [];
  if (!lines) messages.push(yield* mapOne(flow, type, outer, input));
  for (const [index, line] of (lines ?? []).entries()) {
    try {
      messages.push(yield* mapOne(flow, type, { ...outer, line }, input));
    } catch (error) {
      if (!(error instanceof PlantgateError)) throw error;
      throw new PlantgateError(error.code, `line ${index + 1} of ${lines?.length}: ${error.message}`, {
        context: error.context,
        cause: error.cause,
      });
    }
  }
  const cursor = flow.cursors.get(input.connector);
  return cursor ? { messages, cursor: singleKey(yield* evaluate(cursor, outer, "cursor"), "cursor") } : { messages };
}

function* mapOne(flow: CompiledFlow, type: MessageType, inputs: Inputs, input: FlowInput): Steps<MappedLine> {
  const mapped = yield* dataOf(flow, inputs);
  const event = makeEvent(type.type, toShape(type.data, mapped), {
    id: input.newId(),
    site: flow.site,
    connector: input.connector,
    flow: flow.name,
    recordedAt: input.recordedAt,
    inputHash: input.inputHash,
  });
  const { key, idempotencyKey, toSite } = flow;
  const withData: Inputs = key || idempotencyKey || toSite ? { ...inputs, data: event.data } : inputs;
  if (key) event.partitionkey = yield* keyOf(key, withData);
  const hasOwnKey = event.idempotencykey !== undefined;
  if (idempotencyKey) event.idempotencykey = yield* keyOf(idempotencyKey, withData);
  const targetSite = toSite
    ? siteOf(yield* evaluate(toSite, withData, "site"), toSite.text, event)
    : flow.toCentral
      ? undefined
      : flow.site;
  // `data` is the last field of the line; the copy that this may need costs as much as the rest of the event
  const isWhole = targetSite === undefined && (!idempotencyKey || hasOwnKey);
  const whole = isWhole ? event : withDataLast(event, targetSite);
  return { lane: type.lane, event: whole, line: lineOf(whole) };
}

function withDataLast({ data, ...envelope }: CloudEvent, targetSite: string | undefined): CloudEvent {
  return { ...envelope, ...(targetSite === undefined ? {} : { targetsite: targetSite }), data };
}

function* dataOf(flow: CompiledFlow, inputs: Inputs): Steps<unknown> {
  if (flow.map === undefined) return "line" in inputs ? inputs.line : inputs.payload;
  if (!(flow.map instanceof Map)) return yield* evaluate(flow.map as Expression, inputs, "map");
  const data: Record<string, unknown> = {};
  for (const [field, expression] of flow.map as ReadonlyMap<string, Expression>) {
    const value = expression.sync ? evaluateNow(expression.sync, inputs, field) : yield* evaluate(expression, inputs, field);
    if (value !== undefined) data[field] = value;
  }
  return data;
}

/** A list stays a list, one value is a list of one. Nothing at all is a mistake: `[…]` around the expression says that it may be empty. */
function listOf(value: unknown): readonly unknown[] {
  if (value === undefined || value === null) throw new PlantgateError("INPUT_INVALID", "split found nothing in the input");
  const list: unknown[] = Array.isArray(value) ? value : [value];
  if (list.length > frameLimits.messages) {
    throw new PlantgateError(
      "INPUT_TOO_LARGE",
      `the input splits into ${list.length} messages, more than ${frameLimits.messages}`,
      { context: { messages: list.length } },
    );
  }
  return list;
}

/** The value of one expression. @throws PlantgateError MAPPING_FAILED, or what a function of ours threw */
export function* evaluate(expression: Expression, inputs: Inputs, name: string): Steps<unknown> {
  try {
    return yield expression.evaluate(inputs);
  } catch (error) {
    throw asMappingError(error, name);
  }
}

/** As {@link evaluate}, where nothing has to wait: a step costs more than most paths. */
function evaluateNow(sync: SyncEvaluator, inputs: Inputs, name: string): unknown {
  try {
    return sync(inputs);
  } catch (error) {
    throw asMappingError(error, name);
  }
}

function asMappingError(error: unknown, name: string): PlantgateError {
  if (error instanceof PlantgateError) return error;
  const { code, message } = error as { code?: unknown; message?: unknown };
  if (code === "D1012") return new PlantgateError("MAPPING_TIMEOUT", `${name}: the expression took too long`);
  const said = typeof message === "string" && message !== "" ? message : describeError(error);
  return new PlantgateError("MAPPING_FAILED", `${name}: ${said.slice(0, 500)}`);
}

/** The value of a key. @throws PlantgateError KEY_INCOMPLETE */
export function* keyOf(key: KeyExpression, inputs: Inputs): Steps<string> {
  const values: unknown[] = [];
  for (const part of key.parts)
    values.push(part.sync ? evaluateNow(part.sync, inputs, "key") : yield* evaluate(part, inputs, "key"));
  const names = key.parts.map((part) => part.text);
  return key.list ? joinKey(values, names) : singleKey(values[0], names[0]);
}

function siteOf(value: unknown, expression: string, event: CloudEvent): string {
  if (typeof value === "string" && value !== "") return value;
  throw new PlantgateError("DESTINATION_INVALID", `no site for ${event.subject}: ${expression} found nothing`, {
    context: { subject: event.subject },
  });
}

function lineOf(event: CloudEvent): string {
  const line = JSON.stringify(event);
  // a UTF-16 unit is at most three bytes of UTF-8, so that most lines need no count
  const sizeBytes = line.length * 3 > maxMessageBytes ? new TextEncoder().encode(line).byteLength : 0;
  if (sizeBytes > maxMessageBytes) {
    throw new PlantgateError("INPUT_TOO_LARGE", `the message has ${sizeBytes} bytes, more than ${maxMessageBytes}`, {
      context: { sizeBytes },
    });
  }
  return line;
}

/** Runs steps whose expressions all evaluate at once. @throws PlantgateError INVARIANT when one wants to wait */
export function runSync<Result>(steps: Steps<Result>): Result {
  let step = steps.next();
  while (!step.done) {
    if (step.value instanceof Promise) throw new PlantgateError("INVARIANT", "an expression of the fast path has to wait");
    step = steps.next(step.value);
  }
  return step.value;
}

/** Runs steps, waiting where an expression has to. */
export async function runSteps<Result>(steps: Steps<Result>): Promise<Result> {
  let step = steps.next();
  while (!step.done) {
    if (step.value instanceof Promise) {
      let value: unknown;
      try {
        value = await step.value;
      } catch (error) {
        step = steps.throw(error);
        continue;
      }
      step = steps.next(value);
    } else step = steps.next(step.value);
  }
  return step.value;
}
