import { describe, expect, it } from "vitest";
import type { MessagesAnswer } from "../../../central/http/views.ts";
import type { Logger } from "../../../central/telemetry/logger.ts";
import { eventually, startTestCentral, type TestCentral } from "../../support/central.ts";
import { paced } from "../../support/clock.ts";
import { pick, released, sample } from "../../support/messages.ts";
import { createDatabase, postgresServer } from "../../support/postgres.ts";
import { poisonOrder } from "../../support/sabotage.ts";
import { siteDocuments } from "../../support/site-documents.ts";
import { storages } from "../../support/storages.ts";
import { watchedDatabase } from "../../support/watched-database.ts";

interface Quarantined {
  readonly code: string;
  readonly sequence: number;
  readonly reason: string;
  readonly conflictsWith: number | null;
}
interface Completeness {
  readonly lanes: readonly {
    lane: string;
    epoch: string;
    recorded: number;
    messages: number;
    repeats: number;
    quarantined: number;
    waitingForProjection: number;
    missing: number;
  }[];
}

const messages = async (central: TestCentral, query = "") =>
  (await central.admin<MessagesAnswer>("GET", `/v1/messages?limit=5000${query}`)).body.messages;
const quarantine = async (central: TestCentral) =>
  (await central.admin<{ quarantine: Quarantined[] }>("GET", "/v1/quarantine")).body.quarantine;
const completeness = async (central: TestCentral, site: string) =>
  (await central.admin<Completeness>("GET", `/v1/completeness?site=${site}`)).body.lanes;
const projected = (central: TestCentral, site: string) =>
  eventually(
    () => completeness(central, site),
    (lanes) => lanes.length > 0 && lanes.every((lane) => lane.waitingForProjection === 0),
  );

async function plantWith(central: TestCentral, send: string[]) {
  const plant = await central.addSite("plant-a");
  const pushed = await central.admin("POST", "/v1/sites/plant-a/revisions", { files: siteDocuments({ site: "plant-a", send }) });
  expect(pushed.status).toBe(201);
  return plant;
}

describe.each(await storages())("on %s", (storage) => {
  describe("what becomes of a message", () => {
    it("records a repeat as a repeat and sets a contradiction aside where a person sees it", async () => {
      await using central = await startTestCentral({ storage });
      const plant = await plantWith(central, ["pick.confirmed"]);
      const lane = plant.lane("transaction");
      await plant.hello([lane]);
      const inputHash = "a".repeat(64);
      lane.append([pick("plant-a", "T-1", { inputHash }), pick("plant-a", "T-1", { inputHash })]);
      lane.append([pick("plant-a", "T-1", { inputHash: "b".repeat(64), value: "99" }), pick("plant-a", "T-2")]);
      lane.append([pick("plant-a", "T-2", { value: "13" })]);
      expect(await plant.send(lane)).toMatchObject({ status: 200 });
      expect(await projected(central, "plant-a")).toMatchObject([
        { recorded: 5, messages: 2, repeats: 1, quarantined: 2, missing: 0 },
      ]);
      const recorded = await messages(central);
      expect(recorded.map(({ sequence }) => sequence)).toEqual([1, 4]);
      expect(await messages(central, "&state=repeat")).toMatchObject([{ sequence: 2 }]);
      const conflicts = await quarantine(central);
      expect(
        conflicts
          .map(({ code, sequence, conflictsWith }) => ({ code, sequence, conflictsWith }))
          .sort((a, b) => a.sequence - b.sequence),
      ).toEqual([
        { code: "conflict", sequence: 3, conflictsWith: recorded[0]?.position },
        { code: "conflict", sequence: 5, conflictsWith: recorded[1]?.position },
      ]);
    });

    it("compares contents where only one of two names the hash of its input, in one step and in a later one", async () => {
      await using central = await startTestCentral({ storage });
      const plant = await plantWith(central, ["pick.confirmed"]);
      const lane = plant.lane("transaction");
      await plant.hello([lane]);
      const inputHash = "a".repeat(64);
      lane.append([
        pick("plant-a", "T-1", { inputHash }),
        pick("plant-a", "T-1"),
        pick("plant-a", "T-2"),
        pick("plant-a", "T-3"),
      ]);
      expect(await plant.send(lane, lane.batch(1))).toMatchObject({ status: 200 });
      await projected(central, "plant-a");
      lane.append([
        pick("plant-a", "T-2", { inputHash }),
        pick("plant-a", "T-3", { inputHash, value: "99" }),
        pick("plant-a", "T-1"),
      ]);
      expect(await plant.send(lane, lane.batch(5))).toMatchObject({ status: 200 });
      expect(await projected(central, "plant-a")).toMatchObject([{ messages: 3, repeats: 3, quarantined: 1 }]);
      expect(await quarantine(central)).toMatchObject([{ code: "conflict", sequence: 6 }]);
    });

    it("hands a message on once: no repeat of it, and nothing that contradicts it", async () => {
      await using central = await startTestCentral({ storage });
      const plant = await plantWith(central, ["pick.confirmed"]);
      const hq = await central.addSite("hq");
      const files = siteDocuments({ site: "hq", receive: ["pick.confirmed"], consumes: [{ type: "pick.confirmed" }] });
      expect((await central.admin("POST", "/v1/sites/hq/revisions", { files })).status).toBe(201);
      await hq.hello();
      const lane = plant.lane("transaction");
      await plant.hello([lane]);
      // in one step, and in a later one
      lane.append([pick("plant-a", "T-1"), pick("plant-a", "T-1"), pick("plant-a", "T-1", { value: "99" })]);
      expect(await plant.send(lane, lane.batch(1))).toMatchObject({ status: 200 });
      await projected(central, "plant-a");
      lane.append([pick("plant-a", "T-1"), pick("plant-a", "T-1", { value: "98" }), pick("plant-a", "T-2")]);
      expect(await plant.send(lane, lane.batch(4))).toMatchObject({ status: 200 });
      expect(await projected(central, "plant-a")).toMatchObject([{ messages: 2, repeats: 2, quarantined: 2 }]);
      const { body } = await hq.downlink({ knownRevision: 1, waitMs: 0, sequence: 0 });
      const ids = body.messages.map(({ event }) => (event as { data: { txnId: string } }).data.txnId);
      expect(ids).toEqual(["T-1", "T-2"]);
    });

    it("sets aside what is no event, names another site, is of another lane or of a type that the site may not send", async () => {
      await using central = await startTestCentral({ storage });
      const plant = await plantWith(central, ["pick.confirmed", "equipment.sampled"]);
      const lane = plant.lane("transaction");
      await plant.hello([lane]);
      lane.append([
        "not json",
        JSON.stringify({ ...pick("plant-a", "T-0"), type: "mfg.unknown.v9" }),
        pick("plant-b", "T-1"),
        sample("plant-a", 1),
        released("plant-a", "mo-1"),
        pick("plant-a", "T-2"),
      ]);
      expect(await plant.send(lane)).toMatchObject({ status: 200 });
      await projected(central, "plant-a");
      expect((await quarantine(central)).sort((a, b) => a.sequence - b.sequence).map(({ code }) => code)).toEqual([
        "undecodable",
        "undecodable",
        "site-mismatch",
        "lane-mismatch",
        "type-not-granted",
      ]);
      expect((await messages(central)).map(({ sequence }) => sequence)).toEqual([6]);
    });

    it("finds the one message whose projection fails, sets it aside and records all others", async () => {
      await using central = await startTestCentral({ storage });
      await poisonOrder(central, "mo-poison");
      const plant = await plantWith(central, ["pick.confirmed"]);
      const lane = plant.lane("transaction");
      await plant.hello([lane]);
      for (let frame = 0; frame < 3; frame++)
        lane.append(
          Array.from({ length: 20 }, (_, index) =>
            pick("plant-a", `T-${frame}-${index}`, frame === 1 && index === 7 ? { moId: "mo-poison" } : {}),
          ),
        );
      expect(await plant.send(lane)).toMatchObject({ status: 200 });
      expect(await projected(central, "plant-a")).toMatchObject([{ recorded: 60, messages: 59, quarantined: 1, missing: 0 }]);
      expect(await quarantine(central)).toMatchObject([{ code: "projection-failed", sequence: 28 }]);
      expect((await messages(central)).map(({ sequence }) => sequence)).toEqual(
        Array.from({ length: 60 }, (_, index) => index + 1).filter((sequence) => sequence !== 28),
      );
    });
  });
});

it.each([
  ["is full", 13],
  ["may not be written", 8],
  ["does not hold what was written", 11],
  ["holds no database any more", 26],
])("blames no message while the disk %s, turns batches away with 503, and goes on once it is well", async (_, errcode) => {
  const disk = { full: false, refusing: false, failures: 0 };
  await using central = await startTestCentral({
    parts: {
      clock: paced(20),
      openDatabase: watchedDatabase((sql, statement) => ({
        run(parameters) {
          const fails = disk.full && sql.startsWith('insert into "slices"');
          if (fails) disk.failures++;
          if (fails || (disk.refusing && sql.startsWith('insert into "batches"')))
            throw Object.assign(new Error("the disk"), { errcode });
          return statement.run(parameters);
        },
      })),
    },
  });
  const plant = await plantWith(central, ["pick.confirmed"]);
  const lane = plant.lane("transaction");
  await plant.hello([lane]);
  disk.full = true;
  lane.append([pick("plant-a", "T-1")]);
  await plant.send(lane);
  await eventually(
    async () => disk.failures,
    (seen) => seen >= 5,
  );
  disk.refusing = true;
  lane.append([pick("plant-a", "T-2")]);
  expect(await plant.send(lane)).toMatchObject({ status: 503, body: { code: "busy" } });
  disk.full = false;
  disk.refusing = false;
  expect(await projected(central, "plant-a")).toMatchObject([{ messages: 1, quarantined: 0 }]);
});

it.skipIf((await postgresServer()) === undefined)("blames no message while central's role may not write", async () => {
  await using database = await createDatabase();
  const role = `${database.name}_role`;
  const owned = (owner: string) => database.query(`ALTER TABLE slices OWNER TO ${owner}`);
  await database.query(`CREATE ROLE ${role} LOGIN`);
  try {
    await database.query(`ALTER DATABASE ${database.name} OWNER TO ${role}`);
    await database.query(`ALTER SCHEMA public OWNER TO ${role}`);
    const url = new URL(database.url);
    url.username = role;
    const failures: unknown[] = [];
    const ignore = (): void => {};
    const log: Logger = { debug: ignore, info: ignore, warn: ignore, error: (fields) => void failures.push(fields.event) };
    await using central = await startTestCentral({ database: { ...database, url: url.href }, parts: { clock: paced(20), log } });
    const plant = await plantWith(central, ["pick.confirmed"]);
    const lane = plant.lane("transaction");
    await plant.hello([lane]);
    await owned("postgres");
    lane.append([pick("plant-a", "T-1")]);
    await plant.send(lane);
    await eventually(
      async () => failures.filter((event) => event === "projector.storage.failed").length,
      (seen) => seen >= 5,
    );
    await owned(role);
    expect(await projected(central, "plant-a")).toMatchObject([{ messages: 1, quarantined: 0 }]);
  } finally {
    await database.query(`REASSIGN OWNED BY ${role} TO postgres`);
    await database.query(`DROP ROLE ${role}`);
  }
});

it("takes a batch that the database cannot read for damage, and projects the others", async () => {
  const damage = { batch: 0 };
  await using central = await startTestCentral({
    parts: {
      openDatabase: watchedDatabase((sql, statement) => ({
        all(parameters) {
          if (sql.startsWith("select body") && parameters[2] === damage.batch)
            throw Object.assign(new Error("database disk image is malformed"), { errcode: 11 });
          return statement.all(parameters);
        },
      })),
    },
  });
  const plant = await plantWith(central, ["pick.confirmed"]);
  const lane = plant.lane("transaction");
  await plant.hello([lane]);
  damage.batch = 1;
  for (const txn of ["T-1", "T-2"]) {
    lane.append([pick("plant-a", txn)]);
    expect((await plant.send(lane, lane.batch(lane.last))).status).toBe(200);
  }
  const found = await eventually(
    () => messages(central),
    (seen) => seen.length > 0,
  );
  expect(found.map(({ sequence }) => sequence)).toEqual([2]);
  expect(await quarantine(central)).toEqual([]);
});
