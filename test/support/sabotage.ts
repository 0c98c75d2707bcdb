import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import type { TestCentral } from "./central.ts";

/** A statement on central's storage, from outside, while central runs. */
export async function statement(central: Pick<TestCentral, "dataDir" | "database">, sql: string): Promise<void> {
  if (central.database) {
    await central.database.query(sql);
    return;
  }
  const database = new DatabaseSync(join(central.dataDir, "ledger.db"), { timeout: 5000 });
  try {
    database.exec(sql);
  } finally {
    database.close();
  }
}

/** From now on the storage refuses every row of `message_orders` with this order, as a fault in one message's data would. */
export async function poisonOrder(central: Pick<TestCentral, "dataDir" | "database">, moId: string): Promise<void> {
  if (central.database) await statement(central, `ALTER TABLE message_orders ADD CONSTRAINT poison CHECK (mo_id <> '${moId}')`);
  else {
    await statement(
      central,
      `CREATE TRIGGER poison BEFORE INSERT ON message_orders WHEN NEW.mo_id = '${moId}' BEGIN SELECT RAISE(ABORT, 'poison'); END`,
    );
  }
}
