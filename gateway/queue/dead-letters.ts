import { PlantgateError } from "../../protocol/index.ts";
import type { DeadLetter } from "./change.ts";
import { places, type Sealing } from "./sealing.ts";
import type { Statements } from "./statements.ts";
import type { TotalsChange } from "./totals.ts";

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
