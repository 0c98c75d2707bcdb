import { PlantgateError, toInstant } from "../../protocol/index.ts";
import type { DeadLetter } from "./change.ts";
import { heldBytes } from "./held.ts";
import { places, type Sealing } from "./sealing.ts";
import type { Statements } from "./statements.ts";
import { type HeldChange, TotalsChange } from "./totals.ts";

/** What is discarded beyond need, so that a full budget does not discard with every letter. */
const slack = 0.02;
/** To delete one, SQLite reads each of its pages, and commits wait meanwhile; what is left over goes with the next letter, or with time. */
const discardedAtOnce = 1000;
/** What a row takes beside what differs most: its names, numbers, and its entries in two indexes. */
const rowBytes = 256;
const columns = "(id, at, direction, connector, flow, place, code, reason, attempts, type, key, sealed_by, body)";

/** With direction and connector: the id of the row that tells of discarded ones. It counts for no budget. */
const discardedPrefix = "discarded/";
export const tellsOfDiscarded = `(id = '${discardedPrefix}' || direction || '/' || connector)`;

/** What a dead letter takes on disk, as it counts for its budget: most of them are of a few bytes, on a line that sends garbage. */
export const deadLetterBytes = `(${rowBytes} + octet_length(place) + octet_length(reason) + octet_length(body))`;

/** Oldest dead letters that went because those of their connector and direction took more than their budget. */
export interface DiscardedDeadLetters {
  readonly connector: string;
  readonly direction: DeadLetter["direction"];
  readonly count: number;
}

/** Narrows a search of dead letters: each part that is given has to hold. `text` is looked for in place, reason and body. */
export interface DeadLetterQuery {
  readonly limit: number;
  readonly flow?: string;
  readonly connector?: string;
  readonly code?: string;
  readonly type?: string;
  readonly key?: string;
  readonly text?: string;
}

/** The dead letters of a queue's file. */
export class DeadLetters {
  readonly #statements: Statements;
  readonly #sealing: Sealing;

  constructor(statements: Statements, sealing: Sealing) {
    this.#statements = statements;
    this.#sealing = sealing;
  }

  /** Inside the caller's transaction. */
  write(letter: DeadLetter, totals: TotalsChange): void {
    const { id, at, direction, connector, flow = null, place, code, reason, attempts, type = null, key = null } = letter;
    const sealed = this.#sealing.seal(letter.body, places.deadLetter(id));
    const insert = `INSERT INTO dead_letters ${columns} VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING ${deadLetterBytes} AS bytes`;
    const values = [id, at, direction, connector, flow, place, code, reason, attempts, type, key] as const;
    const bytes = this.#statements.get(insert, ...values, sealed.key, sealed.bytes)?.bytes as number;
    totals.add({ deadLetters: 1 });
    totals.hold(connector, direction, 1, bytes);
  }

  /**
   * Lets go of what takes more than `maxBytes`, a bounded part of it, inside the caller's transaction, which changed `held`: at least as many as it
   * wrote, so that what comes fast does not outgrow the budget. @returns what went
   */
  holdToBudget(maxBytes: number, held: readonly HeldChange[]): DiscardedDeadLetters[] {
    return held.flatMap(({ connector, kind, count: written }) => {
      if (kind === "deliveries") return [];
      const count = this.#discardPast(maxBytes, connector, kind, Math.max(discardedAtOnce, written));
      return count > 0 ? [{ connector, direction: kind, count }] : [];
    });
  }

  /** As `holdToBudget`, whoever takes more than `maxBytes`: a budget may have become smaller, and some may be left over. */
  holdAllToBudget(maxBytes: number): DiscardedDeadLetters[] {
    const past = "SELECT connector, kind, 0 AS count FROM held WHERE kind <> 'deliveries' AND bytes > ?";
    return this.holdToBudget(maxBytes, this.#statements.all(past, maxBytes) as unknown as HeldChange[]);
  }

  /**
   * Lets go of the oldest of one connector and direction where they take more than `maxBytes`, `most` of them; never of the newest. What went is
   * told by one row in their place: how many, and from when to when (P2).
   */
  #discardPast(maxBytes: number, connector: string, direction: DeadLetter["direction"], most: number): number {
    const bytes = heldBytes(this.#statements, connector, direction);
    if (bytes <= maxBytes) return 0;
    const totals = new TotalsChange();
    const tombstone = `${discardedPrefix}${direction}/${connector}`;
    const told = this.#statements.get("SELECT body FROM dead_letters WHERE id = ?", tombstone)?.body as Uint8Array | undefined;
    const range = told && (JSON.parse(Buffer.from(told).toString()) as { count: number; from: string; to: string });
    let [count, over] = [0, bytes - maxBytes * (1 - slack)];
    let [from, to] = [range?.from, range?.to];
    for (const row of this.#oldest(connector, direction, tombstone, most)) {
      if (over <= 0) break;
      this.#statements.run("DELETE FROM dead_letters WHERE rowid = ?", row.place);
      totals.add({ deadLetters: -1 });
      totals.hold(connector, direction, -1, row.bytes);
      over -= row.bytes;
      count += 1;
      from ??= toInstant(row.at);
      to = toInstant(row.at);
    }
    if (count === 0 || from === undefined || to === undefined) return 0;
    const body = Buffer.from(JSON.stringify({ count: (range?.count ?? 0) + count, from, to }));
    const upsert = `INSERT INTO dead_letters ${columns} VALUES (?, ?, ?, ?, NULL, '', 'DISCARDED', ?, 0, NULL, NULL, NULL, ?)
      ON CONFLICT (id) DO UPDATE SET at = excluded.at, reason = excluded.reason, body = excluded.body`;
    const reason = `older dead letters were discarded: those of one connector may take ${maxBytes} bytes`;
    this.#statements.run(upsert, tombstone, Date.parse(to), direction, connector, reason, body);
    if (!told) totals.add({ deadLetters: 1 });
    totals.write(this.#statements);
    return count;
  }

  /** All but the newest and the row that tells of discarded ones. */
  #oldest(connector: string, direction: string, tombstone: string, most: number): { place: number; at: number; bytes: number }[] {
    const query = `SELECT rowid AS place, at, ${deadLetterBytes} AS bytes FROM dead_letters WHERE connector = ?1 AND direction = ?2 AND id <> ?3
      AND rowid < (SELECT max(rowid) FROM dead_letters WHERE connector = ?1 AND direction = ?2) ORDER BY rowid LIMIT ?4`;
    return this.#statements.all(query, connector, direction, tombstone, most) as { place: number; at: number; bytes: number }[];
  }

  find(id: string): DeadLetter | undefined {
    const row = this.#statements.get("SELECT * FROM dead_letters WHERE id = ?", id);
    return row && this.#toDeadLetter(row);
  }

  /** Newest first. */
  search({ limit, text, ...fields }: DeadLetterQuery): DeadLetter[] {
    const given = Object.entries(fields).filter((field): field is [string, string] => field[1] !== undefined);
    const where = given.map(([name]) => `${name} = ?`).join(" AND ");
    const query = `SELECT * FROM dead_letters ${where === "" ? "" : `WHERE ${where}`} ORDER BY at DESC, id`;
    const found: DeadLetter[] = [];
    for (const row of this.#statements.prepare(query).iterate(...given.map(([, value]) => value))) {
      if (found.length >= limit) break;
      const letter = this.#toDeadLetter(row);
      if (text === undefined || holds(letter, text)) found.push(letter);
    }
    return found;
  }

  #toDeadLetter(row: Record<string, unknown>): DeadLetter {
    const id = row.id as string;
    return {
      id,
      at: row.at as number,
      direction: row.direction as DeadLetter["direction"],
      connector: row.connector as string,
      ...(row.flow === null ? {} : { flow: row.flow as string }),
      place: row.place as string,
      code: row.code as DeadLetter["code"],
      reason: row.reason as string,
      attempts: row.attempts as number,
      ...(row.type === null ? {} : { type: row.type as string }),
      ...(row.key === null ? {} : { key: row.key as string }),
      body: this.#body(row.sealed_by as number | null, row.body as Uint8Array, id),
    };
  }

  /** One that does not open is as good as empty; its reason and place still tell. */
  #body(key: number | null, bytes: Uint8Array, id: string): Uint8Array {
    try {
      return this.#sealing.open(key, bytes, places.deadLetter(id));
    } catch (error) {
      if (error instanceof PlantgateError && error.disposition === "quarantine") return new Uint8Array();
      throw error;
    }
  }
}

function holds({ place, reason, body }: DeadLetter, text: string): boolean {
  return place.includes(text) || reason.includes(text) || Buffer.from(body).includes(text);
}
