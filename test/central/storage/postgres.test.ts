import { describe, expect, it } from "vitest";
import type { MessagesAnswer } from "../../../central/http/views.ts";
import { describeDatabase } from "../../../central/storage/postgres.ts";
import { openStorage } from "../../../central/storage/storage.ts";
import { eventually, startTestCentral } from "../../support/central.ts";
import { pick } from "../../support/messages.ts";
import { createDatabase, once, postgresServer, startOwnServer } from "../../support/postgres.ts";
import { siteDocuments } from "../../support/site-documents.ts";

describe.skipIf((await postgresServer()) === undefined)("a PostgreSQL server", () => {
  it("that may lose what it confirms is refused, and it is said what to set", async () => {
    await using database = await createDatabase();
    await database.query(`ALTER DATABASE ${database.name} SET synchronous_commit = off`);
    await expect(openStorage({ kind: "postgres", url: database.url })).rejects.toMatchObject({
      code: "CONFIG_INVALID",
      message: expect.stringContaining("set synchronous_commit = on"),
    });
    await using loose = await startOwnServer("-c fsync=off -c full_page_writes=off");
    await expect(openStorage({ kind: "postgres", url: loose.url })).rejects.toMatchObject({
      code: "CONFIG_INVALID",
      message: expect.stringContaining("set fsync = on, full_page_writes = on"),
    });
  });

  it("that is away costs a gateway a 503, nothing that was acknowledged, and no restart of central", async () => {
    await using central = await startTestCentral({ storage: "postgres" });
    const { name } = central.database!;
    const plant = await central.addSite("plant-a");
    await central.admin("POST", "/v1/sites/plant-a/revisions", {
      files: siteDocuments({ site: "plant-a", send: ["pick.confirmed"] }),
    });
    const lane = plant.lane("transaction");
    await plant.hello([lane]);
    lane.append([pick("plant-a", "T-1")]);
    expect((await plant.send(lane)).status).toBe(200);
    const server = new URL("/postgres", central.database!.url).href;
    await once(server, `ALTER DATABASE ${name} ALLOW_CONNECTIONS false`);
    await once(server, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1", [name]);
    lane.append([pick("plant-a", "T-2")]);
    expect(await plant.send(lane)).toMatchObject({ status: 503, body: { code: "busy" } });
    expect((await fetch(`${central.url}/health`)).status).toBe(200);
    await once(server, `ALTER DATABASE ${name} ALLOW_CONNECTIONS true`);
    await eventually(
      () => plant.send(lane),
      ({ status, body }) => status === 200 && body.watermark === 2,
    );
    const found = await eventually(
      () => central.admin<MessagesAnswer>("GET", "/v1/messages"),
      ({ body }) => body.messages.length === 2,
    );
    expect(found.body.messages.map(({ sequence }) => sequence)).toEqual([1, 2]);
  });
});

it("a database is named without its password", () => {
  expect(describeDatabase("postgres://central:s3cret@db.example.com:5433/plantgate?sslmode=require")).toBe(
    "postgres://db.example.com:5433/plantgate",
  );
  expect(describeDatabase("postgres://user:p@ss:w0rd@[broken/x")).not.toContain("w0rd");
});
