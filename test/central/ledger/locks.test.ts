import { setTimeout as pause } from "node:timers/promises";
import pg from "pg";
import { describe, expect, it } from "vitest";
import { claimCursor, setAside } from "../../../central/ledger/cursor.ts";
import { startTestCentral } from "../../support/central.ts";
import { TestLane } from "../../support/gateway-client.ts";
import { beginSession, headOf, type Ledger, openLedger, readAll } from "../../support/ledger.ts";
import { delivered, pick } from "../../support/messages.ts";
import { createDatabase, postgresServer, type TestDatabase } from "../../support/postgres.ts";

/** A transaction of somebody else's, such as a replica that froze in one. */
async function openTransaction(database: TestDatabase) {
  const client = new pg.Client({ connectionString: database.url });
  client.on("error", () => {});
  await client.connect();
  await client.query("BEGIN");
  return {
    query: async (text: string, values: readonly unknown[] = []) => (await client.query(text, [...values])).rows,
    async end(how: "COMMIT" | "ROLLBACK"): Promise<void> {
      await client.query(how);
    },
    async [Symbol.asyncDispose]() {
      await client.end();
    },
  };
}

const lockLane = "SELECT 1 FROM lanes WHERE site = 'plant-a' AND lane = 'transaction' FOR UPDATE";

function record(ledger: Ledger, session: string, lane: TestLane, site = "plant-a") {
  const batch = lane.batch(lane.last);
  return ledger.ingest.record(headOf(site, session, lane, batch), batch.body);
}

describe.skipIf((await postgresServer()) === undefined)("on PostgreSQL", () => {
  it("no batch of an older session is recorded behind a newer one's hello, whatever isolation the database has as its default", async () => {
    await using database = await createDatabase();
    await database.query(`ALTER DATABASE ${database.name} SET default_transaction_isolation = 'repeatable read'`);
    await using ledger = await openLedger({ kind: "postgres", url: database.url });
    const lane = new TestLane("plant-a", "transaction");
    const session = await beginSession(ledger, "plant-a", [lane]);
    lane.append([pick("plant-a", "T-1")]);
    await using hello = await openTransaction(database);
    await hello.query(lockLane);
    await hello.query("UPDATE sites SET session = 'newer' WHERE name = 'plant-a'");
    await hello.query("INSERT INTO sessions VALUES ('newer', 'plant-a', 'another boot', 'test', 0)");
    const recording = record(ledger, session, lane);
    await pause(200);
    await hello.end("COMMIT");
    expect(await recording).toMatchObject({ kind: "fenced" });
  });

  it("a lane that somebody holds locked holds up no other, and is recorded once it is free", async () => {
    await using database = await createDatabase();
    await using ledger = await openLedger({ kind: "postgres", url: database.url });
    const [held, free] = [new TestLane("plant-a", "transaction"), new TestLane("plant-b", "transaction")];
    const sessions = [await beginSession(ledger, "plant-a", [held]), await beginSession(ledger, "plant-b", [free])] as const;
    await using holder = await openTransaction(database);
    await holder.query(lockLane);
    held.append([pick("plant-a", "T-1")]);
    let settled = false;
    const waiting = record(ledger, sessions[0], held).finally(() => {
      settled = true;
    });
    for (let n = 1; n <= 20; n++) {
      free.append([pick("plant-b", `T-${n}`)]);
      // each joins a group with the one that waits
      expect(await record(ledger, sessions[1], free, "plant-b")).toMatchObject({ kind: "recorded", watermark: n });
    }
    expect(settled).toBe(false);
    await holder.end("ROLLBACK");
    expect(await waiting).toMatchObject({ kind: "recorded", watermark: 1 });
  });

  it("a gateway whose lane stays locked is told to come back, and its hello as well", async () => {
    await using central = await startTestCentral({ storage: "postgres" });
    const plant = await central.addSite("plant-a");
    const lane = plant.lane("transaction");
    await plant.hello([lane]);
    lane.append([pick("plant-a", "T-1")]);
    await using holder = await openTransaction(central.database!);
    await holder.query(lockLane);
    const [batch, hello] = await Promise.all([plant.send(lane), plant.hello([lane])]);
    expect([batch.status, hello.status]).toEqual([503, 503]);
    expect(Number(batch.headers.get("retry-after"))).toBeGreaterThan(0);
    await holder.end("ROLLBACK");
    expect((await plant.send(lane)).status).toBe(200);
  });

  it("a damaged batch and its lane lock the same row first, so that neither waits for the other in a circle", async () => {
    await using database = await createDatabase();
    await using ledger = await openLedger({ kind: "postgres", url: database.url });
    const lane = new TestLane("plant-a", "transaction");
    const session = await beginSession(ledger, "plant-a", [lane]);
    lane.append([delivered("plant-a", pick("plant-a", "T-1"), "accepted")]);
    await record(ledger, session, lane);
    const which = { site: "plant-a", lane: "transaction" as const };
    await ledger.storage.transaction().execute(async (tx) => {
      const cursor = (await claimCursor(tx, which))!;
      await setAside(tx, cursor, { batch: 2, done: 0, size: 1000, attempts: 0, noted_by: "", noted_at: 0 });
    });
    const claim = () =>
      ledger.storage.transaction().execute(async (tx) => {
        const cursor = await claimCursor(tx, { ...which, damagedBatch: 1 });
        const [free] = await database.query("SELECT 1 FROM projections WHERE site = 'plant-a' FOR UPDATE SKIP LOCKED");
        return { claimed: cursor?.batch, laneIsFree: free !== undefined };
      });
    expect(await claim()).toEqual({ claimed: 1, laneIsFree: false });
    await using step = await openTransaction(database);
    await step.query("SELECT 1 FROM projections WHERE site = 'plant-a' FOR UPDATE");
    expect(await claim()).toEqual({ claimed: undefined, laneIsFree: false });
  });

  it("a replica's attempt that was noted by a clock far ahead holds nobody up", async () => {
    await using database = await createDatabase();
    await using ledger = await openLedger({ kind: "postgres", url: database.url });
    const lane = new TestLane("plant-a", "transaction");
    const session = await beginSession(ledger, "plant-a", [lane]);
    lane.append([delivered("plant-a", pick("plant-a", "T-1"), "accepted")]);
    await record(ledger, session, lane);
    const noted = { attempts: 1, noted_by: "another replica", noted_at: Date.now() };
    await ledger.storage.updateTable("projections").set(noted).execute();
    await ledger.projector.step();
    expect(await readAll(ledger)).toHaveLength(0);
    await ledger.storage
      .updateTable("projections")
      .set({ noted_at: Date.now() + 3_600_000 })
      .execute();
    ledger.projector.wake([{ site: "plant-a", lane: "transaction" }]);
    await ledger.projector.step();
    expect(await readAll(ledger)).toHaveLength(1);
  });
});
