import type { SqliteDatabase } from "kysely";
import { expect, it } from "vitest";
import { type OpenDatabase, openSqlite } from "../../../central/storage/database.ts";
import { startTestCentral } from "../../support/central.ts";
import { sample } from "../../support/messages.ts";

it("acknowledges a batch only after its commit, flushed, has returned", async () => {
  const told: string[] = [];
  let fails = false;
  const openDatabase: OpenDatabase = (file) => {
    const database = openSqlite(file);
    const pragma = (name: string) =>
      Object.values((database.prepare(`PRAGMA ${name}`).all([])[0] ?? {}) as Record<string, unknown>)[0];
    expect([pragma("journal_mode"), pragma("synchronous")]).toEqual(["wal", 2]);
    return {
      close: () => database.close(),
      prepare(sql) {
        const statement = database.prepare(sql);
        return {
          ...statement,
          run(parameters) {
            if (sql === "commit" && fails && told.at(-1) === "batch")
              throw Object.assign(new Error("disk I/O error"), { errcode: 10 });
            const result = statement.run(parameters);
            if (sql.startsWith('insert into "batches"')) told.push("batch");
            if (sql === "commit" && told.at(-1) === "batch") told.push("commit");
            return result;
          },
        };
      },
    };
  };
  await using central = await startTestCentral({ parts: { openDatabase } });
  const plant = await central.addSite("plant-a");
  const lane = plant.lane("telemetry");
  await plant.hello([lane]);
  lane.append([sample("plant-a", 1)]);
  lane.append([sample("plant-a", 2)]);
  expect((await plant.send(lane, lane.batch(1, 1))).body.watermark).toBe(1);
  expect(told).toEqual(["batch", "commit"]);
  fails = true;
  expect(await plant.send(lane, lane.batch(2, 2))).toMatchObject({ status: 503, body: { code: "busy" } });
  fails = false;
  await central.restart({});
  await plant.hello([lane]);
  expect((await plant.hello([lane])).body.watermarks).toMatchObject([{ watermark: 1 }]);
  expect((await plant.send(lane)).body.watermark).toBe(2);
});

it("turns everything away with 503 while its disk is full, and takes it in once there is room again", async () => {
  const databases: SqliteDatabase[] = [];
  const openDatabase: OpenDatabase = (file) => {
    const database = openSqlite(file);
    databases.push(database);
    return database;
  };
  await using central = await startTestCentral({ parts: { openDatabase } });
  const plant = await central.addSite("plant-a");
  const lane = plant.lane("telemetry");
  await plant.hello([lane]);
  // the same code as a full disk's (SQLITE_FULL), which ends the transaction by itself
  const pages = (most: number) => databases[0]?.prepare(`PRAGMA max_page_count = ${most}`).all([]);
  pages(1);
  const refused = { status: 503, body: { code: "busy" } };
  let sent = 0;
  let answer: Awaited<ReturnType<typeof plant.send>>;
  do {
    for (let n = 0; n < 500; n++) lane.append([sample("plant-a", ++sent)]);
    answer = await plant.send(lane);
    expect([200, 503]).toContain(answer.status);
  } while (answer.status === 200);
  expect(answer).toMatchObject(refused);
  expect(Number(answer.headers.get("retry-after"))).toBeGreaterThan(0);
  pages(1_000_000);
  expect(await plant.send(lane)).toMatchObject({ status: 200, body: { watermark: sent } });
});
