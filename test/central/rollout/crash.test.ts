import { spawn } from "node:child_process";
import { copyFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { Audit } from "../../../central/audit/audit.ts";
import type { StorageTarget } from "../../../central/storage/storage.ts";
import { once } from "../../support/postgres.ts";
import { addSites, driveAll, openRollouts, start, type TestRollouts } from "../../support/rollouts.ts";
import { openTestStorage, storages, type TestStorage } from "../../support/storages.ts";

const child = fileURLToPath(new URL("../../support/rollout-child.ts", import.meta.url));
const strategy = { waves: [{ count: 1 }], gate: { window: "2s", settle: "10s" } };

describe.each(await storages())("on %s, wherever between two statements central is killed,", (kind) => {
  it("rollouts go on and end as they would have", async () => {
    await using prepared = await openTestStorage(kind);
    await prepare(prepared.target);
    const total = await inCopy(prepared, async (target) => Number((await run(target, 0)).output));
    expect(total).toBeGreaterThan(100);
    const stride = kind === "sqlite" ? 24 : 48;
    const phase = Math.floor(Math.random() * stride);
    const points = Array.from({ length: total }, (_, index) => index + 1).filter((point) => point % stride === phase);
    let deaths = 0;
    const lane = async (own: readonly number[]): Promise<void> => {
      for (const point of own) {
        await inCopy(prepared, async (target) => {
          const { signal, output } = await run(target, point);
          // how many there are depends on time as well: one that ended was through before this one
          if (signal === "SIGKILL") deaths += 1;
          else expect(Number.parseInt(output, 10), `statement ${point}`).toBeLessThan(point);
          expect(await outcome(target), `killed before statement ${point} of ${total}`).toEqual(expected);
        });
      }
    };
    await Promise.all([lane(points.filter((_, index) => index % 2 === 0)), lane(points.filter((_, index) => index % 2 === 1))]);
    expect(deaths).toBeGreaterThan(points.length / 2);
  }, 600_000);
});

/** A good change and, behind it, a bad one. */
async function prepare(target: StorageTarget): Promise<void> {
  await using test = await openRollouts(target);
  await addSites(test, ["a", "b", "c"]);
  await start(test, "second", { strategy, change: 1 });
  await start(test, "bad", { strategy, change: 2 });
}

const good = ["began", "wave-began", "told", "in-effect", "wave-passed", "wave-began", "told", "told", "in-effect", "in-effect"];
const expected = {
  rollouts: ["done", "rolled-back"],
  changes: ["done", "rolled-back"],
  events: [
    [...good, "wave-passed", "ended"],
    ["began", "wave-began", "told", "failed", "putting-back", "put-back", "ended"],
  ],
  sites: [
    ["a", 2, 2],
    ["b", 2, 2],
    ["c", 2, 2],
  ],
  states: ["healthy", "healthy", "healthy", "put-back", "waiting", "waiting"],
  badAt: null,
};

/** Goes on with what was left, as the next central does, and says how it ended. */
async function outcome(target: StorageTarget): Promise<typeof expected> {
  await using test = await openRollouts(target);
  // what was under way when it died is known to the database alone
  // the dead one's lease ends by the database's clock, and this test is faster than that
  await test.storage.updateTable("rollouts").set({ driver_until: 0 }).execute();
  await driveAll(test);
  return await read(test);
}

async function read({ storage, clock }: TestRollouts): Promise<typeof expected> {
  const rollouts = await storage.selectFrom("rollouts").select("state").orderBy("number").execute();
  const changes = await storage.selectFrom("changes").select("state").orderBy("number").execute();
  const events = await storage
    .selectFrom("rollout_events")
    .select(["rollout", "kind"])
    .orderBy("rollout")
    .orderBy("number")
    .execute();
  const sites = await storage
    .selectFrom("sites")
    .select(["name", "desired_revision", "reported_revision"])
    .orderBy("name")
    .execute();
  const states = await storage.selectFrom("rollout_sites").select("state").orderBy("rollout").orderBy("site").execute();
  const { badAt } = await new Audit(clock).verify(storage);
  return {
    rollouts: rollouts.map(({ state }) => state),
    changes: changes.map(({ state }) => state),
    events: [1, 2].map((number) => events.filter(({ rollout }) => rollout === number).map(({ kind }) => kind)),
    sites: sites.map((site) => [site.name, site.desired_revision, site.reported_revision]),
    states: states.map(({ state }) => state),
    badAt: badAt as null,
  };
}

/** Works on a copy of what was prepared, which is gone afterwards. */
async function inCopy<Value>({ target }: TestStorage, use: (target: StorageTarget) => Promise<Value>): Promise<Value> {
  if (target.kind === "sqlite") {
    await using copy = await openTestStorage("sqlite");
    const file = join(copy.folder, "copy.db");
    copyFileSync(target.file, file);
    return await use({ kind: "sqlite", file });
  }
  const copy = new URL(target.url);
  const name = `${copy.pathname.slice(1)}_${++copies}`;
  copy.pathname = `/${name}`;
  const server = new URL("/postgres", target.url).href;
  await once(server, `CREATE DATABASE ${name} TEMPLATE ${new URL(target.url).pathname.slice(1)}`);
  try {
    return await use({ kind: "postgres", url: copy.href });
  } finally {
    await once(server, `DROP DATABASE ${name} WITH (FORCE)`);
  }
}
let copies = 0;

function run(target: StorageTarget, dieBefore: number): Promise<{ signal: NodeJS.Signals | null; output: string }> {
  const place = target.kind === "sqlite" ? target.file : target.url;
  return new Promise((resolve, reject) => {
    const started = spawn(process.execPath, [child, place, String(dieBefore)], { stdio: ["ignore", "pipe", "inherit"] });
    let output = "";
    started.stdout.on("data", (part) => {
      output += part;
    });
    started.once("error", reject);
    started.once("close", (_, signal) => resolve({ signal, output }));
  });
}
