import type { Change, Delivery, DeliveryState, NewDelivery } from "./change.ts";
import type { RunningTime } from "./running-time.ts";
import { places, type Sealing } from "./sealing.ts";
import type { Statements } from "./statements.ts";

/**
 * The deliveries of a queue's file: per connector and ordering key a queue of its own, whose first row is its head (P4).
 * Writes run inside the caller's transaction.
 */
export class Deliveries {
  readonly #statements: Statements;
  readonly #sealing: Sealing;
  readonly #running: RunningTime;

  constructor(statements: Statements, sealing: Sealing, running: RunningTime) {
    this.#statements = statements;
    this.#sealing = sealing;
    this.#running = running;
  }

  write(change: Change): void {
    for (const row of change.newDeliveries ?? []) this.#insert(row);
    for (const { id, state, attempts, failures, reason } of change.deliveryUpdates ?? []) {
      const update = "UPDATE deliveries SET state = ?, attempts = ?, failures = ?, reason = ? WHERE id = ?";
      this.#statements.run(update, state, attempts, failures, reason, id);
    }
    for (const id of change.doneDeliveries ?? []) this.#delete(id);
  }

  #insert(row: NewDelivery): void {
    const { key, bytes } = this.#sealing.seal(Buffer.from(row.line), places.delivery(row.connector, row.messageId));
    const earlier = "SELECT 1 FROM deliveries WHERE connector = ? AND key = ? LIMIT 1";
    const head = this.#statements.get(earlier, row.connector, row.key) ? 0 : 1;
    const insert =
      "INSERT INTO deliveries (connector, key, flow, target, type, message_id, head, created_at, run_at, waited_ms, central_at, again, sealed_by, line) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
    this.#statements.run(
      insert,
      row.connector,
      row.key,
      row.flow,
      row.target,
      row.type,
      row.messageId,
      head,
      row.createdAt,
      this.#running.now(),
      Math.round(row.waitedMs),
      row.centralAt ?? null,
      row.again ? 1 : 0,
      key,
      bytes,
    );
  }

  #delete(id: number): void {
    const gone = this.#statements.get("DELETE FROM deliveries WHERE id = ? RETURNING connector, key, head", id);
    if (gone?.head !== 1) return;
    const promote = "UPDATE deliveries SET head = 1 WHERE id = (SELECT min(id) FROM deliveries WHERE connector = ? AND key = ?)";
    this.#statements.run(promote, gone.connector as string, gone.key as string);
  }

  /** The first delivery of each key of a connector, oldest first, without those that wait for a person: what may be tried now (P4). */
  heads(connector: string, limit: number): Delivery[] {
    const heads =
      "SELECT * FROM deliveries WHERE connector = ? AND head = 1 AND state NOT IN ('unknown', 'parked') ORDER BY id LIMIT ?";
    return this.#statements.all(heads, connector, limit).map((row) => this.#toDelivery(row));
  }

  /** Deliveries of a connector that await their receiver's answer. */
  sent(connector: string): Delivery[] {
    const sent = "SELECT * FROM deliveries WHERE connector = ? AND state = 'sent' ORDER BY id";
    return this.#statements.all(sent, connector).map((row) => this.#toDelivery(row));
  }

  /** The newest message of the same type for the same key and place, behind `delivery`; undefined when it is the newest itself. */
  newer({ id, connector, key, flow, target, type }: Delivery): { readonly messageId: string } | undefined {
    const newest =
      "SELECT message_id FROM deliveries WHERE connector = ? AND key = ? AND id > ? AND flow = ? AND target = ? AND type = ? ORDER BY id DESC LIMIT 1";
    const row = this.#statements.get(newest, connector, key, id, flow, target, type);
    return row && { messageId: row.message_id as string };
  }

  /** All of them, oldest first. */
  *each(): Generator<Delivery> {
    for (let id = 0; ; ) {
      // a page at a time: an open read would keep the writer's log from starting anew
      const rows = this.#statements.all("SELECT * FROM deliveries WHERE id > ? ORDER BY id LIMIT 200", id);
      if (rows.length === 0) return;
      for (const row of rows) yield this.#toDelivery(row);
      id = rows.at(-1)?.id as number;
    }
  }

  #toDelivery(row: Record<string, unknown>): Delivery {
    const [connector, messageId] = [row.connector as string, row.message_id as string];
    const line = this.#sealing.open(
      row.sealed_by as number | null,
      row.line as Uint8Array,
      places.delivery(connector, messageId),
    );
    return {
      id: row.id as number,
      connector,
      key: row.key as string,
      flow: row.flow as string,
      target: row.target as string,
      line: Buffer.from(line).toString("utf8"),
      type: row.type as string,
      messageId,
      state: row.state as DeliveryState,
      attempts: row.attempts as number,
      failures: row.failures as number,
      reason: row.reason as string | null,
      createdAt: row.created_at as number,
      waitedMs: row.waited_ms as number,
      ...(row.central_at === null ? {} : { centralAt: row.central_at as number }),
      again: row.again === 1,
      ageMs: this.#running.ageMs(row.run_at as number),
    };
  }
}
