import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { expect, it } from "vitest";
import { OrderSearch } from "../../../central/ledger/order-search.ts";
import { ledgerHint } from "../../../central/router/hints.ts";
import { openSqlite } from "../../../central/storage/database.ts";
import { type Ledger, openLedger } from "../../support/ledger.ts";
import { openTestStorage } from "../../support/storages.ts";

/** A ledger of many rows, whose reading statements are explained: what of a table is looked at, and how. */
async function openExplained() {
  const own = await openTestStorage("sqlite");
  const file = join(own.folder, "ledger.db");
  const filling = await openLedger({ kind: "sqlite", file });
  await filling.storage.destroy();
  fill(file);
  const explaining = new DatabaseSync(file);
  const plans = new Set<string>();
  /** Statements on the ledger's rows. */
  const looks = { count: 0 };
  const ledger = await openLedger({
    kind: "sqlite",
    file,
    openDatabase: (name) => {
      const database = openSqlite(name);
      return {
        close: () => database.close(),
        prepare(sql) {
          if (sql.startsWith("select"))
            for (const row of explaining.prepare(`EXPLAIN QUERY PLAN ${sql}`).all()) plans.add(String(row.detail));
          const statement = database.prepare(sql);
          if (!sql.includes('"slices"')) return statement;
          return {
            ...statement,
            all(parameters) {
              looks.count++;
              return statement.all(parameters);
            },
          };
        },
      };
    },
  });
  plans.clear();
  return {
    ledger,
    looks,
    plansOf: async (read: () => Promise<unknown>) => {
      plans.clear();
      await read();
      return [...plans].filter((plan) => /\b(?:slices|batches|orders|order_names)\b/.test(plan));
    },
    async [Symbol.asyncDispose]() {
      explaining.close();
      await ledger[Symbol.asyncDispose]();
      await own[Symbol.asyncDispose]();
    },
  };
}

const rows = 20_000;

function fill(file: string): void {
  const database = new DatabaseSync(file);
  database.exec(`
    BEGIN;
    WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ${rows})
    INSERT INTO slices SELECT i, 1, 'plant-' || (i % 7), CASE i % 3 WHEN 0 THEN 'transaction' WHEN 1 THEN 'bulk' ELSE 'telemetry' END, 'e', i, i,
      0, 1, 0, '{"mfg.other.v1":1}', NULL, 0, 1, 1 FROM n;
    WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ${rows})
    INSERT INTO orders SELECT printf('HQ-mo-%06d', i), printf('WH/MO/%06d', i), NULL, NULL, NULL, 1, '2026-01-31T08:00:00.000Z', i, 1 FROM n;
    INSERT INTO order_names SELECT order_name, mo_id, last_position FROM orders;
    INSERT INTO order_names VALUES ('OLD/1', 'HQ-mo-000007', 7);
    INSERT INTO sites (name, created_at, labels, desired_revision, reported_revision, downlink_epoch, downlink_last, downlink_acked, behind)
      VALUES ('plant-1', 1, '{}', 0, 0, 'd', 0, 0, '{}');
    INSERT INTO projections VALUES ('plant-1', 'telemetry', ${rows - 1}, 1, 1000, 0, '', 0, 0);
    INSERT INTO epochs (site, lane, epoch, first_sequence, first_chain, watermark, chain, lost, started_at, moved_at)
      VALUES ('plant-1', 'telemetry', 'e', 1, '', ${2 * rows}, '', 0, 1, 1);
    WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ${rows})
    INSERT INTO batches SELECT 'plant-1', 'telemetry', i, 'e', 2 * i - 1, 2 * i, 2, '2/1', '', x'', 1, 1, 1, x'00' FROM n;
    COMMIT`);
  database.close();
}

async function all(
  ledger: Ledger,
  query: Omit<Parameters<Ledger["pages"]["read"]>[0], "after" | "limit">,
  signal = AbortSignal.timeout(60_000),
): Promise<number> {
  let count = 0;
  for await (const part of ledger.pages.read({ after: 0, limit: 10, ...query }, signal)) count += part.count;
  return count;
}

it.each([
  [{ type: "pick.confirmed" }, "slices_lane (lane=? AND position>?)"],
  [{ type: "mfg.unheard.of.v1" }, "INTEGER PRIMARY KEY (rowid>?)"],
  [
    { site: "plant-1", lane: "telemetry" as const, type: "mfg.unheard.of.v1" },
    "slices_site_lane (site=? AND lane=? AND position>?)",
  ],
  [{ site: "plant-1", type: "mfg.unheard.of.v1" }, "slices_site (site=? AND position>?)"],
  [{ state: "repeat" as const }, "slices_repeats (position>?)"],
  [{ state: "repeat" as const, site: "plant-1", lane: "bulk" as const }, "slices_repeats (position>?)"],
])("pages of %j are walked through in parts, along an index of them", async (query, index) => {
  await using explained = await openExplained();
  const plans = await explained.plansOf(() => all(explained.ledger, query));
  expect(plans.filter((plan) => plan.startsWith("SCAN"))).toEqual([]);
  expect(plans.filter((plan) => plan.includes(index))).not.toEqual([]);
  // and no part of them without its end
  for (const plan of plans) expect(plan).toMatch(/(?:position|rowid)>\?(?: AND (?:position|rowid)<\?)?\)$/);
});

it("whoever waits looks at what is new alone", async () => {
  await using explained = await openExplained();
  const { ledger, looks } = explained;
  await all(ledger, { type: "mfg.unheard.of.v1" });
  const once = looks.count;
  const ended = new AbortController();
  const waiting = all(ledger, { type: "mfg.unheard.of.v1", waitMs: 10_000 }, ended.signal);
  await expect.poll(() => looks.count).toBe(2 * once);
  for (let hint = 1; hint <= 20; hint++) {
    ledger.hints.wake(ledgerHint);
    await expect.poll(() => looks.count).toBe(2 * once + hint);
  }
  ended.abort();
  expect(await waiting).toBe(0);
});

it("an order is found by the beginning of its id or of a name that it had, whatever the case, and never by a walk through all", async () => {
  await using explained = await openExplained();
  const orders = new OrderSearch(explained.ledger.storage);
  const found = async (text: string, limit = 3) => (await orders.search(text, limit)).orders.map(({ moId }) => moId);
  const plans = await explained.plansOf(async () => {
    expect(await found("hq-MO-00001")).toEqual(["HQ-mo-000019", "HQ-mo-000018", "HQ-mo-000017"]);
    expect(await found("wh/mo/000123")).toEqual(["HQ-mo-000123"]);
    expect(await found("old")).toEqual(["HQ-mo-000007"]);
    expect(await found("mo-000123")).toEqual([]);
    expect(await found("%")).toEqual([]);
  });
  expect(plans.filter((plan) => plan.startsWith("SCAN"))).toEqual([]);
  // of many the last touched
  expect(await found("WH/")).toEqual(["HQ-mo-020000", "HQ-mo-019999", "HQ-mo-019998"]);
  expect(await found("", 2)).toEqual(["HQ-mo-020000", "HQ-mo-019999"]);
  expect((await orders.search("wh/mo/00", 5000)).orders).toHaveLength(5000);
});

it("how complete a site is costs a look at the batches that wait", async () => {
  await using explained = await openExplained();
  const { ledger } = explained;
  const plans = await explained.plansOf(async () => {
    expect((await ledger.completeness.of("plant-1")).lanes).toMatchObject([{ waitingForProjection: 3 }]);
  });
  expect(plans.filter((plan) => plan.startsWith("SCAN"))).toEqual([]);
  expect(plans.filter((plan) => plan.includes("number>?"))).not.toEqual([]);
});
