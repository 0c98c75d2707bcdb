import { type OpenDatabase, openSqlite } from "../../central/storage/database.ts";
import { openLedger } from "./ledger.ts";
import { recordScript } from "./ledger-script.ts";

/**
 * Records or projects on a ledger and dies, as by a power cut of the process, before the statement with the given number. On PostgreSQL
 * the number counts the statements that are sent.
 */
const [work, place = "", dieBefore] = [process.argv[2], process.argv[3], Number(process.argv[4])];
let [statements, armed] = [0, false];
const count = (): void => {
  if (armed && ++statements === dieBefore) process.kill(process.pid, "SIGKILL");
};
const countingDatabase: OpenDatabase = (file) => {
  const database = openSqlite(file);
  return {
    close: () => database.close(),
    prepare(sql) {
      const statement = database.prepare(sql);
      return {
        reader: statement.reader,
        iterate: (parameters) => statement.iterate(parameters),
        all(parameters) {
          count();
          return statement.all(parameters);
        },
        run(parameters) {
          count();
          return statement.run(parameters);
        },
      };
    },
  };
};
if (place.startsWith("postgres")) {
  const { Client } = (await import("pg")).default;
  const query = Client.prototype.query as (...args: unknown[]) => unknown;
  // biome-ignore lint/suspicious/noExplicitAny: the client's own signature has a dozen overloads
  (Client.prototype as any).query = function counted(this: unknown, ...args: unknown[]) {
    count();
    return query.apply(this, args);
  };
}
const ledger = await openLedger(
  place.startsWith("postgres")
    ? { kind: "postgres", url: place }
    : { kind: "sqlite", file: place, openDatabase: countingDatabase },
);
armed = true;
if (work === "record") await recordScript(ledger);
else while (await ledger.projector.step());
armed = false;
process.stdout.write(String(statements));
await ledger.storage.destroy();
