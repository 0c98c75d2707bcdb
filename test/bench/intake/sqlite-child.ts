import { join } from "node:path";
import { openDatabase } from "../../../gateway/queue/file.ts";
import { encodeText } from "../../../gateway/queue/frame.ts";
import { serveParent } from "../base/child.ts";
import { samplePayload } from "../base/lines.ts";

export interface SqliteWritesOptions {
  readonly folder: string;
  /** Messages of one row and commit. */
  readonly window: number;
  readonly seconds: number;
}
export interface SqliteWrites {
  readonly perSecond: number;
}

const distinctBatches = 20;

// what the queue's engine can do at all: each batch is ready, compressed as a frame is, and one row of one table, flushed by its commit
await serveParent<SqliteWritesOptions, SqliteWrites>(async ({ folder, window, seconds }) => {
  const db = openDatabase(join(folder, "sqlite"));
  db.exec("CREATE TABLE batches (number INTEGER PRIMARY KEY, lines BLOB NOT NULL) STRICT");
  const insert = db.prepare("INSERT INTO batches (lines) VALUES (?)");
  const batches = Array.from({ length: distinctBatches }, (_, batch) =>
    Buffer.from(Array.from({ length: window }, (_, index) => `${samplePayload(batch * window + index)}\n`).join("")),
  );
  let count = 0;
  const write = (): void => {
    db.exec("BEGIN IMMEDIATE");
    insert.run(encodeText(batches[count % batches.length] as Buffer));
    db.exec("COMMIT");
    count += 1;
  };
  const runFor = (limitMs: number): number => {
    const began = performance.now();
    while (performance.now() - began < limitMs) write();
    return performance.now() - began;
  };
  runFor(Math.min(1000, seconds * 200));
  count = 0;
  const tookMs = runFor(seconds * 1000);
  db.close();
  return { perSecond: ((count * window) / tookMs) * 1000 };
});
