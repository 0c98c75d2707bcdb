import { copyFileSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { sql } from "kysely";
import { describe, expect, it } from "vitest";
import type { CompletenessAnswer, MessagesAnswer, SitesAnswer } from "../../../central/http/views.ts";
import { eventually, startTestCentral, type TestCentral } from "../../support/central.ts";
import { type Batch, type TestGateway, TestLane } from "../../support/gateway-client.ts";
import { beginSession, headOf, type Ledger, openLedger, readAll } from "../../support/ledger.ts";
import { delivered, pick } from "../../support/messages.ts";
import { createDatabase, postgresServer } from "../../support/postgres.ts";
import { type RunningProcess, startPlantgate } from "../../support/process.ts";
import { siteDocuments } from "../../support/site-documents.ts";

const txn = (event: unknown): string => (event as { data: { txnId: string } }).data.txnId;

/** A replica as a process of its own, that can be killed. */
async function startReplicaProcess(
  central: TestCentral,
): Promise<AsyncDisposable & { readonly process: RunningProcess; readonly url: string }> {
  const dataDir = mkdtempSync(join(tmpdir(), "plantgate-replica-"));
  for (const file of ["admin.token", "signing-key.json"]) copyFileSync(join(central.dataDir, file), join(dataDir, file));
  const process = startPlantgate(["central", "--data", dataDir, "--port", "0", "--database", central.database!.url]);
  const { url } = (await process.logged("central.process.started")) as { url: string };
  return {
    process,
    url,
    async [Symbol.asyncDispose]() {
      await process[Symbol.asyncDispose]();
      rmSync(dataDir, { recursive: true, force: true });
    },
  };
}

async function configure(central: TestCentral): Promise<void> {
  const files = (options: Parameters<typeof siteDocuments>[0]) => ({ files: siteDocuments(options) });
  await central.admin("POST", "/v1/sites/plant-a/revisions", files({ site: "plant-a", send: ["pick.confirmed"] }));
  const hq = files({ site: "hq", receive: ["pick.confirmed"], consumes: [{ type: "pick.confirmed" }] });
  await central.admin("POST", "/v1/sites/hq/revisions", hq);
}

/** Sends a window of batches, each to another replica, until all of it is recorded. */
async function sendWindow(plant: TestGateway, lane: TestLane, batches: readonly Batch[]): Promise<void> {
  for (let left = batches; left.length > 0; ) {
    const answers = await Promise.all(left.map((batch) => plant.send(lane, batch).catch(() => undefined)));
    left = left.filter((_, index) => answers[index]?.status !== 200);
    for (const answer of answers) if (answer && ![200, 503].includes(answer.status)) expect(answer.body.code).toBe("gap");
  }
}

describe.skipIf((await postgresServer()) === undefined)("replicas on one database", () => {
  it("lose, double and reorder nothing while batches and polls go to either, and one of them is killed in the middle", async () => {
    await using first = await startTestCentral({ storage: "postgres" });
    await using second = await startReplicaProcess(first);
    let [calls, alive] = [0, true];
    const either = (): string => (alive && ++calls % 2 === 0 ? second.url : first.url);
    const [plant, hq] = [await first.addSite("plant-a", either), await first.addSite("hq", either)];
    await configure(first);
    const lane = plant.lane("transaction");
    await plant.hello([lane]);
    await hq.hello();

    const total = 600;
    for (let at = 0; at < total; at += 5)
      lane.append(Array.from({ length: 5 }, (_, index) => pick("plant-a", `T-${at + index + 1}`)));
    const batches = lane.starts.map((start) => lane.batch(start, start + 4));
    const taken: string[] = [];
    const taking = (async () => {
      let position: { epoch?: string; sequence: number } = { sequence: 0 };
      while (taken.length < total) {
        const answer = await hq.downlink({ ...position, knownRevision: 1, waitMs: 500 }).catch(() => undefined);
        if (answer?.status !== 200) continue;
        const { epoch, messages } = answer.body;
        // numbers without a hole, whichever replica answers
        const expected = position.epoch === epoch ? position.sequence + 1 : (messages[0]?.sequence ?? 0);
        expect(messages.map(({ sequence }) => sequence)).toEqual(messages.map((_, index) => expected + index));
        taken.push(...messages.map(({ event }) => txn(event)));
        position = { epoch, sequence: messages.at(-1)?.sequence ?? position.sequence };
      }
    })();
    for (let at = 0; at < batches.length; at += 3) {
      if (at === 60) {
        alive = false;
        await second.process.kill("SIGKILL");
      }
      await sendWindow(plant, lane, batches.slice(at, at + 3));
    }
    await taking;
    const all = Array.from({ length: total }, (_, index) => `T-${index + 1}`);
    expect(taken).toEqual(all);
    const { messages } = (await first.admin<MessagesAnswer>("GET", "/v1/messages?limit=5000")).body;
    expect(messages.map(({ event }) => txn(event))).toEqual(all);
    expect(messages.map(({ sequence }) => sequence)).toEqual(all.map((_, index) => index + 1));
    const [completeness] = (await first.admin<CompletenessAnswer>("GET", "/v1/completeness?site=plant-a")).body.lanes;
    expect(completeness).toMatchObject({ recorded: total, messages: total, repeats: 0, quarantined: 0, missing: 0 });
  });

  it("know each other's sites, sessions, sign-ins, leases and configuration at once", async () => {
    await using first = await startTestCentral({ storage: "postgres" });
    await using second = await first.replica();
    const plant = await first.addSite("plant-a", () => second.url);
    const lane = plant.lane("transaction");
    await plant.hello([lane]);
    const fenced = plant.session;
    await plant.hello([lane]);
    lane.append([pick("plant-a", "T-1")]);
    expect((await plant.send(lane, lane.batch(), { "plantgate-session": fenced })).body.code).toBe("fenced");
    // granted by one replica just before the other projects
    await first.admin("POST", "/v1/sites/plant-a/revisions", {
      files: siteDocuments({ site: "plant-a", send: ["pick.confirmed"] }),
    });
    expect((await plant.send(lane)).status).toBe(200);
    const found = await first.admin<MessagesAnswer>("GET", "/v1/messages?waitMs=10000");
    expect(found.body.messages).toHaveLength(1);
    await first.admin("POST", "/v1/users", { name: "anna", roles: ["viewer"] });
    const link = await first.admin<{ url: string }>("POST", "/v1/users/anna/links", {});
    const signin = await fetch(link.body.url.replace(first.url, second.url), { redirect: "manual" });
    const headers = { cookie: (signin.headers.get("set-cookie") ?? "").split(";")[0] ?? "" };
    expect((await fetch(`${first.url}/v1/sites`, { headers })).status).toBe(200);
    // the first replica was never called by the gateway
    const seen = await eventually(
      async () => (await first.admin<SitesAnswer>("GET", "/v1/sites")).body.sites[0],
      (site) => site?.lastHeardAt !== null,
    );
    expect(seen?.condition).toBe("fenced");
    const [key, other] = await Promise.all([first, second].map(async ({ url }) => (await fetch(`${url}/v1/signing-key`)).json()));
    expect(other).toEqual(key);
    const [health, same] = await Promise.all([first, second].map(async ({ url }) => (await fetch(`${url}/health`)).json()));
    expect(same).toEqual(health);
  });

  it("never take each other's attempts at a step for failures, and one goes on where the other ended", async () => {
    await using database = await createDatabase();
    await using first = await openLedger({ kind: "postgres", url: database.url });
    await using second = await openLedger({ kind: "postgres", url: database.url });
    const lane = new TestLane("plant-a", "transaction");
    const session = await beginSession(first, "plant-a", [lane]);
    const record = async (ledger: Ledger): Promise<void> => {
      lane.append([delivered("plant-a", pick("plant-a", `T-${lane.last}`), "accepted")]);
      const batch = lane.batch(lane.last);
      expect(await ledger.ingest.record(headOf("plant-a", session, lane, batch), batch.body)).toMatchObject({ kind: "recorded" });
    };
    for (let round = 0; round < 40; round++) {
      await record(round % 2 === 0 ? first : second);
      first.projector.wake([{ site: "plant-a", lane: "transaction" }]);
      second.projector.wake([{ site: "plant-a", lane: "transaction" }]);
      await Promise.all([first.projector.step(), second.projector.step()]);
    }
    const cursor = () => first.storage.selectFrom("projections").selectAll().executeTakeFirstOrThrow();
    const { size, attempts } = await cursor();
    expect({ size, attempts: attempts <= 2 }).toEqual({ size: 1000, attempts: true });
    // whoever was at it is gone: the other one takes over once its time is up
    await record(first);
    await first.storage.updateTable("projections").set({ noted_by: "a replica that is gone" }).execute();
    await eventually(
      async () => {
        first.projector.wake([{ site: "plant-a", lane: "transaction" }]);
        await first.projector.step();
        return (await readAll(first)).length;
      },
      (count) => count === 41,
    );
    expect((await readAll(second)).map(({ sequence }) => sequence)).toEqual(Array.from({ length: 41 }, (_, index) => index + 1));
    expect(await first.storage.selectFrom("quarantine").selectAll().execute()).toEqual([]);
  });

  it("blame no message for a lane that somebody else held for a moment", async () => {
    await using database = await createDatabase();
    await using ledger = await openLedger({ kind: "postgres", url: database.url });
    await using other = await openLedger({ kind: "postgres", url: database.url });
    const lane = new TestLane("plant-a", "transaction");
    const session = await beginSession(ledger, "plant-a", [lane]);
    let over = false;
    const lock = "SELECT * FROM projections FOR UPDATE";
    const holding = (async () => {
      while (!over) {
        await other.storage.transaction().execute(async (tx) => {
          await sql.raw(lock).execute(tx);
          await sql`SELECT pg_sleep(0.002)`.execute(tx);
        });
        await new Promise((resolve) => setTimeout(resolve, 2));
      }
    })();
    const noted: number[] = [];
    for (let message = 1; message <= 100; message++) {
      lane.append([delivered("plant-a", pick("plant-a", `T-${message}`), "accepted")]);
      const batch = lane.batch(message);
      const head = headOf("plant-a", session, lane, batch);
      await eventually(
        () => ledger.ingest.record(head, batch.body),
        ({ kind }) => kind === "recorded",
      );
      const cursor = ledger.storage.selectFrom("projections").select(["batch", "attempts"]);
      for (let batches = 0; batches <= message; ) {
        ledger.projector.wake([{ site: "plant-a", lane: "transaction" }]);
        await ledger.projector.step();
        const { batch: next, attempts } = await cursor.executeTakeFirstOrThrow();
        noted.push(attempts);
        batches = next;
      }
    }
    over = true;
    await holding;
    expect(Math.max(...noted)).toBeLessThanOrEqual(2);
    expect(await ledger.storage.selectFrom("quarantine").selectAll().execute()).toEqual([]);
  });

  it("are refused with another signing key", async () => {
    await using first = await startTestCentral({ storage: "postgres" });
    await expect(startTestCentral({ database: first.database! })).rejects.toMatchObject({
      code: "CONFIG_INVALID",
      message: expect.stringContaining("copy signing-key.json"),
    });
  });
});
