import type { HeldKind } from "./held.ts";
import type { Statements } from "./statements.ts";

/** How many rows there are of what a person or the gateway has yet to deal with. */
export interface Totals {
  deliveries: number;
  deliveryBytes: number;
  unknown: number;
  parked: number;
  deadLetters: number;
}

export function readTotals(statements: Pick<Statements, "get">): Totals {
  const row = statements.get("SELECT deliveries, delivery_bytes, unknown, parked, dead_letters FROM totals");
  return {
    deliveries: (row?.deliveries as number) ?? 0,
    deliveryBytes: (row?.delivery_bytes as number) ?? 0,
    unknown: (row?.unknown as number) ?? 0,
    parked: (row?.parked as number) ?? 0,
    deadLetters: (row?.dead_letters as number) ?? 0,
  };
}

/** What a transaction changed of what one connector has lying here; `count`: rows more, or fewer. */
export interface HeldChange {
  readonly connector: string;
  readonly kind: HeldKind;
  readonly count: number;
}

/** What one transaction adds to the totals; written with it. */
export class TotalsChange {
  readonly #change: Totals = { deliveries: 0, deliveryBytes: 0, unknown: 0, parked: 0, deadLetters: 0 };
  readonly #held = new Map<string, { connector: string; kind: HeldKind; count: number; bytes: number }>();
  #changed = false;

  add(change: Partial<Totals>): void {
    this.#changed = true;
    for (const [name, by] of Object.entries(change) as [keyof Totals, number][]) this.#change[name] += by;
  }

  /** A row of a connector was written (1) or is gone (-1). */
  hold(connector: string, kind: HeldKind, by: 1 | -1, bytes: number): void {
    const name = `${kind} ${connector}`;
    const held = this.#held.get(name) ?? { connector, kind, count: 0, bytes: 0 };
    held.count += by;
    held.bytes += by * bytes;
    this.#held.set(name, held);
  }

  /** What changed of what connectors have lying here. */
  get held(): readonly HeldChange[] {
    return [...this.#held.values()];
  }

  write(statements: Statements): void {
    const upsert = `INSERT INTO held (connector, kind, count, bytes) VALUES (?, ?, ?, ?)
      ON CONFLICT (connector, kind) DO UPDATE SET count = count + excluded.count, bytes = bytes + excluded.bytes`;
    for (const { connector, kind, count, bytes } of this.#held.values()) statements.run(upsert, connector, kind, count, bytes);
    if (!this.#changed) return;
    const { deliveries, deliveryBytes, unknown, parked, deadLetters } = this.#change;
    statements.run(
      "UPDATE totals SET deliveries = deliveries + ?, delivery_bytes = delivery_bytes + ?, unknown = unknown + ?, parked = parked + ?, dead_letters = dead_letters + ?",
      deliveries,
      deliveryBytes,
      unknown,
      parked,
      deadLetters,
    );
  }
}
