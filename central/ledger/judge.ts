import { type CloudEvent, describeError, type Lane, maxMessageBytes, messageTypeOf, parseEvent } from "../../protocol/index.ts";
import type { Routes } from "../router/routes.ts";

/** One line of a batch with its place. */
export interface PlacedLine {
  readonly sequence: number;
  readonly line: string;
}
export type QuarantineCode =
  | "undecodable"
  | "site-mismatch"
  | "lane-mismatch"
  | "type-not-granted"
  | "conflict"
  | "projection-failed";
export type Judged =
  | { readonly kind: "accepted"; readonly placed: PlacedLine; readonly event: CloudEvent }
  | { readonly kind: "refused"; readonly placed: PlacedLine; readonly code: QuarantineCode; readonly reason: string };

/** Judges a line by itself: whole, of its sender's site and lane, of a type that the site may send (rule 15). */
export function judgeLine(
  placed: PlacedLine,
  sender: { readonly site: string; readonly lane: Lane },
  routes: Pick<Routes, "maySend">,
): Judged {
  const refuse = (code: QuarantineCode, reason: string): Judged => ({ kind: "refused", placed, code, reason });
  if (Buffer.byteLength(placed.line) > maxMessageBytes)
    return refuse("undecodable", `the message is larger than ${maxMessageBytes} bytes`);
  let event: CloudEvent;
  try {
    event = parseEvent(placed.line);
  } catch (error) {
    return refuse("undecodable", describeError(error));
  }
  if (event.site !== sender.site)
    return refuse("site-mismatch", `the message names site "${event.site}", it was sent by "${sender.site}"`);
  const { lane } = messageTypeOf(event.type);
  if (lane !== sender.lane)
    return refuse("lane-mismatch", `${event.type} belongs to lane ${lane}, it came in lane ${sender.lane}`);
  if (!routes.maySend(sender.site, event.type))
    return refuse("type-not-granted", `site "${sender.site}" may not send ${event.type}`);
  return { kind: "accepted", placed, event };
}

/** What a message was made of: the hash of its raw input, else of its data (rule 20). */
export function sameInput(a: { inputhash?: string; data: unknown }, b: { inputhash?: string; data: unknown }): boolean {
  if (a.inputhash !== undefined && b.inputhash !== undefined) return a.inputhash === b.inputhash;
  return JSON.stringify(a.data) === JSON.stringify(b.data);
}
