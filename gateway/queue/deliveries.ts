import { PlantgateError } from "../../protocol/index.ts";
import type { Change, Delivery, DeliveryState, NewDelivery } from "./change.ts";
import type { RunningTime } from "./running-time.ts";
import { places, type Sealing } from "./sealing.ts";
import type { Statements } from "./statements.ts";
import type { TotalsChange } from "./totals.ts";

/** Running time of a delivery whose age nobody can tell: older than any run of the kernel. */
const unknownRunMs = -1;

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

  /** `dispatchedAgain`: the change dispatches what was dispatched before, so that its rows may be there, among others that are gone. */
  write(change: Change, totals: TotalsChange, dispatchedAgain = false): void {
    for (const row of change.newDeliveries ?? []) this.#insert(row, totals, dispatchedAgain);
    for (const { id, state, attempts, failures, reason } of change.deliveryUpdates ?? []) {
      this.#countState(id, -1, totals);
      // `waiting` is said where nobody doubts any more whether it arrived
      const update =
        "UPDATE deliveries SET state = ?, attempts = ?, failures = ?, reason = ?, again = iif(? = 'waiting', 0, again) WHERE id = ?";
      this.#statements.run(update, state, attempts, failures, reason, state, id);
      this.#countState(id, 1, totals);
    }
    for (const id of change.doneDeliveries ?? []) this.#delete(id, totals);
  }

  #insert(row: NewDelivery, totals: TotalsChange, dispatchedAgain: boolean): void {
    const { connector, key, flow, target, messageId } = row;
    // what comes again, from central or as the file was damaged or set back, may still have its row
    const found = row.again && this.#same(row, dispatchedAgain);
    if (found) {
      // one that awaits its receiver's answer is known by its id
      if (dispatchedAgain && found.state !== "sent") this.#moveToEnd(found.id as number, connector, key);
      return;
    }
    const sealed = this.#sealing.seal(Buffer.from(row.line), places.delivery(connector, messageId));
    const head = this.#statements.get("SELECT 1 FROM deliveries WHERE connector = ? AND key = ? LIMIT 1", connector, key) ? 0 : 1;
    const insert =
      "INSERT INTO deliveries (connector, key, flow, target, type, message_id, state_key, head, created_at, run_at, waited_ms, central_at, again, sealed_by, line) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
    this.#statements.run(
      insert,
      connector,
      key,
      flow,
      target,
      row.type,
      messageId,
      row.stateKey ?? null,
      head,
      row.createdAt,
      row.waitedMs === undefined || row.restarted ? unknownRunMs : this.#running.now(),
      Math.round(row.waitedMs ?? 0),
      row.centralAt === undefined ? null : Math.round(row.centralAt),
      row.again ? 1 : 0,
      sealed.key,
      sealed.bytes,
    );
    totals.add({ deliveries: 1, deliveryBytes: sealed.bytes.byteLength });
    totals.hold(connector, "deliveries", 1, sealed.bytes.byteLength);
  }

  #same({ connector, key, flow, target, messageId }: NewDelivery, dispatchedAgain: boolean): Record<string, unknown> | undefined {
    // of what is dispatched again every row says that it may have been made before; all the others are found by their key
    const [by, again] = dispatchedAgain ? ["again", "AND again = 1"] : ["by_key", ""];
    const same = `SELECT id, state FROM deliveries INDEXED BY deliveries_${by}
      WHERE message_id = ? AND connector = ? AND key = ? AND flow = ? AND target = ? ${again} LIMIT 1`;
    return this.#statements.get(same, messageId, connector, key, flow, target);
  }

  /** Behind what was dispatched again before it, some of which had lost its row: so the key's rows have the lane's order again (P4). */
  #moveToEnd(id: number, connector: string, key: string): void {
    const columns =
      "connector, key, flow, target, type, message_id, state_key, state, attempts, failures, reason, created_at, run_at, waited_ms, central_at, again, sealed_by, line";
    this.#statements.run(`INSERT INTO deliveries (head, ${columns}) SELECT 0, ${columns} FROM deliveries WHERE id = ?`, id);
    const gone = this.#statements.get("DELETE FROM deliveries WHERE id = ? RETURNING head", id);
    if (gone?.head === 1) this.#promote(connector, key);
  }

  #promote(connector: string, key: string): void {
    const promote = "UPDATE deliveries SET head = 1 WHERE id = (SELECT min(id) FROM deliveries WHERE connector = ? AND key = ?)";
    this.#statements.run(promote, connector, key);
  }

  #delete(id: number, totals: TotalsChange): void {
    this.#countState(id, -1, totals);
    const gone = this.#statements.get(
      "DELETE FROM deliveries WHERE id = ? RETURNING connector, key, head, length(line) AS bytes",
      id,
    );
    if (!gone) return;
    totals.add({ deliveries: -1, deliveryBytes: -(gone.bytes as number) });
    totals.hold(gone.connector as string, "deliveries", -1, gone.bytes as number);
    if (gone.head === 1) this.#promote(gone.connector as string, gone.key as string);
  }

  #countState(id: number, by: 1 | -1, totals: TotalsChange): void {
    const state = this.#statements.get("SELECT state FROM deliveries WHERE id = ?", id)?.state;
    if (state === "unknown") totals.add({ unknown: by });
    if (state === "parked") totals.add({ parked: by });
  }

  /**
   * The first delivery of each key of a connector, oldest first, without those that wait for a person or for their receiver's answer, and
   * without `skipped`: what may be tried now (P4). `unreadable`: rows that do not open; their keys are held until a person decides.
   */
  heads(
    connector: string,
    limit: number,
    skipped: readonly number[],
  ): { readonly heads: Delivery[]; readonly unreadable: number[] } {
    const query =
      "SELECT * FROM deliveries WHERE connector = ? AND head = 1 AND state NOT IN ('unknown', 'parked') AND id NOT IN (SELECT value FROM json_each(?)) ORDER BY id LIMIT ?";
    const heads: Delivery[] = [];
    const unreadable: number[] = [];
    for (const row of this.#statements.all(query, connector, JSON.stringify(skipped), limit)) {
      const delivery = this.#toDelivery(row);
      if (delivery.line === "") unreadable.push(delivery.id);
      else heads.push(delivery);
    }
    return { heads, unreadable };
  }

  /** Connectors that something waits for. */
  receivers(): string[] {
    const query = "SELECT connector FROM held WHERE kind = 'deliveries' AND count > 0 ORDER BY connector";
    return this.#statements.all(query).map(({ connector }) => connector as string);
  }

  /** Deliveries of a connector that await their receiver's answer. */
  sent(connector: string): Delivery[] {
    const sent = "SELECT * FROM deliveries WHERE connector = ? AND state = 'sent' ORDER BY id";
    return this.#statements
      .all(sent, connector)
      .map((row) => this.#toDelivery(row))
      .filter(({ line }) => line !== "");
  }

  /** The newest state of the same type, key and place behind `delivery`; undefined when it is the newest itself. */
  newer({ id, connector, key, flow, target, type, stateKey }: Delivery): { readonly messageId: string } | undefined {
    const newest =
      "SELECT message_id FROM deliveries WHERE connector = ? AND key = ? AND id > ? AND flow = ? AND target = ? AND type = ? AND state_key = ? ORDER BY id DESC LIMIT 1";
    const row = this.#statements.get(newest, connector, key, id, flow, target, type, stateKey ?? null);
    return row && { messageId: row.message_id as string };
  }

  isIn(id: number, states: readonly DeliveryState[]): boolean {
    const state = this.#statements.get("SELECT state FROM deliveries WHERE id = ?", id)?.state;
    return states.some((each) => each === state);
  }

  find(id: number): Delivery | undefined {
    const row = this.#statements.get("SELECT * FROM deliveries WHERE id = ?", id);
    return row && this.#toDelivery(row);
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

  /** One that does not open has no line. */
  #toDelivery(row: Record<string, unknown>): Delivery {
    const [connector, messageId] = [row.connector as string, row.message_id as string];
    const ageMs = this.#running.ageMs(row.run_at as number);
    return {
      id: row.id as number,
      connector,
      key: row.key as string,
      flow: row.flow as string,
      target: row.target as string,
      line: this.#line(row.sealed_by as number | null, row.line as Uint8Array, places.delivery(connector, messageId)),
      type: row.type as string,
      messageId,
      ...(row.state_key === null ? {} : { stateKey: row.state_key as string }),
      state: row.state as DeliveryState,
      attempts: row.attempts as number,
      failures: row.failures as number,
      reason: row.reason as string | null,
      createdAt: row.created_at as number,
      waitedMs: row.waited_ms as number,
      ...(row.central_at === null ? {} : { centralAt: row.central_at as number }),
      again: row.again === 1,
      ...(ageMs === undefined ? {} : { ageMs }),
    };
  }

  #line(key: number | null, bytes: Uint8Array, place: string): string {
    try {
      return Buffer.from(this.#sealing.open(key, bytes, place)).toString("utf8");
    } catch (error) {
      if (error instanceof PlantgateError && error.disposition === "quarantine") return "";
      throw error;
    }
  }
}
