import { openSqlite } from "../../central/storage/database.ts";
import { openLedger } from "./ledger.ts";

/** Projects a ledger file and dies, as by a power cut of the process, before the statement with the given number. */
const [file, dieBefore] = [process.argv[2] ?? "", Number(process.argv[3])];
let statements = 0;
const count = (): void => {
  if (++statements === dieBefore) process.kill(process.pid, "SIGKILL");
};
let armed = false;
const ledger = await openLedger(file, (path) => {
  const database = openSqlite(path);
  return {
    close: () => database.close(),
    prepare(sql) {
      const statement = database.prepare(sql);
      return {
        reader: statement.reader,
        iterate: (parameters) => statement.iterate(parameters),
        all(parameters) {
          if (armed) count();
          return statement.all(parameters);
        },
        run(parameters) {
          if (armed) count();
          return statement.run(parameters);
        },
      };
    },
  };
});
armed = true;
while (await ledger.projector.step());
process.stdout.write(String(statements));
await ledger.storage.destroy();
