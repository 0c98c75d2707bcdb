import { writeSync } from "node:fs";
import { DatabaseSync } from "node:sqlite";

/** The control of the power cut: commits rows one by one and says each number once COMMIT has returned. Arguments: file, synchronous. */
const [file, synchronous] = [process.argv[2] ?? "", process.argv[3] ?? ""];
const db = new DatabaseSync(file);
db.exec(
  `PRAGMA journal_mode = WAL; PRAGMA synchronous = ${synchronous}; CREATE TABLE IF NOT EXISTS rows (n INTEGER PRIMARY KEY, body TEXT)`,
);
const insert = db.prepare("INSERT INTO rows VALUES (?, ?)");
const body = "x".repeat(300);
let next = Number(db.prepare("SELECT COALESCE(MAX(n), 0) AS last FROM rows").get()?.last) + 1;
for (;;) {
  insert.run(next, body);
  writeSync(1, `${next}\n`);
  next += 1;
}
