import { copyFileSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it } from "vitest";
import type { MessagesAnswer } from "../../../central/http/views.ts";
import { eventually, startTestCentral } from "../../support/central.ts";
import { temporaryFolder } from "../../support/folder.ts";
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

it.each([
  ["as documented", ["incarnation", "ledger.seen"]],
  ["and nobody said so", []],
])(
  "brings whoever reads the ledger on from where he was what it got after it was restored %s, and tells him",
  async (_, removed) => {
    using folder = temporaryFolder();
    const [ledger, backup] = ["ledger.db", "backup.db"].map((file) => join(folder.path, file)) as [string, string];
    await using central = await startTestCentral({ dataDir: folder.path });
    const plant = await central.addSite("plant-a");
    await central.admin("POST", "/v1/sites/plant-a/revisions", {
      files: siteDocuments({ site: "plant-a", send: ["pick.confirmed"] }),
    });
    const lane = plant.lane("transaction");
    await plant.hello([lane]);
    const send = async (id: string) => {
      lane.append([pick("plant-a", id)]);
      expect((await plant.send(lane, lane.batch(lane.last))).status).toBe(200);
    };
    const read = async (after: number, holds: number) =>
      (
        await eventually(
          () => central.admin<MessagesAnswer>("GET", `/v1/messages?after=${after}&waitMs=200`),
          ({ body }) => body.messages.length >= holds,
        )
      ).body;
    await send("T-1");
    await read(0, 1);
    await central.stop();
    copyFileSync(ledger, backup);
    await central.restart();
    for (const id of ["T-2", "T-3"]) await send(id);
    const before = await read(0, 3);
    const last = before.messages.at(-1)!.position;
    await central.stop();
    copyFileSync(backup, ledger);
    for (const file of removed) rmSync(join(folder.path, file));
    await central.restart();
    await plant.hello([lane]);
    await plant.send(lane, lane.batch(2));
    await send("T-4");
    const after = await read(last, 3);
    expect(after.messages.map(({ event }) => txn(event))).toEqual(["T-2", "T-3", "T-4"]);
    expect(after.incarnation).not.toBe(before.incarnation);
    const lines = await fetch(`${central.url}/v1/messages?after=${last}`, {
      headers: { authorization: `Bearer ${central.adminToken}`, accept: "application/x-ndjson" },
    });
    expect((await lines.text()).trimEnd().split("\n")).toHaveLength(3);
    expect(lines.headers.get("plantgate-incarnation")).toBe(after.incarnation);
  },
);

it("gives no revision a number up to the one that a gateway runs, which a restored ledger may not know", async () => {
  await using central = await startTestCentral();
  const plant = await central.addSite("plant-a");
  const push = (send: string) =>
    central.admin("POST", "/v1/sites/plant-a/revisions", { files: siteDocuments({ site: "plant-a", send: [send] }) });
  expect((await push("pick.confirmed")).body.revision).toBe(1);
  await plant.hello();
  const report = async (reported: number): Promise<void> =>
    expect((await plant.status({ configuration: { reported, state: "active" } })).status).toBe(200);
  await report(4);
  expect((await push("scrap.reported")).body.revision).toBe(5);
  // nothing that a central has ever given out: it would leave no numbers for what comes
  await report(Number.MAX_SAFE_INTEGER);
  expect((await push("pick.confirmed")).body.revision).toBe(6);
});
