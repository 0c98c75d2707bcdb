import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it } from "vitest";
import type { BatchHead } from "../../../central/ledger/batch.ts";
import { SiteRegistry } from "../../../central/site/registry.ts";
import { Sessions } from "../../../central/site/sessions.ts";
import { systemClock } from "../../../protocol/index.ts";
import { generateGatewayKey, TestLane } from "../../support/gateway-client.ts";
import { openLedger } from "../../support/ledger.ts";
import { delivered, pick } from "../../support/messages.ts";

it("lets a batch that the disk damaged hold nobody back, and projects it once it can be read again", async () => {
  const folder = mkdtempSync(join(tmpdir(), "plantgate-damage-"));
  const ledger = await openLedger(join(folder, "ledger.db"));
  const { storage, ingest, projector } = ledger;
  try {
    const { publicKey } = await generateGatewayKey();
    await new SiteRegistry({ storage, clock: systemClock }).add("plant-a", publicKey);
    const lane = new TestLane("plant-a", "transaction");
    const begun = await new Sessions({ storage, clock: systemClock }).begin("plant-a", {
      gatewayVersion: "test",
      bootId: "boot",
      sentAt: "2026-01-31T08:00:00.000Z",
      epochs: [{ lane: "transaction", epoch: lane.epoch, firstSequence: 1 }],
    });
    const session = begun.kind === "begun" ? begun.session : "";
    for (const txn of ["T-1", "T-2", "T-3"]) {
      lane.append([delivered("plant-a", pick("plant-a", txn), "accepted")]);
      const { firstSequence, count, chain, frames } = lane.batch(lane.last);
      const head: BatchHead = {
        site: "plant-a",
        lane: "transaction",
        session,
        epoch: lane.epoch,
        firstSequence,
        count,
        chain,
        frames: frames.map(({ count: n, bytes }) => ({ count: n, bytes: bytes.length })),
      };
      expect(await ingest.record(head, Buffer.concat(frames.map(({ bytes }) => bytes)))).toMatchObject({
        kind: "recorded",
        watermark: lane.last,
      });
    }
    const { body } = await storage.selectFrom("batches").select("body").where("position", "=", 2).executeTakeFirstOrThrow();
    await storage
      .updateTable("batches")
      .set({ body: Buffer.alloc(body.length) })
      .where("position", "=", 2)
      .execute();
    const sequences = async () =>
      (await storage.selectFrom("messages").select("sequence").orderBy("sequence").execute()).map(({ sequence }) => sequence);
    for (let tries = 0; tries < 100 && (await sequences()).length < 2; tries++) await projector.step().catch(() => {});
    expect(await sequences()).toEqual([1, 3]);
    expect(await projector.step()).toBe(false);
    await storage.updateTable("batches").set({ body }).where("position", "=", 2).execute();
    expect(await projector.step()).toBe(true);
    expect(await sequences()).toEqual([1, 2, 3]);
    expect(await storage.selectFrom("quarantine").selectAll().execute()).toEqual([]);
  } finally {
    await storage.destroy();
    rmSync(folder, { recursive: true, force: true });
  }
});
