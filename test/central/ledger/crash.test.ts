import { spawn } from "node:child_process";
import { copyFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import type { StorageTarget } from "../../../central/storage/storage.ts";
import { openLedger, readAll } from "../../support/ledger.ts";
import { prepare, recordScript } from "../../support/ledger-script.ts";
import { once, postgresServer, type TestDatabase } from "../../support/postgres.ts";
import { openTestStorage, type StorageKind, type TestStorage } from "../../support/storages.ts";

const child = fileURLToPath(new URL("../../support/projector-child.ts", import.meta.url));
const kinds: StorageKind[] = (await postgresServer()) === undefined ? ["sqlite"] : ["sqlite", "postgres"];

describe.each(kinds)("on %s, wherever between two statements the process is killed,", (kind) => {
  it("projection doubles and loses nothing", async () => {
    await using prepared = await openTestStorage(kind);
    await using ledger = await openLedger(prepared.target);
    await prepare(ledger);
    await recordScript(ledger);
    await ledger.storage.destroy();
    await killAtEach("project", prepared);
  }, 600_000);

  it("ingest of batches and holes in groups doubles and loses nothing", async () => {
    await using prepared = await openTestStorage(kind);
    await using ledger = await openLedger(prepared.target);
    await prepare(ledger);
    await ledger.storage.destroy();
    await killAtEach("record", prepared);
  }, 600_000);
});

async function killAtEach(work: "project" | "record", prepared: TestStorage): Promise<void> {
  const total = await inCopy(prepared, async (target) => {
    const whole = await run(work, target, 0);
    return Number(whole.output);
  });
  expect(total).toBeGreaterThan(work === "project" ? 40 : 20);
  // on SQLite every fourth point, on PostgreSQL, whose transactions are its own, every eighth, others in each run; two at a time
  const stride = prepared.kind === "sqlite" ? 4 : 8;
  const phase = Math.floor(Math.random() * stride);
  const points = Array.from({ length: total }, (_, index) => index + 1).filter((point) => point % stride === phase);
  let deaths = 0;
  const lane = async (own: readonly number[]) => {
    for (const point of own) {
      await inCopy(prepared, async (target) => {
        const { signal, output } = await run(work, target, point);
        // how many there are depends on time as well: one that ended was through before this one
        if (signal === "SIGKILL") deaths += 1;
        else expect(Number.parseInt(output, 10), `statement ${point}`).toBeLessThan(point);
        expect(await outcome(target), `killed before statement ${point} of ${total}`).toEqual(expected);
      });
    }
  };
  await Promise.all([lane(points.filter((_, index) => index % 2 === 0)), lane(points.filter((_, index) => index % 2 === 1))]);
  expect(deaths).toBeGreaterThan(points.length / 2);
}

/** Works on a copy of what was prepared, which is gone afterwards. */
async function inCopy<Value>(prepared: TestStorage, use: (target: StorageTarget) => Promise<Value>): Promise<Value> {
  const { target } = prepared;
  if (target.kind === "sqlite") {
    await using copy = await openTestStorage("sqlite");
    const file = join(copy.folder, "copy.db");
    copyFileSync(target.file, file);
    return await use({ kind: "sqlite", file });
  }
  const { url, name } = copyOf(target.url);
  const server = new URL("/postgres", url).href;
  await once(server, `CREATE DATABASE ${name} TEMPLATE ${new URL(target.url).pathname.slice(1)}`);
  try {
    return await use({ kind: "postgres", url });
  } finally {
    await once(server, `DROP DATABASE ${name} WITH (FORCE)`);
  }
}

let copies = 0;
function copyOf(url: string): Pick<TestDatabase, "url" | "name"> {
  const copy = new URL(url);
  const name = `${copy.pathname.slice(1)}_${++copies}`;
  copy.pathname = `/${name}`;
  return { url: copy.href, name };
}

function run(work: string, target: StorageTarget, dieBefore: number): Promise<{ signal: NodeJS.Signals | null; output: string }> {
  const place = target.kind === "sqlite" ? target.file : target.url;
  return new Promise((resolve, reject) => {
    const started = spawn(process.execPath, [child, work, place, String(dieBefore)], { stdio: ["ignore", "pipe", "inherit"] });
    let output = "";
    started.stdout.on("data", (part) => {
      output += part;
    });
    started.once("error", reject);
    started.once("close", (_, signal) => resolve({ signal, output }));
  });
}

const sampleIds = [0, 2, 3].flatMap((frame) => Array.from({ length: 300 }, (_, index) => `s-${frame}-${index}`));
/** What there is in the end: each message once, in its order; the repeat as one, the refused one aside, the hole with its reason. */
const expected = {
  transactions: ["m-1", "m-2", "m-4", "m-5", "m-6"],
  samples: sampleIds,
  repeats: ["m-1"],
  quarantine: [4],
  downlink: [
    [1, "m-1"],
    [2, "m-2"],
    [3, "m-4"],
    [4, "m-6"],
  ],
  orders: [{ mo_id: "hq-mo-42", messages: 4 }],
  deliveries: 1,
  lanes: [
    { lane: "telemetry", recorded: 900, lost: 300, gaps: [{ first: 301, last: 600 }], waitingForProjection: 0, missing: 0 },
    { lane: "transaction", recorded: 7, lost: 0, gaps: [], waitingForProjection: 0, missing: 0 },
  ],
};

/** Records and projects what is left, and says what the ledger holds. */
async function outcome(target: StorageTarget) {
  await using ledger = await openLedger(target);
  const { storage } = ledger;
  await recordScript(ledger);
  // on PostgreSQL the one that died keeps its lanes for some seconds
  await storage.updateTable("projections").set({ noted_at: 0 }).execute();
  while (await ledger.projector.step());
  const messages = await readAll(ledger);
  const byPosition = new Map(messages.map(({ position, event }) => [position, event.id]));
  const inLane = (lane: string) =>
    messages
      .filter((message) => message.lane === lane)
      .sort((a, b) => a.position - b.position)
      .map(({ event }) => event.id);
  const { lanes } = await ledger.completeness.of("plant-a");
  const downlink = await storage.selectFrom("downlink").selectAll().where("site", "=", "hq").orderBy("sequence").execute();
  return {
    transactions: inLane("transaction"),
    samples: inLane("telemetry"),
    repeats: (await readAll(ledger, "repeat")).map(({ event }) => event.id),
    quarantine: (await storage.selectFrom("quarantine").select("sequence").execute()).map(({ sequence }) => sequence),
    downlink: downlink.map(({ sequence, position }) => [sequence, byPosition.get(position)]),
    orders: await storage.selectFrom("orders").select(["mo_id", "messages"]).execute(),
    deliveries: (await storage.selectFrom("deliveries").selectAll().execute()).length,
    lanes: lanes.map(({ lane, recorded, lost, gaps, waitingForProjection, missing }) => ({
      lane,
      recorded,
      lost,
      gaps,
      waitingForProjection,
      missing,
    })),
  };
}
