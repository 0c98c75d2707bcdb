import { isUtf8 } from "node:buffer";
import {
  type CloudEvent,
  describeError,
  equipmentSampled,
  type Lane,
  maxMessageBytes,
  messageTypeOf,
  parseEvent,
} from "../../protocol/index.ts";
import type { Routes } from "../router/routes.ts";
import { lineEnd, lineStart, linesMissing } from "./lines.ts";
import { type Evidence, evidenceOf, type QuarantineCode } from "./quarantine.ts";
import { type SampleLines, sampleLines } from "./sample-line.ts";

/** A line that is set aside, by its index in the stretch. */
export interface Refused {
  readonly index: number;
  readonly evidence: Evidence;
  readonly code: QuarantineCode;
  readonly reason: string;
}
/** What the lines of a stretch are. Recognized samples are only counted: nothing else follows from them. */
export interface JudgedLines {
  readonly samples: number;
  readonly accepted: readonly { readonly index: number; readonly line: string; readonly event: CloudEvent }[];
  readonly refused: readonly Refused[];
}
export interface LineSender {
  readonly site: string;
  readonly lane: Lane;
}

const recognizers = new Map<string, SampleLines>();

/**
 * Judges `count` lines of some frames' text, behind the first `skip`: whole, of their sender's site and lane, of a type that it may send.
 * @throws PlantgateError FRAME_CORRUPT where there are fewer
 */
export function judgeLines(
  frames: Buffer,
  skip: number,
  count: number,
  sender: LineSender,
  routes: Pick<Routes, "maySend">,
): JudgedLines {
  const accepted: { index: number; line: string; event: CloudEvent }[] = [];
  const refused: Refused[] = [];
  const valid = isUtf8(frames);
  const text = valid ? frames.toString("utf8") : "";
  const recognize = valid && sender.lane === "telemetry" && routes.maySend(sender.site, equipmentSampled.type);
  let [samples, at] = [0, valid ? textLineStart(text, skip) : lineStart(frames, skip)];
  for (let index = 0; index < count; ) {
    if (recognize) {
      const { lines, end } = recognizerOf(sender.site).count(text, at, count - index);
      samples += lines;
      index += lines;
      at = end;
      if (index === count) break;
    }
    const end = valid ? textLineEnd(text, at) : lineEnd(frames, at);
    const line = valid ? text.slice(at, end) : decode(frames.subarray(at, end));
    const judged = typeof line === "string" ? judgeLine(line, sender, routes) : line;
    if ("event" in judged) accepted.push({ index, ...judged });
    else refused.push({ index, ...judged });
    at = end + 1;
    index++;
  }
  return { samples, accepted, refused };
}

type Refusal = Omit<Refused, "index">;

/** Judges a line by itself (rule 15). */
function judgeLine(
  line: string,
  sender: LineSender,
  routes: Pick<Routes, "maySend">,
): { line: string; event: CloudEvent } | Refusal {
  const refuse = (code: QuarantineCode, reason: string): Refusal => ({ evidence: evidenceOf(line), code, reason });
  // characters first: only a long text's bytes are counted
  if (line.length * 3 > maxMessageBytes && Buffer.byteLength(line) > maxMessageBytes)
    return refuse("undecodable", `the message is larger than ${maxMessageBytes} bytes`);
  let event: CloudEvent;
  try {
    event = parseEvent(line);
  } catch (error) {
    return refuse("undecodable", describeError(error));
  }
  if (event.sequence !== undefined) return refuse("undecodable", "a line of a batch has no sequence of its own");
  if (event.site !== sender.site)
    return refuse("site-mismatch", `the message names site "${event.site}", it was sent by "${sender.site}"`);
  const { lane } = messageTypeOf(event.type);
  if (lane !== sender.lane)
    return refuse("lane-mismatch", `${event.type} belongs to lane ${lane}, it came in lane ${sender.lane}`);
  if (!routes.maySend(sender.site, event.type))
    return refuse("type-not-granted", `site "${sender.site}" may not send ${event.type}`);
  return { line, event };
}

function decode(bytes: Buffer): string | Refusal {
  if (isUtf8(bytes)) return bytes.toString("utf8");
  return { evidence: evidenceOf(bytes), code: "undecodable", reason: "the line is not UTF-8" };
}

function textLineEnd(text: string, at: number): number {
  const end = text.indexOf("\n", at);
  if (end === -1) throw linesMissing();
  return end;
}
function textLineStart(text: string, skip: number): number {
  let at = 0;
  for (let line = 0; line < skip; line++) at = textLineEnd(text, at) + 1;
  return at;
}

function recognizerOf(site: string): SampleLines {
  let known = recognizers.get(site);
  if (!known) {
    known = sampleLines(site);
    recognizers.set(site, known);
  }
  return known;
}
