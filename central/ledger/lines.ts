import { type CloudEvent, type Lane, PlantgateError } from "../../protocol/index.ts";
import type { Storage, StorageTransaction } from "../storage/storage.ts";
import type { FramePlace, Frames } from "./frames.ts";

/** A row of `slices`, as far as its lines are concerned. */
export interface SliceRow {
  readonly position: number;
  readonly count: number;
  readonly site: string;
  readonly lane: Lane;
  readonly epoch: string;
  readonly first_sequence: number;
  readonly batch: number;
  readonly body_offset: number;
  readonly body_bytes: number;
  readonly skip_lines: number;
  readonly types: string;
  readonly skips: string | null;
  readonly received_at: number;
  readonly age_ms: number;
}
export const sliceColumns = [
  "slices.position",
  "slices.count",
  "slices.site",
  "slices.lane",
  "slices.epoch",
  "slices.first_sequence",
  "slices.batch",
  "slices.body_offset",
  "slices.body_bytes",
  "slices.skip_lines",
  "slices.types",
  "slices.skips",
  "slices.received_at",
  "slices.age_ms",
] as const;

/** Messages whose batch had waited longer than this in the gateway are history, not news. */
export const historicalMs = 10_000;

const newline = 0x0a;

/**
 * What stands in a slice for some of its messages, by their index: the position of the one that it repeats, 0 for a line that was set aside.
 * @throws PlantgateError FRAME_CORRUPT
 */
export function skipsOf({ skips }: Pick<SliceRow, "skips">): ReadonlyMap<number, number> {
  return new Map(skips === null ? [] : (readRow(skips) as [number, number][]));
}

/** The types of a slice's recorded messages. @throws PlantgateError FRAME_CORRUPT */
export function typesOf({ types }: Pick<SliceRow, "types">): string[] {
  return Object.keys(readRow(types) as Record<string, number>);
}

function readRow(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new PlantgateError("FRAME_CORRUPT", "a row of the ledger cannot be read any more", { cause });
  }
}

/** Where the frames lie that hold a slice. */
export function placeOf(slice: SliceRow): FramePlace {
  const { site, lane, batch, body_offset: bodyOffset, body_bytes: bodyBytes, received_at: receivedAt } = slice;
  return { site, lane, batch, bodyOffset, bodyBytes, receivedAt };
}

/**
 * Where the line ends that begins at `at`.
 * @throws PlantgateError FRAME_CORRUPT where there is none: the frames hold less than their batch says
 */
export function lineEnd(text: Buffer, at: number): number {
  const end = text.indexOf(newline, at);
  if (end === -1) throw linesMissing();
  return end;
}

export function linesMissing(): PlantgateError {
  return new PlantgateError("FRAME_CORRUPT", "the frames of a recorded batch hold fewer lines than it says");
}

/** Where the line begins that `skip` lines come before. @throws PlantgateError FRAME_CORRUPT where there are fewer */
export function lineStart(text: Buffer, skip: number): number {
  let at = 0;
  for (let line = skip; line > 0; line--) at = lineEnd(text, at) + 1;
  return at;
}

/** Lines of the ledger one by one. Positions that rise are found from where the one before lies. */
export class Lines {
  readonly #db: Storage | StorageTransaction;
  readonly #frames: Frames;
  #before: { readonly slice: number; readonly index: number; readonly start: number } | undefined;

  constructor(db: Storage | StorageTransaction, frames: Frames) {
    this.#db = db;
    this.#frames = frames;
  }

  /** The line at a position of a slice, as its gateway wrote it. */
  at(slice: SliceRow, position: number): Promise<string> {
    const index = position - slice.position;
    const before = this.#before;
    const near = before?.slice === slice.position && before.index <= index ? before : undefined;
    return this.#frames.use(this.#db, placeOf(slice), (text) => {
      let start = near?.start ?? lineStart(text, slice.skip_lines);
      for (let line = near?.index ?? 0; line < index; line++) start = lineEnd(text, start) + 1;
      const end = lineEnd(text, start);
      this.#before = { slice: slice.position, index, start };
      return text.toString("utf8", start, end);
    });
  }
}

/** A recorded line's event. @throws PlantgateError FRAME_CORRUPT for what never was one */
export function parseLine(line: string): CloudEvent {
  try {
    return JSON.parse(line) as CloudEvent;
  } catch (cause) {
    throw new PlantgateError("FRAME_CORRUPT", "a recorded line is not JSON any more", { cause });
  }
}

/** The event at a position of the ledger. @throws when there is none */
export async function eventAt(db: Storage | StorageTransaction, frames: Frames, position: number): Promise<CloudEvent> {
  const slice = await db
    .selectFrom("slices")
    .select(sliceColumns)
    .where("position", "<=", position)
    .orderBy("position", "desc")
    .limit(1)
    .executeTakeFirstOrThrow();
  return parseLine(await new Lines(db, frames).at(slice, position));
}
