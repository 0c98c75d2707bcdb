import { z } from "zod";
import { type EpochMs, toInstant } from "./base/clock.ts";
import { PlantgateError } from "./base/error.ts";
import { escapeKey } from "./flow/key.ts";
import { identifier, instant } from "./types/common.ts";
import { messageTypeOf } from "./types/index.ts";

/** A message on disk and on the wire is one line of NDJSON of at most this many bytes. */
export const maxMessageBytes = 256 * 1024;

/**
 * CloudEvents 1.0 in JSON format with our extensions (packaging/docs/protocol.md).
 * On disk and in a batch a line has no `sequence`: it is the frame's first sequence plus its index, and readers add it.
 */
export const cloudEvent = z.strictObject({
  specversion: z.literal("1.0"),
  id: identifier,
  /** `urn:plantgate:<site>:<connector>` */
  source: z.string().min(1).max(256),
  type: identifier,
  subject: z.string().min(1).max(256),
  /** When it happened, by the source's clock. */
  time: instant,
  datacontenttype: z.literal("application/json"),
  dataschema: z.string().min(1).max(256),
  /** When the gateway recorded it, by the gateway's clock. */
  recordedtime: instant,
  site: identifier,
  /** The flow that made it. */
  flow: identifier.optional(),
  /** The ordering key (P4). */
  partitionkey: z.string().min(1).max(512),
  /** Unique per site and type: what makes a repeat a repeat. */
  idempotencykey: z.string().min(1).max(512).optional(),
  /** SHA-256 of the raw input, which stays in the plant; conflicts are judged on it. */
  inputhash: z
    .string()
    .regex(/^[0-9a-f]{64}$/)
    .optional(),
  /** Only this site may receive it; absent: every site that consumes the type. */
  targetsite: identifier.optional(),
  correlationid: z.string().min(1).max(256).optional(),
  causationid: z.string().min(1).max(256).optional(),
  /** 20 digits, zero-padded, so that text order is number order. */
  sequence: z
    .string()
    .regex(/^\d{20}$/)
    .optional(),
  data: z.record(z.string(), z.json()),
});
export type CloudEvent = z.infer<typeof cloudEvent>;

export interface EventOrigin {
  readonly id: string;
  readonly site: string;
  readonly connector: string;
  readonly flow?: string;
  readonly recordedAt: EpochMs;
  readonly inputHash?: string;
  readonly key?: string;
  readonly idempotencyKey?: string;
  readonly targetSite?: string;
  readonly correlationId?: string;
  readonly causationId?: string;
}

/**
 * The event of `data`, which the type's schema has to accept; keys fall back to the type's own.
 * @throws PlantgateError INPUT_INVALID with every problem and its path; INPUT_TOO_LARGE is judged where the line is made
 */
export function makeEvent(typeName: string, data: unknown, origin: EventOrigin): CloudEvent {
  const type = messageTypeOf(typeName);
  const parsed = type.data.safeParse(data);
  if (!parsed.success)
    throw new PlantgateError("INPUT_INVALID", `${type.type}: ${describeIssues(parsed.error)}`, { context: { type: type.type } });
  const valid = parsed.data as CloudEvent["data"];
  const parts = type.idempotencyKey?.(valid);
  const idempotencyKey = origin.idempotencyKey ?? (parts === undefined ? undefined : escapeKey(parts.map(String)));
  return {
    specversion: "1.0",
    id: origin.id,
    source: `urn:plantgate:${origin.site}:${origin.connector}`,
    type: type.type,
    subject: type.subject(valid),
    time: type.time?.(valid) ?? toInstant(origin.recordedAt),
    datacontenttype: "application/json",
    dataschema: schemaId(type.type),
    recordedtime: toInstant(origin.recordedAt),
    site: origin.site,
    ...(origin.flow === undefined ? {} : { flow: origin.flow }),
    partitionkey: origin.key ?? type.key(valid),
    ...(idempotencyKey === undefined ? {} : { idempotencykey: idempotencyKey }),
    ...(origin.inputHash === undefined ? {} : { inputhash: origin.inputHash }),
    ...(origin.targetSite === undefined ? {} : { targetsite: origin.targetSite }),
    ...(origin.correlationId === undefined ? {} : { correlationid: origin.correlationId }),
    ...(origin.causationId === undefined ? {} : { causationid: origin.causationId }),
    data: valid,
  };
}

/** The `$id` of a type's JSON Schema: `urn:plantgate:schema:mfg.pick.confirmed.v1`. */
export function schemaId(type: string): string {
  return `urn:plantgate:schema:${type}`;
}

/** What was parsed from JSON holds JSON: to walk through the data for that would cost more than all else that is judged. */
const lineEnvelope = cloudEvent.extend({
  data: z.custom<CloudEvent["data"]>((data) => typeof data === "object" && data !== null && !Array.isArray(data), {
    error: "Invalid input: expected record",
  }),
});

/**
 * One line of a batch or frame, judged whole: envelope, type, data.
 * @throws PlantgateError INPUT_NOT_JSON, INPUT_INVALID
 */
export function parseEvent(line: string): CloudEvent {
  let raw: unknown;
  try {
    raw = JSON.parse(line);
  } catch (cause) {
    throw new PlantgateError("INPUT_NOT_JSON", "the line is not JSON", { cause });
  }
  const event = lineEnvelope.safeParse(raw);
  if (!event.success) throw new PlantgateError("INPUT_INVALID", `envelope: ${describeIssues(event.error)}`);
  const data = messageTypeOf(event.data.type).data.safeParse(event.data.data);
  if (!data.success) throw new PlantgateError("INPUT_INVALID", `${event.data.type}: ${describeIssues(data.error)}`);
  return event.data;
}

/** All problems of a failed parse in one line, each with its path. */
export function describeIssues(error: z.ZodError): string {
  return error.issues
    .slice(0, 20)
    .map((issue) => (issue.path.length > 0 ? `${issue.path.join(".")}: ${issue.message}` : issue.message))
    .join("; ");
}
