import { zstdCompressSync } from "node:zlib";
import { describe, expect, it } from "vitest";
import { beginLook, look } from "../../../central/ledger/damage.ts";
import { systemClock } from "../../../protocol/index.ts";
import { TestLane } from "../../support/gateway-client.ts";
import { beginSession, headOf, type Ledger, openLedger, readAll } from "../../support/ledger.ts";
import { delivered, pick } from "../../support/messages.ts";
import { openTestStorage, storages } from "../../support/storages.ts";

/** A clock that a test may put forward. */
function movingClock() {
  let ahead = 0;
  return {
    ...systemClock,
    now: () => systemClock.now() + ahead,
    pass(ms: number): void {
      ahead += ms;
    },
  };
}

const outcome = (txn: string) => delivered("plant-a", pick("plant-a", txn), "accepted");

async function record(ledger: Ledger, session: string, lane: TestLane, from: number): Promise<void> {
  const batch = lane.batch(from);
  expect(await ledger.ingest.record(headOf("plant-a", session, lane, batch), batch.body)).toMatchObject({
    kind: "recorded",
    watermark: lane.last,
  });
}

/** A batch of its own for each. */
async function recordEach(ledger: Ledger, session: string, lane: TestLane, txns: readonly string[]): Promise<void> {
  for (const txn of txns) {
    lane.append([outcome(txn)]);
    await record(ledger, session, lane, lane.last);
  }
}

/** Takes a batch's body away, for something of the same length. @returns how to bring it back */
async function damage(
  { storage, frames }: Ledger,
  batch: number,
  body?: (whole: Buffer) => Buffer,
): Promise<() => Promise<void>> {
  const row = await storage.selectFrom("batches").select("body").where("number", "=", batch).executeTakeFirstOrThrow();
  const whole = Buffer.from(row.body);
  const write = async (bytes: Buffer): Promise<void> => {
    await storage.updateTable("batches").set({ body: bytes }).where("number", "=", batch).execute();
    frames.forget({ site: "plant-a", lane: "transaction", batch });
  };
  await write(body?.(whole) ?? Buffer.alloc(whole.length));
  return () => write(whole);
}

const alarms = ({ storage }: Ledger) =>
  storage.selectFrom("exceptions").select(["kind", "target", "count", "first_sequence", "last_sequence", "ended_at"]).execute();
const sequences = async (ledger: Ledger) => (await readAll(ledger)).map(({ sequence }) => sequence).sort((a, b) => a - b);
const tryStep = (ledger: Ledger) => ledger.projector.step().catch(() => true);

describe.each(await storages())("on %s", (kind) => {
  it("lets a batch that the disk damaged hold nobody back, and projects it once it can be read again", async () => {
    await using own = await openTestStorage(kind);
    const clock = movingClock();
    await using ledger = await openLedger(own.target, clock);
    const { storage, projector, completeness } = ledger;
    const lane = new TestLane("plant-a", "transaction");
    const session = await beginSession(ledger, "plant-a", [lane]);
    await recordEach(ledger, session, lane, ["T-1", "T-2", "T-3"]);
    const repair = await damage(ledger, 2);
    for (let tries = 0; tries < 100 && (await sequences(ledger)).length < 2; tries++) await tryStep(ledger);
    expect(await sequences(ledger)).toEqual([1, 3]);
    expect(await projector.step()).toBe(false);
    expect(await alarms(ledger)).toMatchObject([
      { kind: "ledger-damaged", count: 1, first_sequence: 2, last_sequence: 2, ended_at: null },
    ]);
    const counted = (await completeness.of("plant-a")).lanes[0];
    expect(counted).toMatchObject({ recorded: 3, messages: 2, waitingForProjection: 1, missing: 0 });
    await repair();
    clock.pass(10_000);
    expect(await projector.step()).toBe(true);
    expect(await sequences(ledger)).toEqual([1, 2, 3]);
    expect((await alarms(ledger))[0]?.ended_at).toBeTypeOf("number");
    expect(await storage.selectFrom("quarantine").selectAll().execute()).toEqual([]);
    expect((await completeness.of("plant-a")).lanes[0]).toMatchObject({ messages: 3, waitingForProjection: 0, missing: 0 });
  });

  it("says of a batch with holes which messages cannot be read, and none that were projected before", async () => {
    await using own = await openTestStorage(kind);
    await using ledger = await openLedger(own.target);
    const lane = new TestLane("plant-a", "transaction");
    const session = await beginSession(ledger, "plant-a", [lane]);
    for (let frame = 0; frame < 5; frame++) lane.append([outcome(`T-${frame}`), outcome(`U-${frame}`)]);
    lane.discard(1, 2, "damaged");
    lane.discard(9, 10, "damaged");
    await record(ledger, session, lane, 1);
    // as after a smaller step that ended within the second frame
    await ledger.storage.updateTable("projections").set({ done: 3 }).execute();
    await damage(ledger, 1);
    for (let tries = 0; tries < 20; tries++) await tryStep(ledger);
    expect((await alarms(ledger)).filter((alarm) => alarm.kind === "ledger-damaged")).toMatchObject([
      { count: 3, first_sequence: 6, last_sequence: 8 },
    ]);
  });

  it("sets a batch aside whose frames hold fewer lines than were recorded, and quarantines none of them", async () => {
    await using own = await openTestStorage(kind);
    await using ledger = await openLedger(own.target);
    const lane = new TestLane("plant-a", "transaction");
    const session = await beginSession(ledger, "plant-a", [lane]);
    lane.append([outcome("T-1"), outcome("T-2")]);
    await record(ledger, session, lane, 1);
    const shorter = zstdCompressSync(`${JSON.stringify(outcome("T-1"))}\n`);
    await damage(ledger, 1, () => shorter);
    await ledger.storage
      .updateTable("batches")
      .set({ frames: `2/${shorter.length}` })
      .execute();
    for (let tries = 0; tries < 20; tries++) await tryStep(ledger);
    expect(await alarms(ledger)).toMatchObject([{ kind: "ledger-damaged", count: 2 }]);
    expect(await ledger.storage.selectFrom("quarantine").selectAll().execute()).toEqual([]);
  });

  it("looks at every damaged batch in turn, however many there are, and at each no more often than it should", async () => {
    await using own = await openTestStorage(kind);
    await using ledger = await openLedger(own.target);
    const { storage } = ledger;
    const row = { site: "plant-a", lane: "transaction" as const, done: 0, size: 1000, attempts: 0, noted_by: "", noted_at: 0 };
    for (let at = 0; at < 1200; at += 100) {
      const rows = Array.from({ length: 100 }, (_, index) => ({
        ...row,
        batch: at + index,
        looks: 0,
        looked_at: at < 1100 ? 1e6 : 1,
      }));
      await storage.insertInto("damaged").values(rows).execute();
    }
    const seen = new Set<number>();
    for (let found = await beginLook(storage, 1e6); found; found = await beginLook(storage, 1e6)) seen.add(found.batch);
    expect([...seen].sort()).toEqual(Array.from({ length: 100 }, (_, index) => 1100 + index));
    expect(await beginLook(storage, 1e6 + 9999)).toBeUndefined();
    expect(await beginLook(storage, 1e6 + 10_000)).toBeDefined();
    // the clock was set back by years
    expect(await beginLook(storage, 1000)).toBeDefined();
  });

  it("leaves a batch for an hour that took the process down three times while it was read", async () => {
    await using own = await openTestStorage(kind);
    await using ledger = await openLedger(own.target);
    const lane = new TestLane("plant-a", "transaction");
    const session = await beginSession(ledger, "plant-a", [lane]);
    lane.append([outcome("T-1")]);
    await record(ledger, session, lane, 1);
    await damage(ledger, 1);
    for (let tries = 0; tries < 20; tries++) await tryStep(ledger);
    const now = Date.now() + 1e6;
    // begun, and never ended
    for (let crash = 0; crash < 3; crash++) expect(await beginLook(ledger.storage, now + crash * 10_000)).toBeDefined();
    expect(await beginLook(ledger.storage, now + 30 * 60_000)).toBeUndefined();
    const later = await beginLook(ledger.storage, now + 20_000 + 3_600_000);
    expect(later).toMatchObject({ batch: 1 });
    expect(await look(ledger.storage, later!)).toBe(false);
    expect(await beginLook(ledger.storage, now + 20_000 + 3_600_000 + 10_000)).toBeDefined();
  });

  it("takes a large damaged batch up again only once all of it can be read, not only its beginning", async () => {
    await using own = await openTestStorage(kind);
    const clock = movingClock();
    await using ledger = await openLedger(own.target, clock);
    const lane = new TestLane("plant-a", "transaction");
    const session = await beginSession(ledger, "plant-a", [lane]);
    // more text than one step holds
    const padding = "x".repeat(200_000);
    for (let frame = 0; frame < 12; frame++)
      lane.append(Array.from({ length: 5 }, (_, index) => ({ ...outcome(`T-${frame}-${index}`), padding }) as never));
    await record(ledger, session, lane, 1);
    const repair = await damage(ledger, 1);
    for (let tries = 0; tries < 20; tries++) await tryStep(ledger);
    await repair();
    const repairEnd = await damage(ledger, 1, (whole) => Buffer.concat([whole.subarray(0, -20), Buffer.alloc(20)]));
    clock.pass(10_000);
    for (let steps = 0; steps < 5; steps++) expect(await ledger.projector.step()).toBe(false);
    expect((await ledger.completeness.of("plant-a")).lanes[0]).toMatchObject({ messages: 0, quarantined: 0 });
    await repairEnd();
    clock.pass(10_000);
    while (await ledger.projector.step());
    const [counted] = (await ledger.completeness.of("plant-a")).lanes;
    // no schema knows the padding
    expect(counted).toMatchObject({ quarantined: 60, waitingForProjection: 0, missing: 0 });
  });

  it("tells of a batch whose row is gone, and serves no other one's messages in its place", async () => {
    await using own = await openTestStorage(kind);
    await using ledger = await openLedger(own.target);
    const { storage, projector } = ledger;
    const lane = new TestLane("plant-a", "transaction");
    const session = await beginSession(ledger, "plant-a", [lane]);
    for (const txn of ["T-1", "T-2", "T-3"]) {
      lane.append([outcome(txn)]);
      await record(ledger, session, lane, lane.last);
      await new Promise((resolve) => setTimeout(resolve, 2));
    }
    while (await projector.step());
    // as a damaged index leads there: the second's number finds the third's row
    await storage.deleteFrom("batches").where("number", "=", 2).execute();
    await storage.updateTable("batches").set({ number: 2 }).where("number", "=", 3).execute();
    // nothing of them is in memory any more
    await using again = await openLedger(own.target);
    const read = (await readAll(again)) as { sequence?: number; unreadable?: { first: number; last: number } }[];
    expect(read.map(({ sequence, unreadable }) => sequence ?? unreadable)).toEqual([
      1,
      expect.objectContaining({ first: 2, last: 2 }),
      expect.objectContaining({ first: 3, last: 3 }),
    ]);
    const told = (await alarms(ledger)).filter((alarm) => alarm.kind === "ledger-damaged");
    expect(told.map(({ target }) => target).toSorted()).toEqual(["batch 2", "batch 3"]);
    // what waits for them is kept until they are found again
    expect((await storage.selectFrom("damaged").select("batch").orderBy("batch").execute()).map(({ batch }) => batch)).toEqual([
      2, 3,
    ]);
  });

  it("passes over a batch that is not found, says so, and projects it once it is", async () => {
    await using own = await openTestStorage(kind);
    const clock = movingClock();
    await using ledger = await openLedger(own.target, clock);
    const { storage, projector, completeness } = ledger;
    const lane = new TestLane("plant-a", "transaction");
    const session = await beginSession(ledger, "plant-a", [lane]);
    await recordEach(ledger, session, lane, ["T-1", "T-2", "T-3", "T-4"]);
    // as by a damaged index: one between others, and the last
    const rows = await storage.selectFrom("batches").selectAll().where("number", "in", [2, 4]).execute();
    await storage.deleteFrom("batches").where("number", "in", [2, 4]).execute();
    while (await projector.step());
    expect(await sequences(ledger)).toEqual([1, 3]);
    const told = (await alarms(ledger)).filter((alarm) => alarm.kind === "ledger-damaged" && alarm.ended_at === null);
    expect(told.map(({ target }) => target).toSorted()).toEqual(["batch 2", "batch 4"]);
    expect((await completeness.of("plant-a")).lanes[0]).toMatchObject({ recorded: 4, messages: 2, missing: 2 });
    await storage.insertInto("batches").values(rows).execute();
    clock.pass(10_000);
    while (await projector.step());
    expect(await sequences(ledger)).toEqual([1, 2, 3, 4]);
    expect((await alarms(ledger)).filter(({ ended_at }) => ended_at === null)).toEqual([]);
    expect((await completeness.of("plant-a")).lanes[0]).toMatchObject({ messages: 4, missing: 0 });
  });

  it("waits, and says so once, where the count of a lane's batches cannot be true", async () => {
    await using own = await openTestStorage(kind);
    await using ledger = await openLedger(own.target);
    const lane = new TestLane("plant-a", "transaction");
    const session = await beginSession(ledger, "plant-a", [lane]);
    lane.append([outcome("T-1")]);
    await record(ledger, session, lane, 1);
    await ledger.storage
      .updateTable("lanes")
      .set({ batches: 2 ** 40 + 1 })
      .where("lane", "=", "transaction")
      .execute();
    for (let steps = 0; steps < 10; steps++) await ledger.projector.step();
    expect(await sequences(ledger)).toEqual([1]);
    expect(await alarms(ledger)).toMatchObject([{ kind: "ledger-damaged", target: "batch 2", count: 1 }]);
    expect(await ledger.storage.selectFrom("damaged").selectAll().execute()).toEqual([]);
  });

  it("projects nothing of a damaged batch twice, of which the beginning can be read", async () => {
    await using own = await openTestStorage(kind);
    const clock = movingClock();
    await using ledger = await openLedger(own.target, clock);
    const lane = new TestLane("plant-a", "transaction");
    const session = await beginSession(ledger, "plant-a", [lane]);
    lane.append([outcome("T-1")]);
    await record(ledger, session, lane, 1);
    // a hole between them makes two stretches of one batch
    for (const txn of ["T-2", "lost", "T-4"]) lane.append([outcome(txn)]);
    lane.discard(3, 3, "damaged");
    await record(ledger, session, lane, 2);
    const repair = await damage(ledger, 2, (whole) => Buffer.concat([whole.subarray(0, -20), Buffer.alloc(20)]));
    for (let tries = 0; tries < 20; tries++) await tryStep(ledger);
    expect(await sequences(ledger)).not.toContain(4);
    await repair();
    clock.pass(10_000);
    while (await ledger.projector.step());
    expect(await sequences(ledger)).toEqual([1, 2, 4]);
    expect((await ledger.completeness.of("plant-a")).lanes[0]).toMatchObject({ messages: 3, repeats: 0, missing: 0 });
  });

  it("takes a batch up again that was repaired, however much else there is to project", async () => {
    await using own = await openTestStorage(kind);
    const clock = movingClock();
    let passed = 0;
    await using ledger = await openLedger(own.target, { ...clock, monotonic: () => clock.monotonic() + passed });
    const lane = new TestLane("plant-a", "transaction");
    const session = await beginSession(ledger, "plant-a", [lane]);
    lane.append([outcome("T-1")]);
    await record(ledger, session, lane, 1);
    const repair = await damage(ledger, 1);
    for (let tries = 0; tries < 20; tries++) await tryStep(ledger);
    await repair();
    clock.pass(10_000);
    const busy = new TestLane("plant-b", "transaction");
    const ofBusy = await beginSession(ledger, "plant-b", [busy]);
    for (let round = 0; round < 5 && (await alarms(ledger))[0]?.ended_at === null; round++) {
      busy.append([delivered("plant-b", pick("plant-b", `B-${round}`), "accepted")]);
      const batch = busy.batch(busy.last);
      await ledger.ingest.record(headOf("plant-b", ofBusy, busy, batch), batch.body);
      passed += 1100;
      // never so often that nothing is left
      await ledger.projector.step();
    }
    expect((await readAll(ledger)).map(({ site }) => site)).toContain("plant-a");
  });

  it("sets a batch aside of which the row makes no sense, and holds up none before or behind it", async () => {
    await using own = await openTestStorage(kind);
    const clock = movingClock();
    await using ledger = await openLedger(own.target, clock);
    const { storage } = ledger;
    const lane = new TestLane("plant-a", "transaction");
    const session = await beginSession(ledger, "plant-a", [lane]);
    await recordEach(ledger, session, lane, ["T-1", "T-2", "T-3"]);
    const second = storage.selectFrom("batches").select("frames").where("number", "=", 2);
    const { frames } = await second.executeTakeFirstOrThrow();
    await storage.updateTable("batches").set({ frames: "~" }).where("number", "=", 2).execute();
    for (let tries = 0; tries < 20; tries++) await tryStep(ledger);
    expect(await sequences(ledger)).toEqual([1, 3]);
    expect(await alarms(ledger)).toMatchObject([{ kind: "ledger-damaged", target: "batch 2", ended_at: null }]);
    await storage.updateTable("batches").set({ frames }).where("number", "=", 2).execute();
    clock.pass(10_000);
    while (await ledger.projector.step());
    expect(await sequences(ledger)).toEqual([1, 2, 3]);
  });

  it("shows a gap where a row of the ledger makes no sense", async () => {
    await using own = await openTestStorage(kind);
    await using ledger = await openLedger(own.target);
    const lane = new TestLane("plant-a", "transaction");
    const session = await beginSession(ledger, "plant-a", [lane]);
    for (const txn of ["T-1", "T-2", "T-3"]) {
      lane.append([outcome(txn)]);
      await record(ledger, session, lane, lane.last);
      while (await ledger.projector.step());
    }
    await ledger.storage.updateTable("slices").set({ skips: "[[" }).where("first_sequence", "=", 2).execute();
    const read = (await readAll(ledger)) as { sequence?: number; unreadable?: { first: number; last: number } }[];
    expect(read.map(({ sequence, unreadable }) => sequence ?? unreadable)).toEqual([
      1,
      expect.objectContaining({ first: 2, last: 2 }),
      3,
    ]);
  });
});
