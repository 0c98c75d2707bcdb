import type { z } from "zod";
import { type CloudEvent, describeError, describeIssues, type ErrorCode, PlantgateError } from "../../../protocol/index.ts";
import type { Outcome } from "../connector.ts";
import { type OdooClient, OdooError } from "./client.ts";
import { NotYetKnown, type WasReleased } from "./order.ts";
import { type Measures, Unbookable } from "./quantities.ts";

/** What an operation works with. */
export interface Desk {
  readonly client: OdooClient;
  /** Prefix of canonical order ids. */
  readonly erp: string;
  readonly measures: Measures;
  readonly wasReleased: WasReleased;
  readonly signal: AbortSignal;
}

/** Whether the effect is there. */
export type Found = { readonly kind: "done"; readonly detail: string } | { readonly kind: "not-done" };

/**
 * One way of booking a message. `book` is called when `find` did not find it done and no earlier call of its order can be at work any
 * more; it goes on from wherever an earlier attempt ended, each step being absolute or preceded by a read that shows whether it happened.
 */
export interface Operation {
  find(desk: Desk, event: CloudEvent): Promise<Found>;
  book(desk: Desk, event: CloudEvent): Promise<Outcome>;
}

export const notDone: Found = { kind: "not-done" };

export function done(detail: string): Found & Outcome {
  return { kind: "done", detail };
}

/** The data of `event` by its type's own schema. @throws Unbookable */
export function dataOf<Schema extends z.ZodType>(
  type: { readonly type: string; readonly data: Schema },
  event: CloudEvent,
): z.infer<Schema> {
  if (event.type !== type.type) throw new Unbookable(`${event.type} cannot be booked here, only ${type.type}`);
  const parsed = type.data.safeParse(event.data);
  if (!parsed.success) throw new Unbookable(describeIssues(parsed.error));
  return parsed.data;
}

/** What is wrong with the message itself; what the gateway lacks (a secret, a setting) is put right without it. */
const ofTheMessage: readonly ErrorCode[] = [
  "INPUT_INVALID",
  "INPUT_NOT_JSON",
  "INPUT_TOO_LARGE",
  "KEY_INCOMPLETE",
  "UNIT_UNKNOWN",
];

/** The outcome of an attempt that threw. */
export function outcomeOf(error: unknown): Outcome {
  if (error instanceof OdooError) return outcomeOfFailure(error);
  if (error instanceof NotYetKnown) return { kind: "retry", reason: `${error.message}; waiting for it` };
  if (error instanceof Unbookable || (error instanceof PlantgateError && ofTheMessage.includes(error.code)))
    return { kind: "refused", reason: describeError(error) };
  return { kind: "retry", reason: describeError(error) };
}

function outcomeOfFailure(error: OdooError): Outcome {
  const reason = error.message;
  switch (error.failure) {
    case "no-answer":
      return error.wrote ? { kind: "unknown", reason } : { kind: "retry", reason };
    case "refused":
    case "fault":
      return { kind: "refused", reason };
    case "missing": // a record went away between reading and writing: the next attempt reads anew
    case "busy":
    case "denied":
    case "elsewhere":
    case "unsent":
      return { kind: "retry", reason };
  }
}

/** The wizard that Odoo answered with instead of doing it, for a person to read. */
export function wizardOf(answer: unknown): string {
  const model = typeof answer === "object" && answer !== null && "res_model" in answer ? answer.res_model : undefined;
  return typeof model === "string" ? ` Odoo asks a question first (${model}).` : "";
}
