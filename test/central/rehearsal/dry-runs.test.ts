import { compactVerify, importSPKI } from "jose";
import { describe, expect, it } from "vitest";
import type { DryRunView } from "../../../central/http/api/sites.ts";
import {
  bundle,
  type DownlinkAnswer,
  type DryRunResult,
  dryRunCandidate,
  dryRunType,
  type ShadowFlow,
} from "../../../protocol/index.ts";
import { startTestCentral, type TestCentral, type TestCentralOptions } from "../../support/central.ts";
import { settableClock } from "../../support/clock.ts";
import type { TestGateway } from "../../support/gateway-client.ts";
import { signInAs } from "../../support/people.ts";
import { pickPlant } from "../../support/pick-plant.ts";
import { storages } from "../../support/storages.ts";

const result: DryRunResult = {
  ...{ inputs: 3, same: 2, different: 1, skipped: 0 },
  flows: [
    {
      ...{ flow: "picks", inputs: 3, different: 1, skipped: 0, refusedBefore: 0, refusedAfter: 0 },
      fields: [{ path: "data.lot", count: 1, before: "L1" }],
      reasons: [],
    },
  ],
};

async function openSite(options: TestCentralOptions): Promise<{ central: TestCentral; lyon: TestGateway; change: number }> {
  const central = await startTestCentral(options);
  const lyon = await central.addSite("lyon");
  const documents = pickPlant({ wmsUrl: "mqtt://127.0.0.1:1", erpUrl: "http://127.0.0.1:1" });
  const files = documents.map((document) => ({ name: `${document.kind}.yaml`, text: JSON.stringify(document) }));
  const change = await central.admin<{ number: number }>("POST", "/v1/changes", { title: "Picks", environment: "dev", files });
  if (change.status !== 201) throw new Error(JSON.stringify(change.body));
  await lyon.hello();
  return { central, lyon, change: change.body.number };
}

const poll = async (gateway: TestGateway, waitMs = 0): Promise<DownlinkAnswer> =>
  (
    await gateway.call<DownlinkAnswer>("POST", "downlink", {
      session: gateway.session,
      ack: { sequence: 0 },
      knownRevision: 0,
      waitMs,
    })
  ).body;

describe.each(await storages())("on %s", (storage) => {
  it("asks a site's gateway for a dry run, hands it the candidate, and shows what it answered", async () => {
    const { central, lyon, change } = await openSite({ storage });
    await using _ = central;
    const standing = poll(lyon, 30_000);
    const asked = await central.admin<DryRunView>("POST", "/v1/sites/lyon/dry-runs", { change });
    expect(asked).toMatchObject({ status: 202, body: { state: "asked", change, askedBy: "admin-token", result: null } });
    const { id } = asked.body;
    expect((await standing).asks).toEqual([{ id, kind: "dry-run" }]);
    const candidate = await lyon.call<{ jws: string }>("GET", `dry-runs/${id}/candidate`);
    const { publicKey } = (await (await fetch(`${central.url}/v1/signing-key`)).json()) as { publicKey: string };
    const { payload, protectedHeader } = await compactVerify(candidate.body.jws, await importSPKI(publicKey, "EdDSA"));
    expect(protectedHeader.typ).toBe(dryRunType);
    const read = JSON.parse(Buffer.from(payload).toString());
    expect(dryRunCandidate.parse(read)).toMatchObject({
      id,
      site: "lyon",
      messages: 1000,
      bundle: { site: "lyon", flows: { picks: {} } },
    });
    expect(bundle.safeParse(read).success).toBe(false);
    expect(bundle.safeParse({ ...read.bundle, ...read, revision: 1 }).success).toBe(false);

    expect(await lyon.call("POST", `dry-runs/${id}/result`, { state: "done", result })).toMatchObject({ status: 200 });
    expect((await central.admin("GET", `/v1/sites/lyon/dry-runs/${id}`)).body).toMatchObject({
      state: "done",
      reason: null,
      result,
    });
    expect(await lyon.call("POST", `dry-runs/${id}/result`, { state: "failed", reason: "later" })).toMatchObject({ status: 409 });
    expect(await lyon.call("GET", `dry-runs/${id}/candidate`)).toMatchObject({ status: 404 });
    expect((await poll(lyon)).asks).toBeUndefined();
    const list = await central.admin<{ dryRuns: object[] }>("GET", "/v1/sites/lyon/dry-runs");
    expect(list.body.dryRuns).toMatchObject([{ id, state: "done" }]);
    expect(list.body.dryRuns[0]).not.toHaveProperty("result");
    const audit = await central.admin<{ entries: { action: string; subject: string }[] }>("GET", "/v1/audit");
    expect(audit.body.entries).toContainEqual(expect.objectContaining({ action: "dry-run.asked", subject: "site/lyon" }));
  });

  it("does not keep a gateway busy that does not understand what it is asked", async () => {
    const { central, lyon, change } = await openSite({ storage });
    await using _ = central;
    const asked = await central.admin<DryRunView>("POST", "/v1/sites/lyon/dry-runs", { change });
    expect((await poll(lyon, 30_000)).asks).toEqual([{ id: asked.body.id, kind: "dry-run" }]);
    const began = performance.now();
    expect((await poll(lyon, 1500)).asks).toHaveLength(1);
    expect(performance.now() - began).toBeGreaterThan(1400);
    // a session that begins is told at once
    await lyon.hello();
    expect((await poll(lyon, 30_000)).asks).toHaveLength(1);
  });

  it("gives up what a site does not answer within ten minutes of running time, whatever the clock on the wall does", async () => {
    const clock = settableClock();
    const { central, change } = await openSite({ storage, parts: { clock } });
    await using _ = central;
    const { body } = await central.admin<DryRunView>("POST", "/v1/sites/lyon/dry-runs", { change });
    const now = async () => (await central.admin<DryRunView>("GET", `/v1/sites/lyon/dry-runs/${body.id}`)).body;
    clock.aheadMs += 400 * 86_400_000;
    clock.pass(9 * 60_000);
    expect(await now()).toMatchObject({ state: "asked" });
    clock.pass(61_000);
    expect(await now()).toMatchObject({ state: "failed", reason: "the site was out of reach for 10 min", result: null });
  });

  it("is for engineers and approvers of the site's environment alone", async () => {
    const { central, lyon, change } = await openSite({ storage });
    await using _ = central;
    // a site belongs to an environment from its first document on
    const documents = pickPlant({ wmsUrl: "mqtt://127.0.0.1:1", erpUrl: "http://127.0.0.1:1" });
    const files = documents.map((document) => ({ name: `${document.kind}.yaml`, text: JSON.stringify(document) }));
    expect(await central.admin("POST", "/v1/sites/lyon/revisions", { files })).toMatchObject({ status: 201 });
    const { body } = await central.admin<DryRunView>("POST", "/v1/sites/lyon/dry-runs", { change });
    const statuses = async (
      roles: readonly ["viewer" | "operator" | "engineer" | "approver"],
      environments: readonly string[],
    ) => {
      const person = await signInAs(central, `${roles[0]}-${environments.join("-")}`, { roles, environments });
      const answers = [
        await person.call("POST", "/v1/sites/lyon/dry-runs", { change }),
        await person.call("GET", "/v1/sites/lyon/dry-runs"),
        await person.call("GET", `/v1/sites/lyon/dry-runs/${body.id}`),
        await person.call("GET", "/v1/sites/lyon/shadow"),
      ];
      return answers.map(({ status }) => status);
    };
    expect(await statuses(["viewer"], ["dev"])).toEqual([403, 403, 403, 403]);
    expect(await statuses(["operator"], ["dev"])).toEqual([403, 403, 403, 403]);
    expect(await statuses(["engineer"], ["prod"])).toEqual([403, 403, 403, 403]);
    expect(await statuses(["engineer"], ["dev"])).toEqual([202, 200, 200, 200]);
    expect(await statuses(["approver"], ["dev"])).toEqual([202, 200, 200, 200]);
    // another site's gateway has no part in it
    const porto = await central.addSite("porto");
    await porto.hello();
    expect(await porto.call("GET", `dry-runs/${body.id}/candidate`)).toMatchObject({ status: 404 });
    expect(await porto.call("POST", `dry-runs/${body.id}/result`, { state: "done", result })).toMatchObject({ status: 404 });
    expect(await lyon.call("GET", `dry-runs/${body.id}/candidate`)).toMatchObject({ status: 200 });
  });

  it("refuses what cannot be run, and more than a site may have open", async () => {
    const { central, change } = await openSite({ storage });
    await using _ = central;
    const ask = (body: object, site = "lyon") => central.admin("POST", `/v1/sites/${site}/dry-runs`, body);
    expect(await ask({ change: 99 })).toMatchObject({ status: 404 });
    expect(await ask({ change }, "nowhere")).toMatchObject({ status: 404, body: { code: "site-unknown" } });
    expect(await ask({ change, messages: 0 })).toMatchObject({ status: 422 });
    await central.addSite("porto");
    expect(await ask({ change }, "porto")).toMatchObject({ status: 422, body: { detail: expect.stringContaining("no") } });
    for (let open = 0; open < 5; open++) expect(await ask({ change })).toMatchObject({ status: 202 });
    expect(await ask({ change })).toMatchObject({ status: 409 });
  });

  it("keeps the newest fifty of a site, for thirty days", async () => {
    const clock = settableClock();
    const { central, lyon, change } = await openSite({ storage, parts: { clock } });
    await using _ = central;
    const ids: string[] = [];
    for (let number = 0; number < 52; number++) {
      const { body } = await central.admin<DryRunView>("POST", "/v1/sites/lyon/dry-runs", { change });
      ids.push(body.id);
      await lyon.call("POST", `dry-runs/${body.id}/result`, { state: "failed", reason: "no" });
      clock.aheadMs += 1000;
    }
    const kept = async () =>
      (await central.admin<{ dryRuns: { id: string }[] }>("GET", "/v1/sites/lyon/dry-runs")).body.dryRuns.map(({ id }) => id);
    expect(await kept()).toEqual(ids.toReversed().slice(0, 50));
    clock.pass(30 * 86_400_000);
    expect(await kept()).toEqual([]);
  });

  it("keeps of each flow in shadow its last report, and of one that is not in shadow any more none", async () => {
    const { central, lyon } = await openSite({ storage });
    await using _ = central;
    const flow = (name: string, different: number): ShadowFlow => ({
      ...{ flow: name, against: ["picks"], since: "2026-11-27T08:00:00.000Z", same: 1, different, onlyShadow: 0, onlyLive: 0 },
      ...{ refused: 0, skipped: 0, fields: [{ path: "data.lot", count: 1, before: null, after: { a: 1 } }], reasons: [] },
    });
    for (let different = 1; different <= 30; different++)
      expect(await lyon.call("POST", "shadow-reports", { flows: [flow("next", different), flow("other", 1)] })).toMatchObject({
        status: 200,
      });
    const shown = async () => (await central.admin<{ flows: object[] }>("GET", "/v1/sites/lyon/shadow")).body.flows;
    expect(await shown()).toMatchObject([flow("next", 30), flow("other", 1)]);
    await lyon.call("POST", "shadow-reports", { flows: [flow("next", 31)] });
    expect(await shown()).toMatchObject([flow("next", 31)]);
    await lyon.call("POST", "shadow-reports", { flows: [] });
    expect(await shown()).toEqual([]);
    expect(await lyon.call("POST", "shadow-reports", { flows: [{ flow: "next" }] })).toMatchObject({ status: 422 });
  });
});
