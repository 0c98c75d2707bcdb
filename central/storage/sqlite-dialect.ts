import { type DatabaseConnection, type Dialect, type Driver, SqliteAdapter, type SqliteDatabase, SqliteDialect } from "kysely";

/**
 * Kysely's SQLite with another queue before its one connection: first come, first served, and whoever leaves wakes the next one alone.
 * Kysely's own wakes all that wait each time, which with hundreds of requests at once costs more than their statements. SQLite works
 * in our own thread: after a few milliseconds the next one waits until sockets had their turn.
 */
export function sqliteDialect(open: () => SqliteDatabase): Dialect {
  const dialect = new SqliteDialect({ database: async () => open() });
  return {
    createDriver: () => new QueueingDriver(dialect.createDriver()),
    createAdapter: () => new QueueingAdapter(),
    createQueryCompiler: () => dialect.createQueryCompiler(),
    createIntrospector: (db) => dialect.createIntrospector(db),
  };
}

/** The longest that one after the other uses the connection without a turn for others. */
const turnMs = 8;

/** The driver sees to it that the one connection has one user. */
class QueueingAdapter extends SqliteAdapter {
  override get supportsMultipleConnections(): boolean {
    return true;
  }
}

class QueueingDriver implements Driver {
  readonly #driver: Driver;
  readonly #waiting: (() => void)[] = [];
  #busy = false;
  #turnBegan = 0;

  constructor(driver: Driver) {
    this.#driver = driver;
  }

  async acquireConnection(): Promise<DatabaseConnection> {
    if (this.#busy) await new Promise<void>((resolve) => this.#waiting.push(resolve));
    else this.#turnBegan = performance.now();
    this.#busy = true;
    return this.#driver.acquireConnection();
  }

  async releaseConnection(connection: DatabaseConnection): Promise<void> {
    await this.#driver.releaseConnection(connection);
    const next = this.#waiting.shift();
    // the connection stays taken for the next one
    if (!next) this.#busy = false;
    else if (performance.now() - this.#turnBegan < turnMs) next();
    else
      setImmediate(() => {
        this.#turnBegan = performance.now();
        next();
      });
  }

  init(): Promise<void> {
    return this.#driver.init();
  }
  beginTransaction(...args: Parameters<Driver["beginTransaction"]>): Promise<void> {
    return this.#driver.beginTransaction(...args);
  }
  commitTransaction(connection: DatabaseConnection): Promise<void> {
    return this.#driver.commitTransaction(connection);
  }

  /** A full disk or an I/O error ends a transaction by itself; that there is nothing left to roll back must not hide that error. */
  async rollbackTransaction(connection: DatabaseConnection): Promise<void> {
    try {
      await this.#driver.rollbackTransaction(connection);
    } catch (error) {
      if (!(error instanceof Error && error.message.includes("no transaction is active"))) throw error;
    }
  }

  destroy(): Promise<void> {
    return this.#driver.destroy();
  }
}
