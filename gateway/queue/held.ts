import type { QueuePolicy } from "../../protocol/index.ts";
import { sizeBytes } from "../../protocol/index.ts";
import type { Statements } from "./statements.ts";

/** What one connector has lying here beside the lanes: what waits for it, and its dead letters of each direction. */
export type HeldKind = "deliveries" | "in" | "out";

/** Shares of the transaction lane's budget (rule 7). */
const shares = { deliveries: 1 / 4, deadLetters: 1 / 64 };
/** What was past its budget has to fall so far below it: else each delivery would open and close the sources. */
const reopenedAt = 7 / 8;

export function heldBudgets({ lanes }: QueuePolicy): { readonly deliveryBytes: number; readonly deadLetterBytes: number } {
  const whole = sizeBytes(lanes.transaction.maxBytes);
  return { deliveryBytes: whole * shares.deliveries, deadLetterBytes: whole * shares.deadLetters };
}

export function heldBytes(statements: Pick<Statements, "get">, connector: string, kind: HeldKind): number {
  const row = statements.get("SELECT bytes FROM held WHERE connector = ? AND kind = ?", connector, kind);
  return (row?.bytes as number | undefined) ?? 0;
}

/**
 * Connectors for which more waits than their budget: what feeds them is refused at its source, and nothing else (P6). What central sends is held
 * by the lane's own budget instead: the downlink is one order of messages.
 */
export class HeldUp {
  readonly #statements: Statements;
  #connectors: ReadonlySet<string> = new Set();

  constructor(statements: Statements) {
    this.#statements = statements;
  }

  get connectors(): readonly string[] {
    return [...this.#connectors];
  }

  /** @returns whether it is other connectors now */
  look(budgetBytes: number): boolean {
    const before = this.#connectors;
    const query = "SELECT connector, bytes FROM held WHERE kind = 'deliveries' AND bytes > ?";
    const rows = this.#statements.all(query, Math.floor(budgetBytes * reopenedAt));
    const over = rows.filter(({ connector, bytes }) => (bytes as number) > budgetBytes || before.has(connector as string));
    this.#connectors = new Set(over.map(({ connector }) => connector as string));
    return before.size !== this.#connectors.size || [...before].some((connector) => !this.#connectors.has(connector));
  }
}
