import { spawn } from "node:child_process";
import { copyFileSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, it } from "vitest";
import { eventually, startTestCentral } from "../../support/central.ts";
import { openLedger } from "../../support/ledger.ts";
import { delivered, pick, released, sample } from "../../support/messages.ts";
import { siteDocuments } from "../../support/site-documents.ts";

const child = fileURLToPath(new URL("../../support/projector-child.ts", import.meta.url));

it("doubles and loses nothing, wherever between two statements the projector's process is killed", async () => {
  const folder = mkdtempSync(join(tmpdir(), "plantgate-crash-"));
  try {
    const template = await recordedLedger(folder);
    const total = Number((await run(template, 0, join(folder, "whole.db"))).output);
    expect(total).toBeGreaterThan(40);
    const expected = await outcome(join(folder, "whole.db"));
    expect(expected).toMatchObject({ messages: 1206, quarantine: 1, work: 0, downlink: [1, 2, 3, 4] });
    // every point; two at a time
    const points = Array.from({ length: total }, (_, index) => index + 1);
    const lane = async (own: readonly number[]) => {
      for (const point of own) {
        const file = join(folder, `${point}.db`);
        const died = await run(template, point, file);
        expect(died.signal, `statement ${point}`).toBe("SIGKILL");
        expect(await outcome(file), `killed before statement ${point} of ${total}`).toEqual(expected);
        rmSync(file);
      }
    };
    await Promise.all([lane(points.filter((point) => point % 2 === 0)), lane(points.filter((point) => point % 2 === 1))]);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}, 300_000);

/** A ledger with recorded batches of which nothing is projected. */
async function recordedLedger(folder: string): Promise<string> {
  await using central = await startTestCentral({ parts: {} });
  const plant = await central.addSite("plant-a");
  await central.addSite("hq");
  await central.admin("POST", "/v1/sites/hq/revisions", {
    files: siteDocuments({ site: "hq", receive: ["pick.confirmed"], consumes: [{ type: "pick.confirmed" }] }),
  });
  await central.admin("POST", "/v1/sites/plant-a/revisions", {
    files: siteDocuments({ site: "plant-a", send: ["pick.confirmed", "equipment.sampled"] }),
  });
  const [picks, samples] = [plant.lane("transaction"), plant.lane("telemetry")];
  await plant.hello([picks, samples]);
  const first = pick("plant-a", "T-1");
  picks.append([first, pick("plant-a", "T-2"), first, released("plant-a", "mo-not-granted")]);
  picks.append([pick("plant-a", "T-3"), delivered("plant-a", first, "accepted")]);
  picks.append([pick("plant-a", "T-4")]);
  for (let frame = 0; frame < 2; frame++) samples.append(Array.from({ length: 600 }, (_, index) => sample("plant-a", index)));
  await plant.send(picks);
  await plant.send(samples);
  await eventually(
    () => central.admin<{ lanes: { waitingForProjection: number }[] }>("GET", "/v1/completeness?site=plant-a"),
    ({ body }) => body.lanes.every((lane) => lane.waitingForProjection === 0),
  );
  await central.stop();
  // takes back the projection, so that each run begins with the batches alone
  const template = join(folder, "template.db");
  const ledger = await openLedger(join(central.dataDir, "ledger.db"));
  for (const table of ["messages", "message_orders", "orders", "deliveries", "quarantine", "downlink", "exceptions"] as const)
    await ledger.storage.deleteFrom(table).execute();
  await ledger.storage.updateTable("counters").set({ value: 0 }).where("name", "=", "ledger").execute();
  await ledger.storage.updateTable("sites").set({ downlink_last: 0 }).execute();
  for (const batch of await ledger.storage.selectFrom("batches").selectAll().execute()) {
    await ledger.storage
      .insertInto("work")
      .values({
        batch: batch.position,
        priority: batch.lane === "transaction" ? 0 : 2,
        count: batch.last_sequence - batch.first_sequence + 1,
        done: 0,
        size: 500,
        attempts: 0,
      })
      .execute();
  }
  await ledger.storage.destroy();
  copyFileSync(join(central.dataDir, "ledger.db"), template);
  return template;
}

function run(template: string, dieBefore: number, file: string): Promise<{ signal: NodeJS.Signals | null; output: string }> {
  copyFileSync(template, file);
  return new Promise((resolve, reject) => {
    const started = spawn(process.execPath, [child, file, String(dieBefore)], { stdio: ["ignore", "pipe", "inherit"] });
    let output = "";
    started.stdout.on("data", (part) => {
      output += part;
    });
    started.once("error", reject);
    started.once("close", (_, signal) => resolve({ signal, output }));
  });
}

/** Projects what is left and says what the ledger holds. */
async function outcome(file: string) {
  const ledger = await openLedger(file);
  const { storage } = ledger;
  while (await ledger.projector.step());
  const rows = await storage
    .selectFrom("messages")
    .select(["site", "lane", "sequence", "state", "repeat_of", "message_id"])
    .orderBy("lane")
    .orderBy("sequence")
    .execute();
  const found = {
    messages: rows.length,
    places: rows.map(({ lane, sequence, state, message_id }) => `${lane}/${sequence}/${state}/${message_id}`),
    quarantine: (await storage.selectFrom("quarantine").selectAll().execute()).length,
    downlink: (
      await storage.selectFrom("downlink").select("sequence").where("site", "=", "hq").orderBy("sequence").execute()
    ).map(({ sequence }) => sequence),
    downlinkLast: (await storage.selectFrom("sites").select("downlink_last").where("name", "=", "hq").executeTakeFirstOrThrow())
      .downlink_last,
    orders: await storage.selectFrom("orders").select(["mo_id", "messages"]).execute(),
    deliveries: (await storage.selectFrom("deliveries").selectAll().execute()).length,
    work: (await storage.selectFrom("work").selectAll().execute()).length,
  };
  await storage.destroy();
  return found;
}
