import { describe, expect, it } from "vitest";
import { TestLane } from "../../support/gateway-client.ts";
import { beginSession, headOf, type Ledger, openLedger } from "../../support/ledger.ts";
import { sample } from "../../support/messages.ts";
import { openTestStorage } from "../../support/storages.ts";
import { watchedDatabase } from "../../support/watched-database.ts";

/** Rows, and bytes of blobs, that statements on batches returned. */
interface Reading {
  rows: number;
  bytes: number;
}

/** A ledger whose reading of recorded batches is counted. */
async function openCounted(): Promise<{ ledger: Ledger; reading: Reading; [Symbol.asyncDispose](): Promise<void> }> {
  const own = await openTestStorage("sqlite");
  const reading = { rows: 0, bytes: 0 };
  const ledger = await openLedger({
    kind: "sqlite",
    file: own.target.kind === "sqlite" ? own.target.file : "",
    openDatabase: watchedDatabase((sql, statement) =>
      sql.startsWith("select") && sql.includes('"batches"')
        ? {
            all(parameters) {
              const rows = statement.all(parameters) as Record<string, unknown>[];
              reading.rows += rows.length;
              for (const value of rows.flatMap((row) => Object.values(row)))
                reading.bytes += value instanceof Uint8Array ? value.byteLength : 0;
              return rows;
            },
          }
        : {},
    ),
  });
  return {
    ledger,
    reading,
    async [Symbol.asyncDispose]() {
      await ledger[Symbol.asyncDispose]();
      await own[Symbol.asyncDispose]();
    },
  };
}

const batches = 400;

async function recordMany(ledger: Ledger): Promise<{ lane: TestLane; session: string }> {
  const lane = new TestLane("plant-a", "telemetry");
  const session = await beginSession(ledger, "plant-a", [lane]);
  for (let batch = 0; batch < batches; batch++) lane.append([sample("plant-a", batch), sample("plant-a", -batch)]);
  const sent = lane.starts.map((start) => lane.batch(start, start + 1));
  for (const batch of sent) await ledger.ingest.record(headOf("plant-a", session, lane, batch), batch.body);
  return { lane, session };
}

describe("what is recorded already", () => {
  it("costs a hole over all of an epoch, and each old batch, a look at a few rows and at no body", async () => {
    await using counted = await openCounted();
    const { ledger, reading } = counted;
    const { lane, session } = await recordMany(ledger);
    const record = (batch: ReturnType<TestLane["batch"]>) =>
      ledger.ingest.record(headOf("plant-a", session, lane, batch), batch.body);
    const again = lane.batch(1, 2);
    const cost = async (batch: ReturnType<TestLane["batch"]>) => {
      Object.assign(reading, { rows: 0, bytes: 0 });
      expect(await record(batch)).toMatchObject({ kind: "recorded", watermark: 2 * batches });
      return { ...reading };
    };
    const old = await cost(again);
    expect(old.rows).toBeLessThanOrEqual(33);
    expect(old.bytes).toBeLessThan(33 * 40);
    lane.discard(1, 2 * batches - 2, "age");
    const hole = await cost(lane.batch(1, 2 * batches - 2));
    expect(hole.rows).toBeLessThanOrEqual(2);
    expect(hole.bytes).toBeLessThan(100);
  });

  it("is a fork where a hole ends inside of a frame, or a chain is another one", async () => {
    await using counted = await openCounted();
    const { lane, session } = await recordMany(counted.ledger);
    const head = headOf("plant-a", session, lane, lane.batch(1, 2));
    const hole = (count: number, chain: string) =>
      counted.ledger.ingest.record(
        { ...head, count, chain, entries: [{ kind: "hole", count, reason: "age", chain }] },
        Buffer.alloc(0),
      );
    expect(await hole(3, lane.batch(3, 4).chain)).toMatchObject({ kind: "fork" });
    expect(await hole(4, lane.batch(1, 2).chain)).toMatchObject({ kind: "fork" });
    expect(await hole(4, lane.batch(3, 4).chain)).toMatchObject({ kind: "recorded" });
  });
});
