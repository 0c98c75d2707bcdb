import { describe, expect, it } from "vitest";
import { sessionState } from "../../../central/site/sessions.ts";
import { insertRows } from "../../../central/storage/bulk.ts";
import { systemClock } from "../../../protocol/index.ts";
import { TestLane } from "../../support/gateway-client.ts";
import { beginSession, headOf, type Ledger, openLedger } from "../../support/ledger.ts";
import { pick } from "../../support/messages.ts";
import { openTestStorage, storages } from "../../support/storages.ts";

const site = "plant-a";
async function hello(ledger: Ledger, bootId: string, lanes: readonly TestLane[] = []): Promise<string> {
  const epochs = lanes.map(({ lane, epoch, firstSequence }) => ({ lane, epoch, firstSequence }));
  const begun = await ledger.sessions.begin(site, {
    gatewayVersion: "test",
    bootId,
    sentAt: "2026-01-31T08:00:00.000Z",
    epochs,
  });
  if (begun.kind !== "begun") throw new Error(begun.detail);
  return begun.session;
}
const count = async ({ storage }: Ledger, table: "sessions" | "epochs"): Promise<number> =>
  Number(
    (
      await storage
        .selectFrom(table)
        .select((eb) => eb.fn.countAll().as("rows"))
        .executeTakeFirstOrThrow()
    ).rows,
  );

describe.each(await storages())("on %s, central", (kind) => {
  it("keeps the last sessions of each gateway process, and still fences each of the last thousand", async () => {
    await using own = await openTestStorage(kind);
    let now = systemClock.now();
    await using ledger = await openLedger(own.target, { ...systemClock, now: () => now });
    const { storage } = ledger;
    await beginSession(ledger, site, []);
    const clone = await hello(ledger, "clone");
    for (let times = 0; times < 30; times++) await hello(ledger, "real");
    expect(await count(ledger, "sessions")).toBe(12);

    const rows = Array.from({ length: 12_000 }, (_, n) => n).map((n) => ({
      id: `session-${n}`,
      site,
      boot_id: `boot-${n}`,
      gateway_version: "test",
      started_at: now - 20_000 + n,
    }));
    const columns = ["id", "site", "boot_id", "gateway_version", "started_at"] as const;
    await storage.transaction().execute((tx) => insertRows(tx, "sessions", columns, rows));
    // a clock that was set back makes no session an old one
    now -= 10 * 365 * 86_400_000;
    const current = await hello(ledger, "real");
    expect(await count(ledger, "sessions")).toBe(10_000);
    expect(await sessionState(storage, site, current)).toBe("current");
    expect(await sessionState(storage, site, clone)).toBe("fenced");
    expect(await sessionState(storage, site, "session-0")).toBe("session-unknown");
  });

  it("keeps every epoch that something was recorded of, and of those without the last hundred", async () => {
    await using own = await openTestStorage(kind);
    await using ledger = await openLedger(own.target);
    const lane = new TestLane(site, "transaction", { epoch: "recorded" });
    const session = await beginSession(ledger, site, [lane]);
    lane.append([pick(site, "T-1")]);
    const batch = lane.batch();
    expect(await ledger.ingest.record(headOf(site, session, lane, batch), batch.body)).toMatchObject({ kind: "recorded" });
    const columns = [
      "site",
      "lane",
      "epoch",
      "first_sequence",
      "first_chain",
      "predecessor_epoch",
      "predecessor_last",
      "watermark",
      "chain",
      "lost",
      "started_at",
      "moved_at",
    ] as const;
    const now = systemClock.now();
    const rows = Array.from({ length: 150 }, (_, n) => ({
      site,
      lane: "transaction" as const,
      epoch: `empty-${String(n).padStart(3, "0")}`,
      first_sequence: 1,
      first_chain: "00",
      predecessor_epoch: null,
      predecessor_last: null,
      watermark: 0,
      chain: "00",
      lost: 0,
      started_at: now + n,
      moved_at: now,
      ended_at: null,
      said_last: null,
      said_at: null,
    }));
    await ledger.storage.transaction().execute((tx) => insertRows(tx, "epochs", columns, rows));
    await hello(ledger, "boot", [new TestLane(site, "transaction", { epoch: "next" })]);
    const kept = await ledger.storage.selectFrom("epochs").select("epoch").orderBy("started_at").execute();
    const names = kept.map(({ epoch }) => epoch);
    expect([names.length, names[0], names[1], names.at(-1)]).toEqual([101, "recorded", "empty-051", "next"]);
    expect((await ledger.completeness.of(site)).lanes[0]).toMatchObject({ epoch: "recorded", recorded: 1, missing: 0 });
  });
});
