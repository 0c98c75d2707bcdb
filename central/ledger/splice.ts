import { findMessageType, toInstant } from "../../protocol/index.ts";
import { historicalMs, lineEnd, lineStart, type SliceRow, skipsOf, typesOf } from "./lines.ts";

/** Which messages of a slice are wanted. */
export interface Wanted {
  /** Positions behind this one. */
  readonly after: number;
  readonly most: number;
  /** Bytes of their text at most; the first message passes where nothing came before it. */
  readonly mostBytes: number;
  readonly first: boolean;
  readonly state: "recorded" | "repeat";
  readonly type: string | undefined;
}
/** Messages as text, and where the last of them stands. */
export interface Spliced {
  readonly kind: "messages" | "gap";
  readonly text: Buffer;
  readonly count: number;
  readonly last: number;
  /** There is more, for which there was no room. */
  readonly full: boolean;
}

const closingBrace = 0x7d;
/** What stands around an event: at most, and usually. */
const framingBytes = 1024;
const usualFraming = 360;

/**
 * The messages of a slice as `LedgerMessage` texts, one a line, without parsing an event: what the ledger adds (position, place, the
 * event's sequence) is written around the line that the gateway wrote.
 */
export function spliceMessages(slice: SliceRow, frames: Buffer, wanted: Wanted): Spliced {
  const skips = skipsOf(slice);
  const types = typesOf(slice);
  // where all that is recorded is of the wanted type, no line is looked into
  const every = wanted.type === undefined || (wanted.state === "recorded" && types.length === 1 && types[0] === wanted.type);
  const from = Math.max(0, wanted.after + 1 - slice.position);
  const place = `,"site":${JSON.stringify(slice.site)},"lane":"${slice.lane}","epoch":${JSON.stringify(slice.epoch)},"sequence":`;
  const historical = slice.age_ms > historicalMs ? ',"historical":true' : "";
  const recorded = `,"recordedAt":"${toInstant(slice.received_at)}"${historical},"event":`;

  const most = Math.min(slice.count - from, wanted.most);
  let out = Buffer.allocUnsafe(
    Math.min(frames.length, Math.ceil((2 * frames.length * most) / slice.count)) + most * usualFraming + framingBytes,
  );
  let [at, size, count, last] = [lineStart(frames, slice.skip_lines + from), 0, 0, wanted.after];
  for (let index = from; index < slice.count && count < wanted.most; index++) {
    const end = lineEnd(frames, at);
    const start = at;
    at = end + 1;
    const skipped = skips.get(index);
    if (skipped === undefined ? wanted.state !== "recorded" : wanted.state !== "repeat" || skipped === 0) continue;
    if (!every && typeOf(frames, start, end) !== wanted.type) continue;
    if (size + (end - start) > wanted.mostBytes && !(wanted.first && count === 0)) {
      return { kind: "messages", text: out.subarray(0, size), count, last, full: true };
    }
    const needed = size + (end - start) + framingBytes;
    if (needed > out.length) out = Buffer.concat([out.subarray(0, size)], needed * 2);
    const sequence = slice.first_sequence + index;
    last = slice.position + index;
    size += out.write(`{"position":${last}`, size, "latin1");
    size += out.write(place, size, "utf8");
    size += out.write(`${sequence}${recorded}`, size, "latin1");
    const closed = frames[end - 1] === closingBrace ? end - 1 : frames.lastIndexOf(closingBrace, end);
    size += frames.copy(out, size, start, closed);
    size += out.write(`,"sequence":"${String(sequence).padStart(20, "0")}"}}\n`, size, "latin1");
    count++;
  }
  return { kind: "messages", text: out.subarray(0, size), count, last, full: false };
}

/** What stands for the messages of a slice that cannot be read, behind a position: a `LedgerGap`, with a newline. */
export function spliceGap(slice: SliceRow, after: number): Spliced {
  const { site, lane, epoch, position, count, first_sequence } = slice;
  const from = Math.max(0, after + 1 - position);
  const [last, sequences] = [position + count - 1, { first: first_sequence + from, last: first_sequence + count - 1 }];
  const gap = { position: last, site, lane, epoch, unreadable: { firstPosition: position + from, ...sequences } };
  return { kind: "gap", text: Buffer.from(`${JSON.stringify(gap)}\n`), count: 0, last, full: false };
}

/** How gateways begin a line; an escape in what comes before the type, or another order, is read the long way. */
const beginning = /^\{"specversion":"1\.0","id":"[^"\\]*","source":"[^"\\]*","type":"([^"\\]*)"/;
const beginningBytes = 1024;

function typeOf(frames: Buffer, start: number, end: number): string {
  const found = beginning.exec(frames.toString("latin1", start, Math.min(end, start + beginningBytes)));
  return found?.[1] ?? (JSON.parse(frames.toString("utf8", start, end)) as { type: string }).type;
}

/** A type as configuration writes it, or whole: the whole name. */
export function fullType(name: string): string {
  return findMessageType(name)?.type ?? name;
}
