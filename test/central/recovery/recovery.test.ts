import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { backUp, restore } from "../../../central/backup/main.ts";
import type { BackupAnswer, RecoveryAnswer } from "../../../central/http/api/recovery.ts";
import { systemClock } from "../../../protocol/index.ts";
import { backupOf } from "../../support/backups.ts";
import { startTestCentral, type TestCentral } from "../../support/central.ts";
import { settableClock } from "../../support/clock.ts";
import { temporaryFolder } from "../../support/folder.ts";
import type { TestGateway, TestLane } from "../../support/gateway-client.ts";
import { pick } from "../../support/messages.ts";
import { requireService } from "../../support/services.ts";
import { siteDocuments } from "../../support/site-documents.ts";
import { storages } from "../../support/storages.ts";

const tools = (await requireService("pg_dump")) !== undefined;
const kinds = (await storages()).filter((kind) => kind === "sqlite" || tools);

const recoveryOf = async (central: TestCentral) => (await central.admin<RecoveryAnswer>("GET", "/v1/recovery")).body.recovery;
const siteOf = async (central: TestCentral, name: string) => (await recoveryOf(central))?.sites.find(({ site }) => site === name);

async function addPlant(central: TestCentral, site: string) {
  const gateway = await central.addSite(site);
  await central.admin("POST", `/v1/sites/${site}/revisions`, { files: siteDocuments({ site, send: ["pick.confirmed"] }) });
  const lane = gateway.lane("transaction");
  await gateway.hello([lane]);
  return { gateway, lane };
}

async function send(gateway: TestGateway, lane: TestLane, count: number): Promise<void> {
  for (let number = 0; number < count; number++) {
    lane.append([pick(gateway.site, `${gateway.site}-${lane.last + 1}`)]);
    expect((await gateway.send(lane, lane.batch(lane.last))).status).toBe(200);
  }
}

/** Takes a backup, does more, and puts the backup back. */
async function setBack(central: TestCentral, folder: string, meanwhile: () => Promise<void>): Promise<void> {
  const { file } = await backUp(backupOf(central, folder));
  await meanwhile();
  await central.stop();
  await restore({ file, dataDir: central.dataDir, databaseUrl: central.database?.url, replace: true, clock: systemClock });
  await central.restart();
}

describe.each(kinds)("what comes again after a restore, on %s", (storage) => {
  it("is told lane by lane: not heard, catching up, holes of what no gateway has kept, done", async () => {
    await using central = await startTestCentral({ storage });
    using folder = temporaryFolder();
    expect(await recoveryOf(central)).toBe(null);
    const [lyon, brno] = [await addPlant(central, "lyon"), await addPlant(central, "brno")];
    await send(lyon.gateway, lyon.lane, 2);
    await send(brno.gateway, brno.lane, 1);
    const { body: before } = await central.admin<BackupAnswer>("GET", "/v1/backup");
    expect(before.lastBackup).toBe(null);
    await setBack(central, folder.path, () => send(lyon.gateway, lyon.lane, 4));

    const fresh = await recoveryOf(central);
    expect(fresh).toMatchObject({
      done: false,
      missed: 0,
      counts: { "not-heard": 2 },
      backupAt: expect.any(String),
      auditEntries: expect.any(Number),
    });
    expect(fresh?.lastAuditAt).toEqual(expect.any(String));
    expect(fresh?.sites.map(({ site, state }) => [site, state])).toEqual([
      ["brno", "not-heard"],
      ["lyon", "not-heard"],
    ]);

    await lyon.gateway.hello([lyon.lane], undefined, ({ last }) => last);
    expect((await siteOf(central, "lyon"))?.lanes).toMatchObject([
      {
        state: "catching-up",
        restored: 2,
        acknowledged: 6,
        recorded: 2,
        missed: 4,
        again: 0,
        lost: 0,
        reason: "4 of 4 are to come",
      },
    ]);
    expect((await lyon.gateway.send(lyon.lane, lyon.lane.batch(3, 3))).status).toBe(200);
    expect((await siteOf(central, "lyon"))?.lanes).toMatchObject([{ recorded: 3, again: 1, reason: "3 of 4 are to come" }]);
    lyon.lane.discard(4, 5, "lost-by-receiver");
    expect((await lyon.gateway.send(lyon.lane, lyon.lane.batch(4))).status).toBe(200);
    // what is new is not what came again
    await send(lyon.gateway, lyon.lane, 3);
    expect(await siteOf(central, "lyon")).toMatchObject({
      state: "caught-up-with-loss",
      lanes: [{ recorded: 9, missed: 4, again: 2, lost: 2, reason: "2 of 4 never come: the gateway has not kept them" }],
    });
    expect(await recoveryOf(central)).toMatchObject({ done: false, counts: { "not-heard": 1, "caught-up-with-loss": 1 } });
    // another hello is not the first one: what it has acknowledged by now is not what it had then
    await lyon.gateway.hello([lyon.lane], undefined, ({ last }) => last);
    await brno.gateway.hello([brno.lane], undefined, ({ last }) => last);
    expect(await recoveryOf(central)).toMatchObject({
      done: true,
      missed: 4,
      again: 2,
      lost: 2,
      counts: { "caught-up": 1, "caught-up-with-loss": 1 },
    });
    await central.restart();
    expect(await recoveryOf(central)).toMatchObject({ done: true, missed: 4 });
  });

  it("is learnt of older gateways from their reports, and shows what an epoch that was left behind takes with it", async () => {
    await using central = await startTestCentral({ storage });
    using folder = temporaryFolder();
    const [lyon, brno] = [await addPlant(central, "lyon"), await addPlant(central, "brno")];
    await send(lyon.gateway, lyon.lane, 1);
    await send(brno.gateway, brno.lane, 1);
    await setBack(central, folder.path, async () => {
      await send(lyon.gateway, lyon.lane, 2);
      await send(brno.gateway, brno.lane, 4);
    });
    await lyon.gateway.hello([lyon.lane]);
    expect(await siteOf(central, "lyon")).toMatchObject({
      state: "catching-up",
      lanes: [{ state: "waiting", acknowledged: null, missed: 0 }],
    });
    const { lane, epoch, last } = lyon.lane;
    await lyon.gateway.status({
      lanes: [{ lane, epoch, last, acknowledged: last, waitingBytes: 0, stalled: "central says: slow down" }],
      configuration: { reported: 4, state: "active" },
    });
    expect(await siteOf(central, "lyon")).toMatchObject({
      state: "stuck",
      lanes: [{ missed: 2, reason: "2 of 2 are to come; its gateway says: central says: slow down" }],
      revision: { reported: 4, known: 1 },
    });
    // brno had begun another epoch behind 5 before central was restored, all acknowledged
    const next = brno.gateway.lane("transaction", { firstSequence: 6, predecessor: { epoch: brno.lane.epoch, lastSequence: 5 } });
    await brno.gateway.hello([next], undefined, () => 5);
    expect(await siteOf(central, "brno")).toMatchObject({
      state: "caught-up-with-loss",
      lanes: [{ missed: 4, again: 0, lost: 4 }],
    });
    expect((await recoveryOf(central))?.sites.map(({ site }) => site)).toEqual(["lyon", "brno"]);
  });
});

describe.each(kinds)("an epoch that its gateway had left before a restore, on %s", (storage) => {
  it("comes again for as long as its gateway names it, and is a loss where it does not", async () => {
    await using central = await startTestCentral({ storage });
    using folder = temporaryFolder();
    const { gateway, lane } = await addPlant(central, "lyon");
    await send(gateway, lane, 1);
    await setBack(central, folder.path, () => send(gateway, lane, 4));
    const next = gateway.lane("transaction", { firstSequence: 6, predecessor: { epoch: lane.epoch, lastSequence: 5 } });
    await gateway.hello([lane, next], undefined, () => 5);
    expect(await siteOf(central, "lyon")).toMatchObject({ state: "catching-up" });
    expect(await recoveryOf(central)).toMatchObject({ done: false, missed: 4, again: 0, lost: 0 });
    await gateway.hello([next], undefined, () => 5);
    expect(await recoveryOf(central)).toMatchObject({ done: true, missed: 4, again: 0, lost: 4 });
    await gateway.hello([lane, next], undefined, () => 5);
    expect((await gateway.send(lane, lane.batch(2))).status).toBe(200);
    expect(await recoveryOf(central)).toMatchObject({
      done: true,
      missed: 4,
      again: 4,
      lost: 0,
      sites: [{ state: "caught-up" }],
    });
  });
});

describe.each(kinds)("what a restored ledger will never have, on %s", (storage) => {
  it("a disk that dies before its gateway has caught up is a loss, and ends the recovery", async () => {
    await using central = await startTestCentral({ storage });
    using folder = temporaryFolder();
    const { gateway, lane } = await addPlant(central, "lyon");
    await send(gateway, lane, 2);
    await setBack(central, folder.path, () => send(gateway, lane, 4));
    await gateway.hello([lane], undefined, ({ last }) => last);
    expect((await gateway.send(lane, lane.batch(3, 3))).status).toBe(200);
    const fresh = gateway.lane("transaction");
    await gateway.hello([fresh], undefined, () => 0);
    await send(gateway, fresh, 3);
    expect(await recoveryOf(central)).toMatchObject({
      done: true,
      missed: 4,
      again: 1,
      lost: 3,
      sites: [{ state: "caught-up-with-loss", lanes: [{ state: "caught-up-with-loss" }] }],
    });
  });

  it("a disk that dies after its gateway has caught up takes nothing of the recovery back", async () => {
    await using central = await startTestCentral({ storage });
    using folder = temporaryFolder();
    const { gateway, lane } = await addPlant(central, "lyon");
    await setBack(central, folder.path, () => send(gateway, lane, 2));
    await gateway.hello([lane], undefined, ({ last }) => last);
    expect((await gateway.send(lane, lane.batch(1))).status).toBe(200);
    const fresh = gateway.lane("transaction");
    await gateway.hello([fresh], undefined, () => 0);
    expect(await recoveryOf(central)).toMatchObject({ done: true, lost: 0, sites: [{ state: "caught-up" }] });
  });

  it("an epoch that began and ended after the backup is named, with what it had at most", async () => {
    await using central = await startTestCentral({ storage });
    using folder = temporaryFolder();
    const { gateway, lane } = await addPlant(central, "lyon");
    await send(gateway, lane, 2);
    const second = gateway.lane("transaction");
    await setBack(central, folder.path, async () => {
      await send(gateway, lane, 4);
      await gateway.hello([second], undefined, () => 0);
      await send(gateway, second, 5);
    });
    const third = gateway.lane("transaction", {
      firstSequence: 6,
      predecessor: { epoch: second.epoch, lastSequence: 5 },
    });
    await gateway.hello([third], undefined, () => 5);
    const recovery = await recoveryOf(central);
    expect(recovery).toMatchObject({ done: true, missed: 5, lost: 5, sites: [{ state: "caught-up-with-loss" }] });
    const reasons = new Map(recovery?.sites[0]?.lanes.map(({ epoch, reason }) => [epoch, reason]));
    expect(reasons.get(third.epoch)).toMatch(
      /^5 of 5 never come, at most: the gateway has left their epoch \(.{8}\), which began/,
    );
    expect(reasons.get(lane.epoch)).toMatch(/after 2 never comes, and how much that is is not known$/);
  });

  it("an epoch that was in the backup and broke off after it is named, with a loss that nobody can count", async () => {
    await using central = await startTestCentral({ storage });
    using folder = temporaryFolder();
    const { gateway, lane } = await addPlant(central, "lyon");
    await send(gateway, lane, 2);
    const second = gateway.lane("transaction");
    await setBack(central, folder.path, async () => {
      await send(gateway, lane, 4);
      await gateway.hello([second], undefined, () => 0);
      await send(gateway, second, 1);
    });
    await gateway.hello([second], undefined, () => 1);
    expect((await gateway.send(second, second.batch(1))).status).toBe(200);
    const recovery = await recoveryOf(central);
    expect(recovery).toMatchObject({ done: true, missed: 1, again: 1, sites: [{ state: "caught-up-with-loss" }] });
    expect(recovery?.sites[0]?.lanes.map(({ epoch, state }) => [epoch, state]).sort()).toEqual(
      [
        [lane.epoch, "caught-up-with-loss"],
        [second.epoch, "caught-up"],
      ].sort(),
    );
  });
});

it("does not wait for a site that never had a gateway", async () => {
  using folder = temporaryFolder();
  await using central = await startTestCentral();
  const { gateway, lane } = await addPlant(central, "lyon");
  await addPlant(central, "brno");
  await central.admin("POST", "/v1/sites", { name: "planned", environment: "prod" });
  await setBack(central, folder.path, () => send(gateway, lane, 1));
  expect(await recoveryOf(central)).toMatchObject({ done: false, counts: { "not-heard": 2, "no-gateway": 1 } });
  await gateway.hello([lane], undefined, ({ last }) => last);
  await gateway.send(lane, lane.batch(1));
  await central.admin("POST", "/v1/sites/brno/revoke", {});
  expect(await recoveryOf(central)).toMatchObject({ done: true, sites: [{ state: "no-gateway" }, { state: "caught-up" }] });
});

it("calls a lane stuck that has something to send again and sends nothing for a minute", async () => {
  using folder = temporaryFolder();
  const clock = settableClock();
  await using central = await startTestCentral({ parts: { clock } });
  const { gateway, lane } = await addPlant(central, "lyon");
  const { file } = await backUp(backupOf(central, folder.path));
  await send(gateway, lane, 2);
  await central.stop();
  await restore({ file, dataDir: central.dataDir, replace: true, clock: systemClock });
  await central.restart({ clock });
  await gateway.hello([lane], undefined, ({ last }) => last);
  expect(await siteOf(central, "lyon")).toMatchObject({ state: "catching-up" });
  clock.pass(61_000);
  expect(await siteOf(central, "lyon")).toMatchObject({
    state: "stuck",
    lanes: [{ reason: expect.stringMatching(/^2 of 2 are to come; none was recorded for 6\d s$/) }],
  });
});

it("tells of the last good backup", async () => {
  await using central = await startTestCentral();
  using folder = temporaryFolder();
  const { file, manifest, bytes } = await backUp(backupOf(central, folder.path, { out: join(folder.path, "one") }));
  const { body } = await central.admin<BackupAnswer>("GET", "/v1/backup");
  expect(body.lastBackup).toEqual({ id: manifest.id, takenAt: manifest.takenAt, file, bytes, keys: false, sealed: false });
});
