import { PlantgateError } from "../../protocol/index.ts";
import type { Input, Prepared } from "../connector/connector.ts";
import type { Change, NewMessage, Sender } from "../queue/change.ts";

/** One input with what it became, not yet written. */
export class PreparedInput implements Prepared {
  readonly input: Input;
  /** Of the configuration that it was made by. */
  readonly generation: number;
  readonly change: Change;
  /** Of its first message. */
  readonly firstId: string | undefined;
  /** Those that took it. */
  readonly flows: readonly string[];

  constructor(input: Input, generation: number, change: Change, firstId?: string, flows: readonly string[] = []) {
    this.input = input;
    this.generation = generation;
    this.change = change;
    this.firstId = firstId;
    this.flows = flows;
  }
}

/** Several inputs as one change; an exactly-once input stands alone, because its marker decides over the whole change. */
export function mergeChanges(changes: readonly Change[]): Change {
  const [only] = changes;
  if (only && changes.length === 1) return only;
  if (changes.some((change) => change.marker))
    throw new PlantgateError("INVARIANT", "an exactly-once input came together with others");
  const inputs: Uint8Array[] = [];
  const senders: Sender[] = [];
  const messages: NewMessage[] = [];
  for (const change of changes) {
    for (const message of change.messages ?? [])
      messages.push(message.input === undefined ? message : { ...message, input: message.input + inputs.length });
    for (const input of change.inputs ?? []) inputs.push(input);
    for (const sender of change.senders ?? []) senders.push(sender);
  }
  return {
    messages,
    inputs,
    senders,
    deadLetters: changes.flatMap((change) => change.deadLetters ?? []),
    cursors: changes.flatMap((change) => change.cursors ?? []),
    from: changes.find((change) => change.from)?.from,
  };
}

/**
 * The change with bytes of its own. Inputs are views of what a socket read, and a message to the queue's thread would copy each of
 * those chunks whole.
 */
export function withOwnBytes(change: Change): Change {
  if (!change.inputs?.length && !change.deadLetters?.length) return change;
  return {
    ...change,
    inputs: change.inputs && compact(change.inputs),
    deadLetters: change.deadLetters?.map((letter) => ({ ...letter, body: new Uint8Array(letter.body) })),
  };
}

export function isEmpty(change: Change): boolean {
  return !change.messages?.length && !change.deadLetters?.length && !change.cursors?.length && !change.marker;
}

/** All of them in one buffer; the same input twice stays the same view, as the queue keeps it once. */
function compact(inputs: readonly Uint8Array[]): Uint8Array[] {
  const distinct = new Map<Uint8Array, Uint8Array>();
  let sizeBytes = 0;
  for (const input of inputs) {
    if (distinct.has(input)) continue;
    distinct.set(input, input);
    sizeBytes += input.byteLength;
  }
  const bytes = new Uint8Array(sizeBytes);
  let at = 0;
  for (const input of distinct.keys()) {
    bytes.set(input, at);
    distinct.set(input, bytes.subarray(at, at + input.byteLength));
    at += input.byteLength;
  }
  return inputs.map((input) => distinct.get(input) ?? input);
}
