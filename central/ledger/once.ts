import { hash } from "node:crypto";
import type { CloudEvent } from "../../protocol/index.ts";
import { insertRows } from "../storage/bulk.ts";
import type { StorageTransaction } from "../storage/storage.ts";

export interface KeyedMessage {
  readonly position: number;
  readonly event: CloudEvent;
}
/** `repeat`: the same input under the same key, recorded before at `of`. `conflict`: another input. */
export interface Again {
  readonly kind: "repeat" | "conflict";
  readonly of: number;
}

const hashBytes = 16;
const inputBytes = 8;

/**
 * Takes each (site, type, idempotency key) once (P3). Keys are kept as hashes of 128 bits, with what tells whether a later message is the
 * same input (rule 20): the hash of the raw input where the gateway named one, else of the data.
 * @param dataAt the data of a recorded message, for the rare pair of which one names its input's hash and the other does not
 * @returns messages whose key was taken before, by position
 */
export async function takeKeys(
  tx: StorageTransaction,
  site: string,
  messages: readonly KeyedMessage[],
  dataAt: (position: number) => Promise<unknown>,
): Promise<Map<number, Again>> {
  const firsts = new Map<string, KeyRow>();
  const later: KeyRow[] = [];
  for (const { position, event } of messages) {
    if (event.idempotencykey === undefined) continue;
    const row = {
      hash: digest(`${site}\n${event.type}\n${event.idempotencykey}`, hashBytes),
      position,
      input: inputOf(event),
      event,
    };
    const name = row.hash.toString("latin1");
    if (firsts.has(name)) later.push(row);
    else firsts.set(name, row);
  }
  const taken = await insertKeys(tx, [...firsts.values()]);
  const again = new Map<number, Again>();
  for (const row of later) {
    const name = row.hash.toString("latin1");
    const first = taken.get(name) ?? (firsts.get(name) as KeyRow);
    again.set(row.position, await compare(row, first, dataAt));
  }
  for (const [name, first] of taken) {
    const row = firsts.get(name) as KeyRow;
    again.set(row.position, await compare(row, first, dataAt));
  }
  return again;
}

interface TakenKey {
  readonly position: number;
  readonly input: Uint8Array;
  readonly event?: CloudEvent;
}
interface KeyRow extends TakenKey {
  readonly hash: Buffer;
  readonly event: CloudEvent;
}

/** Inserts what is new. @returns what was there before, by hash */
async function insertKeys(tx: StorageTransaction, rows: readonly KeyRow[]): Promise<Map<string, TakenKey>> {
  const taken = new Map<string, TakenKey>();
  // neighbours in the index after each other: a page is touched once
  const sorted = [...rows].sort((a, b) => Buffer.compare(a.hash, b.hash));
  const columns = ["hash", "position", "input"] as const;
  const ending = "ON CONFLICT DO NOTHING RETURNING position";
  const inserted = await insertRows<"once_keys", { position: number }>(tx, "once_keys", columns, sorted, ending);
  if (inserted.length === rows.length) return taken;
  const fresh = new Set(inserted.map(({ position }) => position));
  const known = sorted.filter(({ position }) => !fresh.has(position)).map(({ hash }) => hash);
  for (let at = 0; at < known.length; at += keysPerSelect) {
    const part = known.slice(at, at + keysPerSelect);
    const found = await tx.selectFrom("once_keys").selectAll().where("hash", "in", part).execute();
    for (const { hash, ...key } of found) taken.set(Buffer.from(hash).toString("latin1"), key);
  }
  return taken;
}
const keysPerSelect = 500;

async function compare(row: KeyRow, first: TakenKey, dataAt: (position: number) => Promise<unknown>): Promise<Again> {
  const same = sameKind(row.input, first.input)
    ? Buffer.compare(row.input, first.input) === 0
    : JSON.stringify(first.event?.data ?? (await dataAt(first.position))) === JSON.stringify(row.event.data);
  return { kind: same ? "repeat" : "conflict", of: first.position };
}

/** What a message was made of, hashed; the highest bit says how that is known. */
function inputOf({ inputhash, data }: CloudEvent): Buffer {
  const input =
    inputhash === undefined ? digest(JSON.stringify(data), inputBytes) : Buffer.from(inputhash.slice(0, 2 * inputBytes), "hex");
  const [first = 0] = input;
  input[0] = inputhash === undefined ? first & 0x7f : first | 0x80;
  return input;
}

function sameKind(a: Uint8Array, b: Uint8Array): boolean {
  return (((a[0] as number) ^ (b[0] as number)) & 0x80) === 0;
}

function digest(text: string, bytes: number): Buffer {
  return hash("sha256", text, "buffer").subarray(0, bytes);
}
