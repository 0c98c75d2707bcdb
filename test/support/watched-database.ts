import { type OpenDatabase, openSqlite } from "../../central/storage/database.ts";

type Database = ReturnType<OpenDatabase>;
type Statement = ReturnType<Database["prepare"]>;

/** A ledger's SQLite, of whose statements some do otherwise, or are counted. @param around what is another of a statement */
export function watchedDatabase(
  around: (sql: string, statement: Statement, database: Database) => Partial<Statement>,
): OpenDatabase {
  return (file) => {
    const database = openSqlite(file);
    return {
      close: () => database.close(),
      prepare(sql) {
        const statement = database.prepare(sql);
        return { ...statement, ...around(sql, statement, database) };
      },
    };
  };
}
