import { createHash } from "node:crypto";
import { sql } from "kysely";
import { describe, expect, it } from "vitest";
import { Audit } from "../../../central/audit/audit.ts";
import { readEntries } from "../../../central/audit/entries.ts";
import { openStorage, type Storage } from "../../../central/storage/storage.ts";
import { systemClock } from "../../../protocol/index.ts";
import { openTestStorage, storages } from "../../support/storages.ts";

interface Log extends AsyncDisposable {
  readonly storage: Storage;
  readonly audit: Audit;
  append(actor: string, action?: string, subject?: string): Promise<void>;
  /** Somebody with the database's own rights takes the triggers away, as an intruder would. */
  unguard(): Promise<void>;
  run(statement: string): Promise<unknown>;
}

describe.each(await storages())("the audit log on %s", (kind) => {
  async function openLog(entries: number): Promise<Log> {
    const place = await openTestStorage(kind);
    const storage = await openStorage(place.target);
    const audit = new Audit(systemClock);
    const run = (statement: string): Promise<unknown> => sql.raw(statement).execute(storage);
    const log: Log = {
      storage,
      audit,
      run,
      append: (actor, action = "thing.done", subject = "thing/1") =>
        storage
          .transaction()
          .execute((tx) => audit.append(tx, { actor, action, subject, detail: { text: 'ü "quoted" \u2028' } })),
      async unguard() {
        if (kind === "sqlite") for (const name of ["update", "delete", "replace"]) await run(`DROP TRIGGER audit_${name}`);
        else await run("ALTER TABLE audit DISABLE TRIGGER ALL");
      },
      async [Symbol.asyncDispose]() {
        await storage.destroy();
        await place[Symbol.asyncDispose]();
      },
    };
    for (let i = 1; i <= entries; i++) await log.append(`person-${i}`);
    return log;
  }
  const hashOf = (before: string, entry: string): string => createHash("sha256").update(before).update(entry).digest("hex");

  it("numbers entries without a gap, however many are made at once, and forgets those that were not committed", async () => {
    await using log = await openLog(0);
    await Promise.allSettled(
      Array.from({ length: 40 }, (_, i) =>
        log.storage.transaction().execute(async (tx) => {
          await log.audit.append(tx, { actor: `person-${i}`, action: "thing.done", subject: "thing/1" });
          if (i % 4 === 0) throw new Error("rolled back");
        }),
      ),
    );
    const { entries, badAt } = await log.audit.verify(log.storage);
    expect([entries, badAt]).toEqual([30, null]);
    const rows = await log.storage.selectFrom("audit").select("number").orderBy("number").execute();
    expect(rows.map(({ number }) => number)).toEqual(Array.from({ length: 30 }, (_, i) => i + 1));
  });

  it("chains each hash over the exact stored bytes", async () => {
    await using log = await openLog(2);
    const [first, second] = await log.storage.selectFrom("audit").selectAll().orderBy("number").execute();
    expect(first?.hash).toBe(hashOf(createHash("sha256").update("plantgate audit").digest("hex"), first?.entry ?? ""));
    expect(second?.hash).toBe(hashOf(first?.hash ?? "", second?.entry ?? ""));
    expect(await log.audit.head(log.storage)).toEqual({ entries: 2, head: second?.hash });
  });

  it("refuses to be changed, shortened or overwritten", async () => {
    await using log = await openLog(3);
    const tries = [
      "UPDATE audit SET entry = '{}' WHERE number = 2",
      "UPDATE audit SET number = 9 WHERE number = 3",
      "DELETE FROM audit WHERE number = 3",
      "DELETE FROM audit",
      ...(kind === "sqlite"
        ? ["INSERT OR REPLACE INTO audit (number, entry, hash) VALUES (2, '{}', 'x')", "REPLACE INTO audit VALUES (1, '{}', 'x')"]
        : [
            "TRUNCATE audit",
            "INSERT INTO audit (number, entry, hash) VALUES (2, '{}', 'x') ON CONFLICT (number) DO UPDATE SET entry = 'x'",
          ]),
    ];
    for (const statement of tries) await expect(log.run(statement), statement).rejects.toThrow(/only appended to/);
    expect(await log.audit.verify(log.storage)).toMatchObject({ entries: 3, badAt: null });
  });

  describe("shows where it was tampered with:", () => {
    it.each([
      ["an entry that was written over", 3, ["UPDATE audit SET entry = replace(entry, 'person-3', 'person-9') WHERE number = 3"]],
      ["one byte of white space", 4, ["UPDATE audit SET entry = entry || ' ' WHERE number = 4"]],
      ["another hash", 2, ["UPDATE audit SET hash = 'abc' WHERE number = 2"]],
      ["an entry that was taken out", 3, ["DELETE FROM audit WHERE number = 3"]],
      ["the first one that was taken out", 1, ["DELETE FROM audit WHERE number = 1"]],
      [
        "one taken out and the others moved up",
        3,
        [
          "DELETE FROM audit WHERE number = 3",
          "UPDATE audit SET number = number - 1 WHERE number = 4",
          "UPDATE audit SET number = 4 WHERE number = 5",
        ],
      ],
      ["an end that was cut off", 5, ["DELETE FROM audit WHERE number = 5"]],
      ["everything gone", 1, ["DELETE FROM audit"]],
      [
        "two that changed places",
        2,
        [
          "UPDATE audit SET number = -1 WHERE number = 2",
          "UPDATE audit SET number = 2 WHERE number = 3",
          "UPDATE audit SET number = 3 WHERE number = -1",
        ],
      ],
      ["one that was put in at the end", 6, ["INSERT INTO audit (number, entry, hash) VALUES (6, '{}', 'x')"]],
    ])("%s", async (_, badAt, statements) => {
      await using log = await openLog(5);
      await log.unguard();
      for (const statement of statements) await log.run(statement);
      expect((await log.audit.verify(log.storage)).badAt).toBe(badAt);
    });

    it("one put in at the end with a right hash, as the counter does not know it", async () => {
      await using log = await openLog(5);
      const { head } = await log.audit.head(log.storage);
      await log.storage
        .insertInto("audit")
        .values({ number: 6, entry: "{}", hash: hashOf(head, "{}") })
        .execute();
      expect((await log.audit.verify(log.storage)).badAt).toBe(6);
      await expect(log.append("somebody")).rejects.toThrow();
    });

    it("an end that was cut off, after others were appended", async () => {
      await using log = await openLog(5);
      await log.unguard();
      await log.run("DELETE FROM audit WHERE number = 5");
      await log.append("somebody");
      expect((await log.audit.verify(log.storage)).badAt).toBe(5);
    });

    it("an end that was cut off together with the counter, and a log that was written anew, by what was kept elsewhere", async () => {
      await using log = await openLog(5);
      const kept = await log.audit.head(log.storage);
      const at = { head: kept.head, at: kept.entries };
      expect((await log.audit.verify(log.storage, at)).badAt).toBeNull();
      await log.append("person-6");
      expect((await log.audit.verify(log.storage, at)).badAt).toBeNull();
      await log.unguard();
      await log.run("DELETE FROM audit WHERE number > 4");
      await log.run("UPDATE counters SET value = 4 WHERE name = 'audit'");
      expect((await log.audit.verify(log.storage)).badAt).toBeNull();
      expect((await log.audit.verify(log.storage, at)).badAt).toBe(5);
      for (const name of ["other", "person-6"]) await log.append(name);
      expect((await log.audit.verify(log.storage)).badAt).toBeNull();
      expect((await log.audit.verify(log.storage, at)).badAt).toBe(5);
    });
  });

  it("is judged while others append", async () => {
    await using log = await openLog(20);
    const appending = (async () => {
      for (let i = 0; i < 30; i++) await log.append(`person-${i}`);
    })();
    const judged = await Promise.all(Array.from({ length: 10 }, () => log.audit.verify(log.storage)));
    await appending;
    expect(judged.map(({ badAt }) => badAt)).toEqual(judged.map(() => null));
  });

  it("is read in pages from both ends, by actor, action and subject", async () => {
    await using log = await openLog(0);
    for (let i = 1; i <= 6; i++) await log.append(i % 2 ? "anna" : "bo", i < 4 ? "login.failed" : "change.approved", `user/${i}`);
    const numbers = async (query: Partial<Parameters<typeof readEntries>[1]>) => {
      const { entries, next } = await readEntries(log.storage, { after: 0, limit: 100, ...query });
      return [entries.map(({ number }) => number), next];
    };
    expect(await numbers({})).toEqual([[1, 2, 3, 4, 5, 6], 6]);
    expect(await numbers({ limit: 2 })).toEqual([[1, 2], 2]);
    expect(await numbers({ limit: 2, after: 4 })).toEqual([[5, 6], 6]);
    expect(await numbers({ after: 6 })).toEqual([[], 6]);
    expect(await numbers({ before: 0, limit: 2 })).toEqual([[5, 6], 5]);
    expect(await numbers({ before: 5, limit: 2 })).toEqual([[3, 4], 3]);
    expect(await numbers({ before: 1 })).toEqual([[], 1]);
    expect(await numbers({ actor: "anna" })).toEqual([[1, 3, 5], 6]);
    expect(await numbers({ action: "login" })).toEqual([[1, 2, 3], 6]);
    expect(await numbers({ action: "log" })).toEqual([[], 6]);
    expect(await numbers({ subject: "user", action: "change.approved", actor: "bo" })).toEqual([[4, 6], 6]);
  });
});
