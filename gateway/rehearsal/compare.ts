import type { ErrorCode } from "../../protocol/index.ts";

/** One message as far as anybody outside sees it, with what would go to each of its local destinations. */
export interface MadeMessage {
  /** What two ways of doing the same have in common where they agree: its type and idempotency key, else its ordering key. */
  readonly key: string;
  readonly value: Readonly<Record<string, unknown>>;
}

export interface Refusal {
  readonly code: ErrorCode;
  readonly reason: string;
}

/** What one way makes of an input. Refused: of its messages, or of what one of its destinations would have got, nothing. */
export interface Made {
  readonly messages: readonly MadeMessage[];
  readonly refusals: readonly Refusal[];
  /** Where the way polls with one. */
  readonly cursor?: string;
}

/** One place at which two ways differ. A side that is absent does not have it. */
export interface Difference {
  readonly path: string;
  readonly before?: unknown;
  readonly after?: unknown;
}

/** Of two messages that are compared, or of one that only one side has. */
export interface Pair {
  readonly before?: MadeMessage;
  readonly after?: MadeMessage;
}

/** Pairs messages by their keys, and what is left over in the order in which it stands: a key may be what differs. */
export function paired(before: readonly MadeMessage[], after: readonly MadeMessage[]): Pair[] {
  const left = new Map<string, MadeMessage[]>();
  for (const message of after) left.set(message.key, [...(left.get(message.key) ?? []), message]);
  const pairs: { before?: MadeMessage; after?: MadeMessage }[] = before.map((message) => {
    const match = left.get(message.key)?.shift();
    return match ? { before: message, after: match } : { before: message };
  });
  const rest = [...left.values()].flat();
  for (const pair of pairs) {
    if (pair.after) continue;
    const next = rest.shift();
    if (!next) break;
    pair.after = next;
  }
  return [...pairs, ...rest.map((message) => ({ after: message }))];
}

/** What a person is told of a pair: each place once, however often it differs in a list. */
export function differencesOf({ before, after }: Pair): Difference[] {
  if (!before || !after)
    return [{ path: "message", ...(before ? { before: before.value } : {}), ...(after ? { after: after.value } : {}) }];
  const found = new Map<string, Difference>();
  compare("", before.value, after.value, found, 0);
  return [...found.values()];
}

/** Deeper than any message that can be decoded. */
const maxDepth = 200;

function compare(path: string, before: unknown, after: unknown, found: Map<string, Difference>, depth: number): void {
  if (Object.is(before, after)) return;
  if (depth < maxDepth && Array.isArray(before) && Array.isArray(after)) {
    const place = `${path}[]`;
    for (let index = 0; index < Math.max(before.length, after.length); index++) {
      if (index >= before.length) note(found, { path: place, after: after[index] });
      else if (index >= after.length) note(found, { path: place, before: before[index] });
      else compare(place, before[index], after[index], found, depth + 1);
    }
    return;
  }
  if (depth < maxDepth && isRecord(before) && isRecord(after)) {
    for (const key of new Set([...Object.keys(before), ...Object.keys(after)])) {
      const place = path === "" ? key : `${path}.${key}`;
      if (!Object.hasOwn(before, key)) note(found, { path: place, after: after[key] });
      else if (!Object.hasOwn(after, key)) note(found, { path: place, before: before[key] });
      else compare(place, before[key], after[key], found, depth + 1);
    }
    return;
  }
  note(found, { path, before, after });
}

function note(found: Map<string, Difference>, difference: Difference): void {
  if (!found.has(difference.path)) found.set(difference.path, difference);
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
