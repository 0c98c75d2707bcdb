import { describe, expect, it } from "vitest";
import type { EffectiveView } from "../../../central/http/api/sites.ts";
import { startTestCentral } from "../../support/central.ts";
import { policyFile, siteFile, templateFile } from "../../support/policy-documents.ts";
import { storages } from "../../support/storages.ts";

describe.each(await storages())("a site's effective configuration on %s", (storage) => {
  it("says where each value of a pushed revision comes from", async () => {
    await using central = await startTestCentral({ storage });
    await central.addSite("lyon");
    const files = [
      templateFile(),
      siteFile("lyon", { environment: "dev", region: "eu" }),
      policyFile("eu", { region: "eu" }, { queue: { lanes: { telemetry: { maxAge: "3d" } } } }),
      policyFile("us", { region: "us" }, { queue: { lanes: { telemetry: { maxAge: "9d" } } } }),
    ];
    expect((await central.admin("POST", "/v1/sites/lyon/revisions", { files })).status).toBe(201);
    const { status, body } = await central.admin<EffectiveView>("GET", "/v1/sites/lyon/effective");
    expect(status).toBe(200);
    expect(body).toMatchObject({
      site: "lyon",
      labels: { environment: "dev", region: "eu" },
      desiredRevision: 1,
      reportedRevision: 0,
      change: null,
      documents: [
        { kind: "Site", name: "lyon", revision: 0 },
        { kind: "Template", name: "plant", revision: 0 },
        { kind: "Policy", name: "eu", revision: 0 },
      ],
      secrets: [
        { name: "scheduler", version: null, missing: true, paths: ["connectors.scheduler.auth.bearer"] },
        { name: "wms", version: null, missing: true, paths: ["connectors.wms.password"] },
      ],
    });
    expect(body.values.find(({ path }) => path === "queue.lanes.telemetry.maxAge")).toEqual({
      path: "queue.lanes.telemetry.maxAge",
      value: "3d",
      origin: { from: "policy", document: "Policy/eu", because: "it selects region=eu, and no other document says one" },
      overrides: [],
    });
  });

  it("has no values before the first revision, and none for a site that is not there", async () => {
    await using central = await startTestCentral({ storage });
    await central.addSite("lyon");
    expect((await central.admin("GET", "/v1/sites/lyon/effective")).body).toMatchObject({ desiredRevision: 0, values: [] });
    expect((await central.admin("GET", "/v1/sites/paris/effective")).status).toBe(404);
  });
});

describe("schemas of documents", () => {
  it("are listed and served to everybody, as they are made from what judges documents", async () => {
    await using central = await startTestCentral();
    const listed = (await (await fetch(`${central.url}/v1/schemas`)).json()) as { schemas: { kind: string; path: string }[] };
    expect(listed.schemas.map(({ kind }) => kind)).toEqual(["Template", "Policy", "Site", "Secret", "Bundle"]);
    for (const { kind, path } of listed.schemas) {
      const answer = await fetch(central.url + path);
      expect(answer.status).toBe(200);
      expect(await answer.json()).toMatchObject({ $id: `urn:plantgate:schema:${kind.toLowerCase()}` });
    }
    expect((await fetch(`${central.url}/v1/schemas/Nothing.json`)).status).toBe(404);
    expect((await fetch(`${central.url}/v1/schemas/Site`)).status).toBe(404);
  });
});
