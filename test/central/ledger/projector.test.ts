import { describe, expect, it } from "vitest";
import type { MessagesAnswer } from "../../../central/http/views.ts";
import { type OpenDatabase, openSqlite } from "../../../central/storage/database.ts";
import { eventually, startTestCentral, type TestCentral } from "../../support/central.ts";
import { pick, released, sample } from "../../support/messages.ts";
import { siteDocuments } from "../../support/site-documents.ts";

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

describe("what becomes of a message", () => {
  it("records a repeat as a repeat and sets a contradiction aside where a person sees it", async () => {
    await using central = await startTestCentral();
    const plant = await plantWith(central, ["pick.confirmed"]);
    const lane = plant.lane("transaction");
    await plant.hello([lane]);
    const inputHash = "a".repeat(64);
    lane.append([pick("plant-a", "T-1", { inputHash }), pick("plant-a", "T-1", { inputHash })]);
    lane.append([pick("plant-a", "T-1", { inputHash: "b".repeat(64), value: "99" }), pick("plant-a", "T-2")]);
    lane.append([pick("plant-a", "T-2", { value: "13" })]);
    await plant.send(lane);
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

  it("sets aside what is no event, names another site, is of another lane or of a type that the site may not send", async () => {
    await using central = await startTestCentral();
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
    await plant.send(lane);
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
    await using central = await startTestCentral({
      parts: {
        openDatabase: failingAt((parameters) =>
          parameters.some((value) => typeof value === "string" && value.includes('"T-poison"')),
        ),
      },
    });
    const plant = await plantWith(central, ["pick.confirmed"]);
    const lane = plant.lane("transaction");
    await plant.hello([lane]);
    for (let frame = 0; frame < 3; frame++)
      lane.append(
        Array.from({ length: 20 }, (_, index) =>
          pick("plant-a", frame === 1 && index === 7 ? "T-poison" : `T-${frame}-${index}`),
        ),
      );
    await plant.send(lane);
    expect(await projected(central, "plant-a")).toMatchObject([{ recorded: 60, messages: 59, quarantined: 1, missing: 0 }]);
    expect(await quarantine(central)).toMatchObject([{ code: "projection-failed", sequence: 28 }]);
    expect((await messages(central)).map(({ sequence }) => sequence)).toEqual(
      Array.from({ length: 60 }, (_, index) => index + 1).filter((sequence) => sequence !== 28),
    );
  });

  it("blames no message while the storage itself fails, and goes on once it works again", async () => {
    let full = false;
    const openDatabase = failingAt((parameters) => full && parameters.includes("mfg.pick.confirmed.v1"), { errcode: 13 });
    await using central = await startTestCentral({ parts: { openDatabase } });
    const plant = await plantWith(central, ["pick.confirmed"]);
    const lane = plant.lane("transaction");
    await plant.hello([lane]);
    full = true;
    const failures = openDatabase.failures;
    lane.append([pick("plant-a", "T-1")]);
    await plant.send(lane);
    await eventually(
      async () => openDatabase.failures,
      (seen) => seen >= failures + 5,
    );
    full = false;
    expect(await projected(central, "plant-a")).toMatchObject([{ messages: 1, quarantined: 0 }]);
  });
});

describe("a backlog", () => {
  it("projects transactions before samples that came earlier, and answers people meanwhile", async () => {
    await using central = await startTestCentral();
    const plant = await plantWith(central, ["pick.confirmed", "equipment.sampled"]);
    const [samples, picks] = [plant.lane("telemetry"), plant.lane("transaction")];
    await plant.hello([samples, picks]);
    for (let frame = 0; frame < 20; frame++) samples.append(Array.from({ length: 1000 }, (_, index) => sample("plant-a", index)));
    picks.append([pick("plant-a", "T-1")]);
    const sent = await plant.send(samples);
    expect(sent.status).toBe(200);
    await plant.send(picks);
    const [first] = await eventually(
      () => messages(central, "&lane=transaction"),
      (found) => found.length === 1,
    );
    await projected(central, "plant-a");
    const all = (await completeness(central, "plant-a")).find(({ lane }) => lane === "telemetry");
    expect(all).toMatchObject({ recorded: 20_000, messages: 20_000, missing: 0 });
    // it overtook most of the twenty thousand
    expect(first?.position).toBeLessThan(15_000);
  });
});

/** The real storage, but statements with certain parameters fail. */
function failingAt(
  fails: (parameters: readonly unknown[]) => boolean,
  extra: Record<string, unknown> = {},
): OpenDatabase & { failures: number } {
  const open = (file: string) => {
    const database = openSqlite(file);
    return {
      close: () => database.close(),
      prepare(sql: string) {
        const statement = database.prepare(sql);
        const check = (parameters: readonly unknown[]): void => {
          if (!sql.startsWith('insert into "messages"') || !fails(parameters)) return;
          wrapped.failures++;
          throw Object.assign(new Error("injected"), extra);
        };
        return {
          reader: statement.reader,
          iterate: (parameters: readonly unknown[]) => statement.iterate(parameters),
          all(parameters: readonly unknown[]) {
            check(parameters);
            return statement.all(parameters);
          },
          run(parameters: readonly unknown[]) {
            check(parameters);
            return statement.run(parameters);
          },
        };
      },
    };
  };
  const wrapped = Object.assign(open, { failures: 0 });
  return wrapped;
}
