import { describe, expect, it } from "vitest";
import { backUp, restore } from "../../../central/backup/main.ts";
import type { MessagesAnswer } from "../../../central/http/views.ts";
import { systemClock } from "../../../protocol/index.ts";
import { backupOf } from "../../support/backups.ts";
import { eventually, startTestCentral, type TestCentral } from "../../support/central.ts";
import { settableClock } from "../../support/clock.ts";
import { temporaryFolder } from "../../support/folder.ts";
import { pick } from "../../support/messages.ts";
import { siteDocuments } from "../../support/site-documents.ts";
import { storages } from "../../support/storages.ts";
import { kinds } from "../backup/plant.ts";

async function addSite(central: TestCentral, site: string, more: Partial<Parameters<typeof siteDocuments>[0]>) {
  const gateway = await central.addSite(site);
  await central.admin("POST", `/v1/sites/${site}/revisions`, { files: siteDocuments({ site, ...more }) });
  const lane = gateway.lane("transaction");
  await gateway.hello([lane]);
  return { gateway, lane };
}
type Site = Awaited<ReturnType<typeof addSite>>;

const recorded = (central: TestCentral, count: number) =>
  eventually(
    () => central.admin<MessagesAnswer>("GET", "/v1/messages"),
    ({ body }) => body.messages.length === count,
  );
const send = async (central: TestCentral, { gateway, lane }: Site, id: string): Promise<void> => {
  lane.append([pick(gateway.site, id)]);
  expect((await gateway.send(lane, lane.batch(lane.last))).status).toBe(200);
  await recorded(central, lane.last);
};
const handed = async ({ gateway }: Site, ack?: { epoch: string; sequence: number }) => {
  const { body } = await gateway.downlink({ knownRevision: 1, ...ack });
  const messages = body.messages.map(({ event, again }) => [(event as { data: { txnId: string } }).data.txnId, again ?? false]);
  return { messages, ack: { epoch: body.epoch, sequence: body.messages.at(-1)?.sequence ?? 0 } };
};

const report = ({ gateway, lane: { lane, epoch } }: Site) =>
  gateway.status({ lanes: [{ lane, epoch, last: 0, acknowledged: 0, waitingBytes: 0 }] });

/** Lyon sends to porto, whose gateway has acknowledged T-1, and taken T-2. */
async function takenByPorto(central: TestCentral) {
  const lyon = await addSite(central, "lyon", { send: ["pick.confirmed"] });
  const porto = await addSite(central, "porto", { receive: ["pick.confirmed"], consumes: [{ type: "pick.confirmed" }] });
  await send(central, lyon, "T-1");
  const first = await handed(porto);
  await handed(porto, first.ack);
  await send(central, lyon, "T-2");
  expect((await handed(porto, first.ack)).messages).toEqual([["T-2", false]]);
  return { lyon, porto };
}

describe.each(await storages())("what waits for a gateway whose disk died, on %s", (storage) => {
  it("P3: is marked as sent before where the old one may have had it, and not where it came after its end", async () => {
    const clock = settableClock();
    await using central = await startTestCentral({ storage, parts: { clock } });
    const lyon = await addSite(central, "lyon", { send: ["pick.confirmed"] });
    const porto = await addSite(central, "porto", { receive: ["pick.confirmed"], consumes: [{ type: "pick.confirmed" }] });
    await send(central, lyon, "T-1");
    const first = await handed(porto);
    await handed(porto, first.ack);
    await report(porto);
    await send(central, lyon, "T-2");
    // taken, and never acknowledged
    expect((await handed(porto, first.ack)).messages).toEqual([["T-2", false]]);
    // its next report may have been under way for all of its 30 s when it died
    clock.pass(30_000);
    await send(central, lyon, "T-3");
    clock.pass(30_000);
    await send(central, lyon, "T-4");
    const fresh = { ...porto, lane: porto.gateway.lane("transaction") };
    await fresh.gateway.hello([fresh.lane]);
    const taken = await handed(fresh);
    expect(taken.messages).toEqual([
      ["T-2", true],
      ["T-3", true],
      ["T-4", false],
    ]);
    await send(central, lyon, "T-5");
    expect((await handed(fresh, taken.ack)).messages).toEqual([["T-5", false]]);
  });

  it("P3: is marked as sent before up to the new one's first hello where the old one never reported", async () => {
    const clock = settableClock();
    await using central = await startTestCentral({ storage, parts: { clock } });
    const { lyon, porto } = await takenByPorto(central);
    clock.pass(60_000);
    await send(central, lyon, "T-3");
    const fresh = { ...porto, lane: porto.gateway.lane("transaction") };
    await fresh.gateway.hello([fresh.lane]);
    clock.pass(60_000);
    await send(central, lyon, "T-4");
    expect((await handed(fresh)).messages).toEqual([
      ["T-2", true],
      ["T-3", true],
      ["T-4", false],
    ]);
  });

  it("P3: is marked as sent before where its queue alone is gone, and its lanes go on under epochs that name those before", async () => {
    const clock = settableClock();
    await using central = await startTestCentral({ storage, parts: { clock } });
    const { lyon, porto } = await takenByPorto(central);
    const goesOn = async ({ gateway, lane: { epoch } }: Site): Promise<Site> => {
      const lane = gateway.lane("transaction", { predecessor: { epoch, lastSequence: 0 } });
      clock.pass(60_000);
      await gateway.hello([lane]);
      clock.pass(60_000);
      return { gateway, lane };
    };
    const second = await goesOn(porto);
    await send(central, lyon, "T-3");
    const taken = await handed(second);
    expect(taken.messages).toEqual([
      ["T-2", true],
      ["T-3", false],
    ]);
    // whose disk dies, and then the queue of the one after it
    const third = { ...second, lane: second.gateway.lane("transaction") };
    await third.gateway.hello([third.lane]);
    await handed(third, taken.ack);
    await send(central, lyon, "T-4");
    expect((await handed(third, taken.ack)).messages).toEqual([["T-4", false]]);
    const fourth = await goesOn(third);
    await send(central, lyon, "T-5");
    expect((await handed(fourth)).messages).toEqual([
      ["T-4", true],
      ["T-5", false],
    ]);
  });
});

describe.each(kinds)("what a restored central hands on, on %s", (storage) => {
  it("P3: is marked as sent before where the gateway that may have had it is gone with its disk, and what is new is not", async () => {
    const clock = settableClock();
    await using central = await startTestCentral({ storage, parts: { clock } });
    using folder = temporaryFolder();
    const lyon = await addSite(central, "lyon", { send: ["pick.confirmed"] });
    const porto = await addSite(central, "porto", { receive: ["pick.confirmed"], consumes: [{ type: "pick.confirmed" }] });
    await send(central, lyon, "T-1");
    const first = await handed(porto);
    await handed(porto, first.ack);
    await report(porto);
    await send(central, lyon, "T-2");
    const { file } = await backUp(backupOf(central, folder.path));
    // the disk that dies had these as well
    await send(central, lyon, "T-3");
    expect((await handed(porto, first.ack)).messages).toEqual([
      ["T-2", false],
      ["T-3", false],
    ]);
    await central.stop();
    await restore({ file, dataDir: central.dataDir, databaseUrl: central.database?.url, replace: true, clock: systemClock });
    await central.restart({ clock });
    clock.pass(60_000);
    await lyon.gateway.hello([lyon.lane], undefined, ({ last }) => last);
    expect((await lyon.gateway.send(lyon.lane, lyon.lane.batch(3))).status).toBe(200);
    await recorded(central, 3);
    await send(central, lyon, "T-4");
    const fresh = { ...porto, lane: porto.gateway.lane("transaction") };
    await fresh.gateway.hello([fresh.lane]);
    expect((await handed(fresh)).messages).toEqual([
      ["T-2", true],
      ["T-3", true],
      ["T-4", false],
    ]);
  });

  it("is not marked where the gateway knows itself what it had", async () => {
    await using central = await startTestCentral({ storage });
    using folder = temporaryFolder();
    const lyon = await addSite(central, "lyon", { send: ["pick.confirmed"] });
    const porto = await addSite(central, "porto", { receive: ["pick.confirmed"], consumes: [{ type: "pick.confirmed" }] });
    await send(central, lyon, "T-1");
    const { file } = await backUp(backupOf(central, folder.path));
    await central.stop();
    await restore({ file, dataDir: central.dataDir, databaseUrl: central.database?.url, replace: true, clock: systemClock });
    await central.restart();
    await porto.gateway.hello([porto.lane], undefined, ({ last }) => last);
    expect((await handed(porto)).messages).toEqual([["T-1", false]]);
  });
});
