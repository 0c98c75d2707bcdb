import { expect, it } from "vitest";
import { SharedCommits } from "../../../central/storage/shared-commits.ts";
import { openStorage, type StorageTransaction } from "../../../central/storage/storage.ts";
import { temporaryFolder } from "../../support/folder.ts";
import { postgresServer } from "../../support/postgres.ts";
import { openTestStorage } from "../../support/storages.ts";
import { watchedDatabase } from "../../support/watched-database.ts";

async function open() {
  const told: string[] = [];
  let full = false;
  const openDatabase = watchedDatabase((sql, statement, database) => ({
    run(parameters) {
      if (sql === "commit") told.push("commit");
      if (full && sql.startsWith("insert")) {
        database.prepare("rollback").run([]);
        throw Object.assign(new Error("database or disk is full"), { errcode: 13 });
      }
      return statement.run(parameters);
    },
  }));
  const folder = temporaryFolder();
  const storage = await openStorage({ kind: "sqlite", file: `${folder.path}/ledger.db`, openDatabase });
  told.length = 0;
  const note = (id: string) => async (tx: StorageTransaction) => {
    await tx
      .insertInto("meta")
      .values({ name: `note ${id}`, value: "" })
      .execute();
    return id;
  };
  return {
    commits: new SharedCommits(storage),
    note,
    told,
    fill: () => {
      full = true;
    },
    noted: async () =>
      (await storage.selectFrom("meta").select("name").where("name", "like", "note %").orderBy("name").execute()).map(
        ({ name }) => name.slice(5),
      ),
    async [Symbol.asyncDispose]() {
      await storage.destroy();
      folder[Symbol.dispose]();
    },
  };
}

it("lets changes that wait together share one flush, and answers none before it", async () => {
  await using own = await open();
  const changes = ["a", "b", "c"].map((id) => own.commits.run(own.note(id)).then(() => own.told.push(id)));
  await Promise.all(changes);
  expect(own.told).toEqual(["commit", "a", "b", "c"]);
  expect(await own.noted()).toEqual(["a", "b", "c"]);
});

it("lets no more than 64 share one, so that the connection is soon free, and takes what comes once it has rested", async () => {
  await using own = await open();
  await Promise.all(Array.from({ length: 200 }, (_, id) => own.commits.run(own.note(String(id)))));
  expect(own.told).toEqual(["commit", "commit", "commit", "commit"]);
  expect(await own.commits.run(own.note("later"))).toBe("later");
});

it.skipIf((await postgresServer()) === undefined)("gives each change a transaction of its own on PostgreSQL", async () => {
  await using own = await openTestStorage("postgres");
  const storage = await openStorage(own.target);
  try {
    const commits = new SharedCommits(storage);
    const other = Promise.withResolvers<void>();
    const waits = commits.run(() => other.promise);
    await commits.run(async () => {});
    other.resolve();
    await waits;
  } finally {
    await storage.destroy();
  }
});

it("undoes the one that fails, and only it", async () => {
  await using own = await open();
  const fails = own.commits.run(async (tx) => {
    await own.note("b")(tx);
    throw new Error("not this one");
  });
  const settled = await Promise.allSettled([own.commits.run(own.note("a")), fails, own.commits.run(own.note("c"))]);
  expect(settled.map(({ status }) => status)).toEqual(["fulfilled", "rejected", "fulfilled"]);
  expect(await own.noted()).toEqual(["a", "c"]);
});

it("refuses all of them when the disk is full", async () => {
  await using own = await open();
  own.fill();
  const settled = await Promise.allSettled([own.commits.run(own.note("a")), own.commits.run(own.note("b"))]);
  expect(settled).toMatchObject([
    { status: "rejected", reason: { errcode: 13 } },
    { status: "rejected", reason: { errcode: 13 } },
  ]);
  expect(await own.noted()).toEqual([]);
});
