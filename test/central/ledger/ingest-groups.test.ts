import { randomBytes } from "node:crypto";
import { expect, it } from "vitest";
import { TestLane } from "../../support/gateway-client.ts";
import { beginSession, headOf, openLedger } from "../../support/ledger.ts";
import { delivered, pick } from "../../support/messages.ts";
import { openTestStorage } from "../../support/storages.ts";
import { watchedDatabase } from "../../support/watched-database.ts";

const mebibyte = 1024 * 1024;

/** A ledger on SQLite that tells of its flushes, and of which a statement may fail. */
async function openWatched() {
  const own = await openTestStorage("sqlite");
  if (own.target.kind !== "sqlite") throw new Error("not on SQLite");
  const watched = { flushes: 0, fails: (_sql: string, _parameters: readonly unknown[]): boolean => false };
  const ledger = await openLedger({
    ...own.target,
    openDatabase: watchedDatabase((sql, statement) => ({
      run(parameters) {
        if (sql === "commit") watched.flushes++;
        if (watched.fails(sql, parameters)) throw new Error("said by the test");
        return statement.run(parameters);
      },
    })),
  });
  return {
    watched,
    ledger,
    async lane(site: string) {
      const lane = new TestLane(site, "transaction");
      const session = await beginSession(ledger, site, [lane]);
      let id = 0;
      return (bytes = 0) => {
        const from = lane.last + 1;
        const event = delivered(site, pick(site, `T-${++id}`), "accepted");
        // what does not compress takes its room on the way as well
        lane.append([JSON.stringify({ ...event, padding: randomBytes(bytes).toString("base64") })]);
        const batch = lane.batch(from);
        return () => ledger.ingest.record(headOf(site, session, lane, batch), batch.body);
      };
    },
    async [Symbol.asyncDispose]() {
      await ledger[Symbol.asyncDispose]();
      await own[Symbol.asyncDispose]();
    },
  };
}

it("records batches of one window that come in another order by one flush", async () => {
  await using own = await openWatched();
  const next = await own.lane("plant-a");
  const batches = [next(), next(), next()];
  own.watched.flushes = 0;
  const outcomes = await Promise.all(batches.reverse().map((record) => record()));
  expect(outcomes).toMatchObject([{ watermark: 3 }, { watermark: 2 }, { watermark: 1 }]);
  expect(own.watched.flushes).toBe(1);
});

it("takes four megabytes into one flush at most: what comes next waits no longer", async () => {
  await using own = await openWatched();
  const next = await own.lane("plant-a");
  const batches = [next(1.5 * mebibyte), next(1.5 * mebibyte), next(1.5 * mebibyte), next()];
  own.watched.flushes = 0;
  await Promise.all(batches.map((record) => record()));
  expect(own.watched.flushes).toBe(2);
});

it("lets a batch that the storage chokes on fail alone", async () => {
  await using own = await openWatched();
  const [good, bad] = [await own.lane("plant-a"), await own.lane("plant-b")];
  own.watched.fails = (sql, parameters) => sql.startsWith('insert into "batches"') && parameters.includes("plant-b");
  const settled = await Promise.allSettled([good()(), bad()(), good()()]);
  expect(settled).toMatchObject([
    { status: "fulfilled", value: { kind: "recorded", watermark: 1 } },
    { status: "rejected", reason: { message: "said by the test" } },
    { status: "fulfilled", value: { kind: "recorded", watermark: 2 } },
  ]);
});

it("counts what is left of a batch that is projected in part: nothing is missing meanwhile", async () => {
  await using own = await openWatched();
  const { ledger } = own;
  const lane = new TestLane("plant-a", "transaction");
  const session = await beginSession(ledger, "plant-a", [lane]);
  for (let frame = 0; frame < 2; frame++)
    lane.append(
      Array.from({ length: 600 }, (_, index) => delivered("plant-a", pick("plant-a", `T-${frame}-${index}`), "accepted")),
    );
  const batch = lane.batch(1);
  await ledger.ingest.record(headOf("plant-a", session, lane, batch), batch.body);
  const lanes = async () => (await ledger.completeness.of("plant-a")).lanes;
  expect(await lanes()).toMatchObject([{ recorded: 1200, messages: 0, waitingForProjection: 1200, missing: 0 }]);
  // a step takes whole frames
  await ledger.projector.step();
  expect(await lanes()).toMatchObject([{ recorded: 1200, messages: 600, waitingForProjection: 600, missing: 0 }]);
  await ledger.projector.step();
  expect(await lanes()).toMatchObject([{ recorded: 1200, messages: 1200, waitingForProjection: 0, missing: 0 }]);
});
