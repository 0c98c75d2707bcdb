import { PlantgateError, toInstant } from "../../protocol/index.ts";
import type { DeadLetter } from "./change.ts";
import { heldBytes } from "./held.ts";
import { places, type Sealing } from "./sealing.ts";
import type { Statements } from "./statements.ts";
import { TotalsChange } from "./totals.ts";

/** What is discarded beyond need, so that a full budget does not discard with every letter. */
const slack = 0.02;
/** To delete one, SQLite reads each of its pages, and commits wait meanwhile; what is left over goes with the next letter. */
const discardedAtOnce = 1000;

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
    const insert = "INSERT INTO dead_letters VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
    const values = [id, at, direction, connector, flow, place, code, reason, attempts, type, key] as const;
    this.#statements.run(insert, ...values, sealed.key, sealed.bytes);
    totals.add({ deadLetters: 1 });
    totals.hold(connector, direction, 1, sealed.bytes.byteLength);
  }

  /**
   * Lets go of the oldest of one connector and direction where they take more than `maxBytes`, inside the caller's transaction; never of the
   * newest. What went is told by one row in their place: how many, and from when to when (P2).
   */
  discardPast(maxBytes: number, connector: string, direction: DeadLetter["direction"]): number {
    const bytes = heldBytes(this.#statements, connector, direction);
    if (bytes <= maxBytes) return 0;
    const totals = new TotalsChange();
    const tombstone = `discarded/${direction}/${connector}`;
    const told = this.#statements.get("SELECT body FROM dead_letters WHERE id = ?", tombstone)?.body as Uint8Array | undefined;
    const range = told && (JSON.parse(Buffer.from(told).toString()) as { count: number; from: string; to: string });
    let [count, over] = [0, bytes - maxBytes * (1 - slack)];
    let [from, to] = [range?.from, range?.to];
    for (const row of this.#oldest(connector, direction, tombstone)) {
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
    const upsert = `INSERT INTO dead_letters VALUES (?, ?, ?, ?, NULL, '', 'DISCARDED', ?, 0, NULL, NULL, NULL, ?)
      ON CONFLICT (id) DO UPDATE SET at = excluded.at, reason = excluded.reason, body = excluded.body`;
    const reason = `older dead letters were discarded: those of one connector may take ${maxBytes} bytes`;
    this.#statements.run(upsert, tombstone, Date.parse(to), direction, connector, reason, body);
    if (!told) totals.add({ deadLetters: 1 });
    totals.write(this.#statements);
    return count;
  }

  /** All but the newest and the row that tells of discarded ones. */
  #oldest(connector: string, direction: string, tombstone: string): { place: number; at: number; bytes: number }[] {
    const query = `SELECT rowid AS place, at, length(body) AS bytes FROM dead_letters WHERE connector = ?1 AND direction = ?2 AND id <> ?3
      AND rowid < (SELECT max(rowid) FROM dead_letters WHERE connector = ?1 AND direction = ?2) ORDER BY rowid LIMIT ${discardedAtOnce}`;
    return this.#statements.all(query, connector, direction, tombstone) as { place: number; at: number; bytes: number }[];
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
