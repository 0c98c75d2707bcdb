import { rmSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import type { MessagesAnswer } from "../../../central/http/views.ts";
import { eventually, startTestCentral, type TestCentral } from "../../support/central.ts";
import { temporaryFolder } from "../../support/folder.ts";
import type { TestGateway, TestLane } from "../../support/gateway-client.ts";
import { pick } from "../../support/messages.ts";
import { createDatabase, once, postgresServer, startOwnServer, type TestDatabase } from "../../support/postgres.ts";
import { startPlantgate } from "../../support/process.ts";
import { siteDocuments } from "../../support/site-documents.ts";

const restored = async (central: TestCentral): Promise<number> => {
  const { body } = await central.admin<{ exceptions: { kind: string }[] }>("GET", "/v1/exceptions");
  return body.exceptions.filter(({ kind }) => kind === "ledger-restored").length;
};

/** A plant whose picks go to headquarters, and how to send one and see it projected. */
async function prepare(central: TestCentral) {
  const [plant, hq] = [await central.addSite("plant-a"), await central.addSite("hq")];
  const push = (site: string, options: object) =>
    central.admin("POST", `/v1/sites/${site}/revisions`, { files: siteDocuments({ site, ...options }) });
  await push("plant-a", { send: ["pick.confirmed"] });
  await push("hq", { receive: ["pick.confirmed"], consumes: [{ type: "pick.confirmed" }] });
  const lane = plant.lane("transaction");
  await plant.hello([lane]);
  await hq.hello();
  return { plant, hq, lane, send: (id: string) => send(central, plant, lane, id) };
}

async function send(central: TestCentral, plant: TestGateway, lane: TestLane, id: string): Promise<void> {
  lane.append([pick("plant-a", id)]);
  expect((await plant.send(lane, lane.batch(lane.last))).status).toBe(200);
  await eventually(
    () => central.admin<MessagesAnswer>("GET", "/v1/messages"),
    ({ body }) => body.messages.length === lane.last,
  );
}

/** Puts a copy of the database in its place, as `pg_dump` and `pg_restore` would, while nobody can connect. */
async function putBack(database: TestDatabase, copy: string): Promise<void> {
  const server = new URL("/postgres", database.url).href;
  await once(server, `DROP DATABASE ${database.name} WITH (FORCE)`);
  await once(server, `ALTER DATABASE ${copy} RENAME TO ${database.name}`);
}

const replaced = { code: "LEDGER_REPLACED" };

describe.skipIf((await postgresServer()) === undefined)("a database on PostgreSQL", () => {
  it("whose standby took over ends a running central, which then begins another incarnation and asks for hellos", async () => {
    await using server = await startOwnServer();
    const database = { url: server.url, name: "postgres" } as TestDatabase;
    await using central = await startTestCentral({ database });
    const { plant, hq, lane, send } = await prepare(central);
    await send("T-1");
    const before = (await hq.hello()).body.incarnation;
    const { epoch } = (await hq.downlink({ knownRevision: 1 })).body;
    server.promote();
    lane.append([pick("plant-a", "T-2")]);
    expect(await plant.send(lane)).toMatchObject({ status: 503, body: { code: "busy" } });
    await expect(central.failed).rejects.toMatchObject(replaced);
    await central.restart();
    expect((await plant.send(lane)).body.code).toBe("session-unknown");
    expect((await hq.downlink({ knownRevision: 1, epoch, sequence: 1 })).body.code).toBe("session-unknown");
    const hello = await plant.hello([lane]);
    expect(hello.body.incarnation).not.toBe(before);
    expect((await plant.send(lane)).body.watermark).toBe(2);
    await hq.hello();
    expect((await hq.downlink({ knownRevision: 1, epoch, sequence: 1 })).body.epoch).not.toBe(epoch);
    expect(await restored(central)).toBe(1);
  });

  it("that was dropped and restored in its cluster ends a running central, and is another incarnation", async () => {
    await using central = await startTestCentral({ storage: "postgres" });
    const database = central.database!;
    const { hq, send } = await prepare(central);
    await send("T-1");
    await central.stop();
    await once(new URL("/postgres", database.url).href, `CREATE DATABASE ${database.name}_copy TEMPLATE ${database.name}`);
    await central.restart();
    await send("T-2");
    const before = (await hq.hello()).body.incarnation;
    await putBack(database, `${database.name}_copy`);
    await expect(central.failed).rejects.toMatchObject(replaced);
    await central.restart();
    expect((await hq.hello()).body.incarnation).not.toBe(before);
    expect(await restored(central)).toBe(1);
  });

  it("whose content was put back ends a running central; of its replicas one begins another incarnation", async () => {
    await using first = await startTestCentral({ storage: "postgres" });
    await using second = await first.replica();
    const { hq, send } = await prepare(first);
    for (const id of ["T-1", "T-2"]) await send(id);
    const before = (await hq.hello()).body.incarnation;
    await first.restart();
    await second.restart();
    expect((await hq.hello()).body.incarnation).toBe(before);
    await first.database!.query("UPDATE counters SET value = 1 WHERE name = 'ledger'");
    await expect(first.failed).rejects.toMatchObject(replaced);
    await expect(second.failed).rejects.toMatchObject(replaced);
    await first.restart();
    await second.restart();
    const incarnation = async (central: TestCentral) =>
      ((await (await fetch(`${central.url}/health`)).json()) as { incarnation: string }).incarnation;
    expect(await incarnation(first)).not.toBe(before);
    expect(await incarnation(second)).toBe(await incarnation(first));
    expect(await restored(first)).toBe(1);
  });

  it("that another replica found to be put back ends those that have not noticed", async () => {
    await using database = await createDatabase();
    await using central = await startTestCentral({ database });
    await database.query("UPDATE meta SET value = 'another' WHERE name = 'incarnation'");
    await expect(central.failed).rejects.toMatchObject(replaced);
  });

  it("that was put back to an older incarnation than a data folder knows is another one", async () => {
    await using central = await startTestCentral({ storage: "postgres" });
    const hq = await central.addSite("hq");
    const before = (await hq.hello()).body.incarnation;
    await central.stop();
    await central.database!.query("UPDATE meta SET value = 'an older one' WHERE name = 'incarnation'");
    await central.restart();
    const { incarnation } = (await hq.hello()).body;
    expect([before, "an older one"]).not.toContain(incarnation);
    // without what it saw, a data folder only knows what the database says
    await central.stop();
    rmSync(join(central.dataDir, "ledger.seen"));
    await central.restart();
    expect((await hq.hello()).body.incarnation).toBe(incarnation);
  });

  it("that was restored and said to be is another incarnation", async () => {
    await using central = await startTestCentral({ storage: "postgres" });
    const hq = await central.addSite("hq");
    const before = (await hq.hello()).body.incarnation;
    await central.stop();
    // as packaging/docs/postgresql.md asks for
    await central.database!.query("DELETE FROM meta WHERE name = 'seen'");
    await central.restart();
    expect((await hq.hello()).body.incarnation).not.toBe(before);
    expect(await restored(central)).toBe(1);
  });

  it("that was replaced ends the process with 70, for its supervisor to start it again", async () => {
    await using database = await createDatabase();
    using folder = temporaryFolder();
    const args = ["--data", folder.path, "--port", "0", "--database", database.url];
    await using central = startPlantgate(["central", ...args]);
    await central.logged("central.process.started");
    await database.query("UPDATE meta SET value = 'another' WHERE name = 'incarnation'");
    expect(await central.ended).toBe(70);
    expect(await central.logged("ledger.replaced")).toMatchObject({ level: expect.anything() });
    const told = /^plantgate central: the ledger is another now, .* central has to be started again$/;
    expect(central.output).toContainEqual(expect.stringMatching(told));
  });
});
