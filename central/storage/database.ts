import { DatabaseSync, type SQLInputValue, type StatementSync } from "node:sqlite";
import type { SqliteDatabase, SqliteStatement } from "kysely";

/** What Kysely needs of SQLite; tests pass one that fails or dies at a chosen statement. */
export type OpenDatabase = (file: string) => SqliteDatabase;

/** Statements are compiled once: the same few hundred texts come again and again. */
const cachedStatements = 400;

/**
 * The runtime's own SQLite. WAL with `synchronous=FULL`: when COMMIT returns, the transaction is flushed; with NORMAL a power cut
 * could take back what was acknowledged.
 */
export const openSqlite: OpenDatabase = (file) => {
  const database = new DatabaseSync(file, { timeout: 5000 });
  database.exec("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; PRAGMA cache_size = -65536");
  // batches are large: with the usual 4 MiB every fortieth would wait for a checkpoint
  database.exec("PRAGMA wal_autocheckpoint = 8192");
  const statements = new Map<string, SqliteStatement>();
  return {
    close: () => database.close(),
    prepare(sql) {
      const known = statements.get(sql);
      if (known) return known;
      if (statements.size >= cachedStatements) statements.clear();
      const made = statementOf(database.prepare(sql));
      statements.set(sql, made);
      return made;
    },
  };
};

function statementOf(statement: StatementSync): SqliteStatement {
  const values = (parameters: readonly unknown[]): SQLInputValue[] => parameters as SQLInputValue[];
  return {
    reader: statement.columns().length > 0,
    all: (parameters) => statement.all(...values(parameters)),
    run: (parameters) => statement.run(...values(parameters)),
    iterate: (parameters) => statement.iterate(...values(parameters)),
  };
}
