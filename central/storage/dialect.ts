import { type Kysely, PostgresAdapter, type SelectQueryBuilder, type Transaction } from "kysely";

/** Whether a handle, or a transaction of it, speaks to PostgreSQL. */
export function isPostgres(db: Pick<Kysely<never>, "getExecutor"> | Pick<Transaction<never>, "getExecutor">): boolean {
  return db.getExecutor().adapter instanceof PostgresAdapter;
}

/**
 * Locks the rows of a query to the end of the transaction, so that replicas take turns (rule 13). On SQLite a transaction has the only
 * connection to itself anyway.
 */
export function locking<DB, TB extends keyof DB, O>(
  db: Parameters<typeof isPostgres>[0],
  query: SelectQueryBuilder<DB, TB, O>,
): SelectQueryBuilder<DB, TB, O> {
  return isPostgres(db) ? query.forUpdate() : query;
}

/** As {@link locking}, but leaves out rows that another replica has locked instead of waiting for them. */
export function lockingFree<DB, TB extends keyof DB, O>(
  db: Parameters<typeof isPostgres>[0],
  query: SelectQueryBuilder<DB, TB, O>,
): SelectQueryBuilder<DB, TB, O> {
  return isPostgres(db) ? query.forUpdate().skipLocked() : query;
}
