import { frameLimits, type PlantgateError } from "../../protocol/index.ts";
import type { PackedRun } from "./append.ts";
import type { GroupEntry } from "./apply.ts";
import type { Change, Committed, NewMessage, QueueLane } from "./change.ts";
import type { EntryReply, QueueFailure } from "./worker.ts";

/** A commit that waits to go to the worker. */
interface Pending {
  readonly change: Change;
  readonly resolve: (committed: Committed) => void;
  readonly reject: (error: PlantgateError) => void;
}

/** Changes that one group takes. */
const maxChanges = 2000;
/** A group of this size goes to the worker while the rest of its turn is still being packed, so that neither waits for the other. */
const fullGroupBytes = 64 * 1024;
const newline = 0x0a;
/** Of a run, in characters: no line of ours is mostly of characters that take more than two bytes. */
const maxRunCharacters = frameLimits.bytes / 2;

/**
 * Collects commits and packs them for the way to the worker: messages that need no judging (no repeat to look for, no input to keep) go
 * as text, as they will lie in a frame, whoever committed them; a copy of each as an object would cost more than its flush.
 */
export class GroupPacker {
  #full: PackedGroup[] = [];
  #filling = new PackedGroup();

  /** Groups that would only grow older by waiting for more. */
  get hasFull(): boolean {
    return this.#full.length > 0;
  }

  get isEmpty(): boolean {
    return this.#full.length === 0 && this.#filling.size === 0;
  }

  add(pending: Pending): void {
    this.#filling.add(pending);
    if (this.#filling.bytes < fullGroupBytes && this.#filling.size < maxChanges) return;
    this.#full.push(this.#filling);
    this.#filling = new PackedGroup();
  }

  /** The oldest group, ready to go; the one that is still filled last of all. */
  take(): PackedGroup | undefined {
    const group = this.#full.shift() ?? (this.#filling.size > 0 ? this.#filling : undefined);
    if (group === this.#filling) this.#filling = new PackedGroup();
    group?.seal();
    return group;
  }
}

/** A run that still takes messages. */
interface OpenRun {
  readonly lane: QueueLane;
  readonly lines: string[];
  characters: number;
}

/** One group on its way: the entries as the worker takes them, and who waits for which. */
export class PackedGroup {
  readonly entries: GroupEntry[] = [];
  readonly transfer: ArrayBuffer[] = [];
  /** Who waits, by entry; several share a run. */
  readonly #waiters: Pending[][] = [];
  readonly #lanes = new Set<QueueLane>();
  #run: OpenRun | undefined;
  #characters = 0;
  #size = 0;

  /** About how large it is: characters of the lines. */
  get bytes(): number {
    return this.#characters;
  }

  /** Commits in it. */
  get size(): number {
    return this.#size;
  }

  add(pending: Pending): void {
    this.#size += 1;
    const { messages } = pending.change;
    const lane = plainLane(pending.change);
    if (lane === undefined || messages === undefined) {
      this.#closeRun();
      this.entries.push({ change: pending.change });
      this.#waiters.push([pending]);
      for (const message of messages ?? []) {
        this.#lanes.add(message.lane);
        this.#characters += message.line.length;
      }
      for (const input of pending.change.inputs ?? []) this.#characters += input.byteLength;
      for (const { body } of pending.change.deadLetters ?? []) this.#characters += body.byteLength;
      return;
    }
    if (!this.#fits(lane, messages)) this.#closeRun();
    this.#run ??= this.#openRun(lane);
    for (const { line } of messages) {
      this.#run.lines.push(line);
      this.#run.characters += line.length + 1;
      this.#characters += line.length;
    }
    this.#waiters.at(-1)?.push(pending);
  }

  seal(): void {
    this.#closeRun();
  }

  /** Answers everyone; returns the lanes that were appended to. */
  settle(replies: readonly EntryReply[] | "plain", toError: (failure: QueueFailure) => PlantgateError): ReadonlySet<QueueLane> {
    let appended = replies === "plain";
    for (const [index, waiters] of this.#waiters.entries()) {
      const reply = replies === "plain" ? "plain" : (replies[index] ?? "plain");
      if (typeof reply === "object" && "refused" in reply) {
        const error = toError(reply.refused);
        for (const { reject } of waiters) reject(error);
        continue;
      }
      for (const { change, resolve } of waiters)
        resolve(reply === "plain" ? { appended: change.messages?.length ?? 0, repeats: 0, conflicts: [] } : reply);
      appended ||= reply === "plain" || reply.appended > 0;
    }
    return appended ? this.#lanes : new Set();
  }

  fail(error: PlantgateError): void {
    for (const waiters of this.#waiters) for (const { reject } of waiters) reject(error);
  }

  #fits(lane: QueueLane, messages: readonly NewMessage[]): boolean {
    const run = this.#run;
    if (!run || run.lane !== lane) return false;
    const characters = run.characters + charactersOf(messages);
    return run.lines.length + messages.length <= frameLimits.messages && characters <= maxRunCharacters;
  }

  #openRun(lane: QueueLane): OpenRun {
    this.#lanes.add(lane);
    this.#waiters.push([]);
    return { lane, lines: [], characters: 0 };
  }

  #closeRun(): void {
    if (!this.#run) return;
    const { lane, lines, characters } = this.#run;
    this.#run = undefined;
    const text = encodeLines(lines, characters);
    const run: PackedRun = { lane, count: lines.length, text };
    this.entries.push({ run });
    this.transfer.push(text.buffer);
  }
}

/** As `lines.join("\n")` with a newline at the end, in UTF-8; in a third of the time where all of it is ASCII, as nearly always. */
function encodeLines(lines: readonly string[], characters: number): Uint8Array<ArrayBuffer> {
  // three bytes to spare: then not even a line that is cut off for want of room takes as many bytes as it has characters
  const text = Buffer.allocUnsafeSlow(characters + 3);
  let at = 0;
  for (const line of lines) {
    const written = text.write(line, at);
    if (written !== line.length) return new TextEncoder().encode(`${lines.join("\n")}\n`);
    at += written;
    text[at++] = newline;
  }
  return text.subarray(0, at);
}

function charactersOf(messages: readonly NewMessage[]): number {
  return messages.reduce((sum, { line }) => sum + line.length + 1, 0);
}

/** The lane of a change that only appends messages as they are; undefined where there is more to it. */
function plainLane(change: Change): QueueLane | undefined {
  const { messages } = change;
  const [first] = messages ?? [];
  if (!messages || !first || messages.length > frameLimits.messages) return undefined;
  const { marker, releaseMarker, cursors, deadLetters, acknowledged, dispatched, provided, control } = change;
  const more = marker ?? releaseMarker ?? acknowledged ?? dispatched ?? provided ?? control;
  if (more !== undefined || cursors?.length || deadLetters?.length) return undefined;
  if (change.newDeliveries?.length || change.deliveryUpdates?.length || change.doneDeliveries?.length) return undefined;
  const keepsInput = first.lane === "transaction" || first.lane === "inbound";
  const plain = messages.every(
    ({ lane, repeat, input }) => lane === first.lane && repeat === undefined && (input === undefined || !keepsInput),
  );
  return plain && (messages.length === 1 || charactersOf(messages) <= maxRunCharacters) ? first.lane : undefined;
}
