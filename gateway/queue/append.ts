import { chainNext, type EpochMs, frameLimits, PlantgateError } from "../../protocol/index.ts";
import type { Change, Committed, NewMessage, QueueLane } from "./change.ts";
import type { Disk } from "./disk.ts";
import { encodeInputs, encodeText } from "./frame.ts";
import type { LaneState, StagedLanes } from "./lane-state.ts";
import { type RepeatEntry, type RepeatWindow, toRepeatEntry } from "./repeats.ts";
import type { Retention } from "./retention.ts";
import type { RunningTime } from "./running-time.ts";
import { framePosition } from "./schema.ts";
import { places, type Sealing } from "./sealing.ts";
import type { Statements } from "./statements.ts";
import { TotalsChange } from "./totals.ts";

/** Messages of one lane as they will lie in a frame: lines of NDJSON, each ended by a newline; at most what a frame takes. */
export interface PackedRun {
  readonly lane: QueueLane;
  readonly count: number;
  readonly text: Uint8Array;
}

export type RepeatKind = "repeats" | "received";
/** The plant's own repeats, and what came from central. */
export type RepeatWindows = Readonly<Record<RepeatKind, RepeatWindow>>;

interface Piece {
  readonly count: number;
  readonly text: Uint8Array;
  /** Of each message, where the piece keeps any. */
  readonly inputs?: readonly (Uint8Array | undefined)[];
}

/** What one transaction appends, before it is cut into frames; dropped whole where the transaction is taken back. */
export class Staged {
  readonly lanes: StagedLanes;
  readonly totals = new TotalsChange();
  readonly pieces = new Map<QueueLane, Piece[]>();
  /** What is new to each window. */
  readonly entries: Record<RepeatKind, RepeatEntry[]> = { repeats: [], received: [] };
  readonly #seen = new Map<string, string>();

  constructor(lanes: StagedLanes) {
    this.lanes = lanes;
  }

  appendRun({ lane, count, text }: PackedRun): void {
    this.#add(lane, { count, text });
  }

  /** Appends a change's messages but for repeats (rule 3); what contradicts an earlier one goes to `keepConflict`. */
  appendJudged(change: Change, windows: RepeatWindows, keepConflict: (message: NewMessage) => string): Committed {
    let appended = 0;
    let repeats = 0;
    const conflicts: string[] = [];
    const ownKeys = new Set<string>();
    for (const message of change.messages ?? []) {
      // two messages of one input under one key are not a repeat of the sender's, they are a mistake of the mapping
      const own = message.repeat && `${message.input}/${message.repeat.key}`;
      const doubled = own !== undefined && ownKeys.has(own);
      if (own !== undefined) ownKeys.add(own);
      const verdict = doubled ? "conflict" : this.#judgeRepeat(message, windows);
      if (verdict === "repeat") repeats += 1;
      else if (verdict === "conflict") conflicts.push(keepConflict(message));
      else {
        appended += 1;
        const keepsInput = message.lane === "transaction" || message.lane === "inbound";
        const input = message.input === undefined ? undefined : change.inputs?.[message.input];
        this.#add(message.lane, {
          count: 1,
          text: Buffer.from(`${message.line}\n`),
          ...(keepsInput && input !== undefined ? { inputs: [input] } : {}),
        });
      }
    }
    return { appended, repeats, conflicts };
  }

  #judgeRepeat({ lane, repeat }: NewMessage, windows: RepeatWindows): "new" | "repeat" | "conflict" {
    if (!repeat) return "new";
    const kind = lane === "inbound" ? "received" : "repeats";
    const entry = toRepeatEntry(repeat.key, repeat.hash);
    const before = this.#seen.get(kind + entry.key) ?? windows[kind].find(entry.key);
    if (before !== undefined) return before === entry.hash ? "repeat" : "conflict";
    this.#seen.set(kind + entry.key, entry.hash);
    this.entries[kind].push(entry);
    return "new";
  }

  #add(lane: QueueLane, piece: Piece): void {
    const pieces = this.pieces.get(lane);
    if (pieces) pieces.push(piece);
    else this.pieces.set(lane, [piece]);
  }
}

/** Judges, before anything is written, what a full disk or a spent budget refuses. */
export class Admission {
  readonly #retention: Retention;
  readonly #disk: Disk;

  constructor(retention: Retention, disk: Disk) {
    this.#retention = retention;
    this.#disk = disk;
  }

  /**
   * Why each lane takes nothing now. Samples are taken up to the last step: older ones make room. What waits for local systems counts for
   * what comes from central: a receiver that is away for long pushes back there.
   */
  refusals(lanes: ReadonlyMap<QueueLane, LaneState>, deliveryBytes: number): ReadonlyMap<QueueLane, PlantgateError> {
    const refused = new Map<QueueLane, PlantgateError>();
    const { state, freeBytes } = this.#disk.look();
    for (const lane of ["transaction", "bulk", "inbound"] as const) {
      const full = state === "refusing" || (state === "bulk-refused" && lane === "bulk");
      const bytes = (lanes.get(lane)?.bytes ?? 0) + (lane === "inbound" ? deliveryBytes : 0);
      const budget = this.#retention.maxBytes(lane);
      if (full) refused.set(lane, new PlantgateError("QUEUE_FULL", "the disk is full", { context: { lane, freeBytes } }));
      else if (bytes > budget)
        refused.set(
          lane,
          new PlantgateError("QUEUE_FULL", `lane ${lane} has used up its budget`, { context: { lane, bytes, budget } }),
        );
    }
    if (state === "refusing")
      refused.set(
        "telemetry",
        new PlantgateError("QUEUE_FULL", "the disk is full", { context: { lane: "telemetry", freeBytes } }),
      );
    return refused;
  }

  judge(
    entry: { readonly change: Change } | { readonly run: PackedRun },
    refusals: ReadonlyMap<QueueLane, PlantgateError>,
  ): PlantgateError | undefined {
    if (refusals.size === 0) return undefined;
    if ("run" in entry) return refusals.get(entry.run.lane);
    if (entry.change.control) return undefined;
    for (const { lane } of entry.change.messages ?? []) {
      const refusal = refusals.get(lane);
      if (refusal) return refusal;
    }
    // dead letters of others' inputs take room as well; only the last step refuses them
    return entry.change.deadLetters?.length ? refusals.get("telemetry") : undefined;
  }
}

export interface FrameWriterDeps {
  readonly statements: Statements;
  readonly sealing: Sealing;
  readonly running: RunningTime;
  readonly retention: Retention;
  readonly disk: Disk;
  readonly now: () => EpochMs;
}

/** Cuts what a transaction appends into frames and writes them, sealed where policy says so, each linked to the one before. */
export class FrameWriter {
  readonly #deps: FrameWriterDeps;

  constructor(deps: FrameWriterDeps) {
    this.#deps = deps;
  }

  write(staged: Staged): void {
    const { retention, disk, now } = this.#deps;
    for (const [lane, pieces] of staged.pieces) {
      const state = staged.lanes.touch(lane);
      const before = state.bytes;
      for (const frame of cutFrames(pieces)) this.#writeFrame(lane, state, frame);
      if (lane === "telemetry") retention.holdTelemetry(staged.lanes, state.bytes - before, disk.look().state !== "ok", now());
    }
  }

  #writeFrame(lane: QueueLane, state: LaneState, pieces: readonly Piece[]): void {
    const { statements, sealing, running, now } = this.#deps;
    const count = pieces.reduce((sum, piece) => sum + piece.count, 0);
    const events = encodeText(pieces.length === 1 ? (pieces[0] as Piece).text : Buffer.concat(pieces.map(({ text }) => text)));
    const raw = pieces.some((piece) => piece.inputs)
      ? encodeInputs(pieces.flatMap((piece) => piece.inputs ?? new Array<undefined>(piece.count).fill(undefined)))
      : undefined;
    const { next: first } = state;
    const linkedTo = state.chain;
    state.chain = chainNext(linkedTo, events);
    const sealed = sealing.seal(events, places.frame(lane, first, count, "events"));
    const inputs = raw && sealing.seal(raw, places.frame(lane, first, count, "inputs"));
    statements.run(
      "INSERT INTO frames (position, count, recorded_at, run_at, chain, hole, key, events, inputs, linked_to) VALUES (?, ?, ?, ?, ?, NULL, ?, ?, ?, ?)",
      framePosition(lane, first),
      count,
      now(),
      running.now(),
      state.chain,
      sealed.key,
      sealed.bytes,
      inputs?.bytes ?? null,
      linkedTo,
    );
    state.next += count;
    const bytes = sealed.bytes.byteLength + (inputs?.bytes.byteLength ?? 0);
    state.bytes += bytes;
    state.waitingBytes += bytes;
  }
}

/** What of raw inputs lies beside one frame, before it is compressed. */
const maxInputBytes = 4 * 1024 * 1024;

/** Frames of at most 1,000 messages and 1 MiB, and bounded inputs; a single larger piece has a frame of its own. */
function cutFrames(pieces: readonly Piece[]): Piece[][] {
  const frames: Piece[][] = [];
  let current: Piece[] = [];
  let [count, bytes, inputs] = [0, 0, 0];
  for (const piece of pieces) {
    const ownInputs = piece.inputs?.reduce((sum, input) => sum + (input?.byteLength ?? 0), 0) ?? 0;
    const fits =
      count + piece.count <= frameLimits.messages &&
      bytes + piece.text.byteLength <= frameLimits.bytes &&
      inputs + ownInputs <= maxInputBytes;
    if (current.length > 0 && !fits) {
      frames.push(current);
      [current, count, bytes, inputs] = [[], 0, 0, 0];
    }
    current.push(piece);
    count += piece.count;
    bytes += piece.text.byteLength;
    inputs += ownInputs;
  }
  if (current.length > 0) frames.push(current);
  return frames;
}
