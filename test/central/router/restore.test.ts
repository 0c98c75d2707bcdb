import { copyFileSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it } from "vitest";
import { eventually, startTestCentral } from "../../support/central.ts";
import { pick } from "../../support/messages.ts";
import { siteDocuments } from "../../support/site-documents.ts";

const txn = (event: unknown) => (event as { data: { txnId: string } }).data.txnId;

it.each([
  ["and its place was named anew", ["incarnation", "ledger.seen"]],
  ["and nobody said so", []],
  ["with all else in its folder", ["ledger.seen"]],
])("gives no number of the downlink out twice after the ledger was restored from a backup %s", async (_, removed) => {
  const noticed = removed.length !== 1;
  const dataDir = mkdtempSync(join(tmpdir(), "plantgate-restore-"));
  const ledger = join(dataDir, "ledger.db");
  const backup = join(dataDir, "backup.db");
  try {
    let epoch: string;
    let incarnation: string;
    {
      await using central = await startTestCentral({ dataDir });
      const [plant, hq] = [await central.addSite("plant-a"), await central.addSite("hq")];
      await central.admin("POST", "/v1/sites/plant-a/revisions", {
        files: siteDocuments({ site: "plant-a", send: ["pick.confirmed"] }),
      });
      await central.admin("POST", "/v1/sites/hq/revisions", {
        files: siteDocuments({ site: "hq", receive: ["pick.confirmed"], consumes: [{ type: "pick.confirmed" }] }),
      });
      const lane = plant.lane("transaction");
      await plant.hello([lane]);
      await hq.hello();
      const send = async (id: string) => {
        lane.append([pick("plant-a", id)]);
        return plant.send(lane, lane.batch(lane.last));
      };
      const take = async (sequence: number, holds: number) =>
        (
          await eventually(
            () => hq.downlink({ knownRevision: 1, waitMs: 500, ...(sequence > 0 ? { epoch } : {}), sequence }),
            ({ body }) => body.messages.length === holds,
          )
        ).body;
      await send("T-1");
      epoch = (await take(0, 1)).epoch;
      await hq.downlink({ knownRevision: 1, epoch, sequence: 1 });
      await central.stop();
      copyFileSync(ledger, backup);
      await central.restart();
      await send("T-2");
      await take(1, 1);
      expect((await hq.downlink({ knownRevision: 1, epoch, sequence: 2 })).body.messages).toEqual([]);
      await central.stop();
      copyFileSync(backup, ledger);
      for (const file of removed) rmSync(join(dataDir, file));
      await central.restart();
      // the plant sends again what central lost, then something new
      expect((await hq.hello()).status).toBe(200);
      const hello = await plant.hello([lane]);
      expect(hello.body.watermarks).toMatchObject([{ watermark: 1 }]);
      incarnation = hello.body.incarnation;
      if (!noticed) await hq.downlink({ knownRevision: 1, epoch, sequence: 2 });
      await plant.send(lane, lane.batch(2));
      await send("T-3");
      const answer = await eventually(
        () => hq.downlink({ knownRevision: 1, epoch, sequence: 2, waitMs: 500 }),
        ({ body }) => body.messages.length === 2,
      );
      expect(answer.body.epoch).not.toBe(epoch);
      expect(answer.body.messages.map(({ event }) => txn(event))).toEqual(["T-2", "T-3"]);
      expect(answer.body.incarnation).toBe(incarnation);
      const { body } = await central.admin<{ exceptions: { kind: string; severity: string }[] }>("GET", "/v1/exceptions");
      expect(body.exceptions.filter(({ severity }) => severity === "error").map(({ kind }) => kind)).toEqual([
        noticed ? "ledger-restored" : "downlink-set-back",
      ]);
    }
  } finally {
    rmSync(dataDir, { recursive: true, force: true });
  }
});

it("lets no gateway go on that did not say hello to a restored ledger", async () => {
  const dataDir = mkdtempSync(join(tmpdir(), "plantgate-restore-"));
  try {
    await using central = await startTestCentral({ dataDir });
    const plant = await central.addSite("plant-a");
    const lane = plant.lane("transaction");
    await plant.hello([lane]);
    await central.stop();
    rmSync(join(dataDir, "incarnation"));
    await central.restart();
    lane.append([pick("plant-a", "T-1")]);
    expect(await plant.send(lane)).toMatchObject({ status: 409, body: { code: "session-unknown" } });
    await plant.hello([lane]);
    expect(await plant.send(lane)).toMatchObject({ status: 200 });
  } finally {
    rmSync(dataDir, { recursive: true, force: true });
  }
});
