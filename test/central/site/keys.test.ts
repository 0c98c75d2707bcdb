import { CompactSign } from "jose";
import { beforeAll, describe, expect, it } from "vitest";
import { Identity, type KeyPair } from "../../../gateway/identity/identity.ts";
import { introduceKeys, makeRequest, proveEnrollment } from "../../../gateway/identity/proofs.ts";
import { eventually, startTestCentral, type TestCentral } from "../../support/central.ts";
import { type SettableClock, settableClock } from "../../support/clock.ts";
import { temporaryFolder } from "../../support/folder.ts";
import { TestGateway } from "../../support/gateway-client.ts";
import { storages } from "../../support/storages.ts";

interface Answer {
  readonly status: number;
  readonly body: Record<string, unknown> & { code?: string; detail?: string };
}
const hour = 3_600_000;

function makePair(): KeyPair {
  using folder = temporaryFolder();
  return Identity.open(folder.path).current;
}
const tampered = (jws: string): string => {
  const [head, payload = "", signature] = jws.split(".");
  const said = JSON.parse(Buffer.from(payload, "base64url").toString()) as Record<string, unknown>;
  return [
    head,
    Buffer.from(JSON.stringify({ ...said, sealKey: makePair().sealing.publicJwk })).toString("base64url"),
    signature,
  ].join(".");
};

describe.each(await storages())("on %s", (storage) => {
  let central: TestCentral;
  let clock: SettableClock;
  let sites = 0;
  beforeAll(async () => {
    clock = settableClock();
    central = await startTestCentral({ storage, parts: { clock } });
    return () => central[Symbol.asyncDispose]();
  });

  const post = async (path: string, body: unknown): Promise<Answer> => {
    const answer = await fetch(central.url + path, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(body),
    });
    return { status: answer.status, body: (await answer.json()) as Answer["body"] };
  };
  const makeSite = async (): Promise<string> => {
    const name = `plant-${++sites}`;
    expect((await central.admin("POST", "/v1/sites", { name, environment: "dev" })).status).toBe(201);
    return name;
  };
  const makeToken = async (site: string, lifeSeconds = 3600): Promise<string> => {
    const made = await central.admin<{ token: string }>("POST", `/v1/sites/${site}/enrollment-tokens`, { lifeSeconds });
    expect(made.status).toBe(201);
    return made.body.token;
  };
  const confirm = (site: string, { fingerprint }: KeyPair) =>
    central.admin("POST", `/v1/sites/${site}/keys/${fingerprint}/confirm`);
  const gatewayOf = (site: string, pair: KeyPair): TestGateway => {
    const gateway = new TestGateway({ url: () => central.url, site, privateKey: pair.privateKey });
    const now = (): number => Math.floor(clock.now() / 1000);
    const token = gateway.token.bind(gateway);
    gateway.token = (claims = {}) => token({ kid: pair.fingerprint, issuedAt: now(), ...claims });
    return gateway;
  };
  const enrolled = async (site?: string): Promise<{ site: string; pair: KeyPair; gateway: TestGateway }> => {
    const name = site ?? (await makeSite());
    const pair = makePair();
    expect((await post("/v1/enroll", await proveEnrollment(pair, await makeToken(name)))).status).toBe(200);
    expect((await confirm(name, pair)).status).toBe(200);
    return { site: name, pair, gateway: gatewayOf(name, pair) };
  };
  const introduce = async (site: string, by: KeyPair, next: KeyPair, jws?: string) =>
    gatewayOf(site, by).call("POST", "keys", {
      introduction: jws ?? (await introduceKeys(site, by, next, { overlapSeconds: 3600 })),
    });
  const states = async (site: string) => {
    const { body } = await central.admin<{ keys: { fingerprint: string; state: string }[] }>("GET", `/v1/sites/${site}/keys`);
    return Object.fromEntries(body.keys.map(({ fingerprint, state }) => [fingerprint, state]));
  };
  const lastAudited = async (action: string) =>
    (await central.admin<{ entries: unknown[] }>("GET", `/v1/audit?before=0&limit=1&action=${action}`)).body.entries[0];
  const audited = async (): Promise<string[]> => {
    const { openStorage } = await import("../../../central/storage/storage.ts");
    const db = await openStorage(
      central.database
        ? { kind: "postgres", url: central.database.url }
        : { kind: "sqlite", file: `${central.dataDir}/ledger.db` },
    );
    const rows = await db.selectFrom("audit").select("entry").orderBy("number").execute();
    await db.destroy();
    return rows.map(({ entry }) => (JSON.parse(entry) as { action: string }).action);
  };

  it("lets a gateway in once a person has confirmed its fingerprint, and not before", async () => {
    const site = await makeSite();
    const pair = makePair();
    const token = await makeToken(site);
    const { status, body } = await post("/v1/enroll", await proveEnrollment(pair, token));
    expect([status, body]).toMatchObject([200, { site, fingerprint: pair.fingerprint, state: "pending" }]);
    expect(body.signingKeys).toHaveLength(1);
    const gateway = gatewayOf(site, pair);
    expect(await gateway.hello()).toMatchObject({ status: 403, body: { code: "not-allowed" } });
    expect(await gateway.call("GET", "enrollment")).toMatchObject({ status: 200, body: { state: "pending" } });
    const other = makePair();
    expect(await confirm(site, other)).toMatchObject({ status: 409, body: { code: "conflict" } });
    expect((await gateway.call("GET", "enrollment")).body).toMatchObject({ state: "pending" });
    expect((await confirm(site, pair)).status).toBe(200);
    expect((await confirm(site, pair)).status).toBe(200);
    expect((await gateway.hello()).status).toBe(200);
    expect(await audited()).toEqual(
      expect.arrayContaining(["site.created", "enrollment-token.made", "key.enrolled", "key.confirmed"]),
    );
    // only its hash is anywhere
    expect(JSON.stringify(await states(site))).not.toContain(token);
  });

  it("takes a token once, of two gateways at the same moment too, and lets the one that got it ask again", async () => {
    const site = await makeSite();
    const token = await makeToken(site);
    const pairs = Array.from({ length: 6 }, makePair);
    const bodies = await Promise.all(pairs.map((pair) => proveEnrollment(pair, token)));
    const answers = await Promise.all(bodies.map((body) => post("/v1/enroll", body)));
    expect(answers.map(({ status }) => status).sort()).toEqual([200, 403, 403, 403, 403, 403]);
    const winner = answers.findIndex(({ status }) => status === 200);
    expect(Object.keys(await states(site))).toEqual([pairs[winner]?.fingerprint]);
    expect((await post("/v1/enroll", bodies[winner])).status).toBe(200);
    expect((await post("/v1/enroll", bodies[(winner + 1) % 6])).status).toBe(403);
  });

  it("refuses a proof that is by another key, for another token, or over another key to seal to", async () => {
    const site = await makeSite();
    const [token, other] = [await makeToken(site), await makeToken(site)];
    const [pair, thief] = [makePair(), makePair()];
    const body = await proveEnrollment(pair, token);
    for (const wrong of [
      { ...body, token: other },
      { ...body, publicKey: thief.publicPem },
      { ...body, sealKey: thief.sealing.publicJwk },
      { ...body, sealKey: thief.sealing.publicJwk, proof: tampered(body.proof) },
      { ...body, proof: (await proveEnrollment(thief, token)).proof },
      { ...body, proof: await gatewayOf(site, pair).token() },
    ])
      expect(await post("/v1/enroll", wrong)).toMatchObject({ status: 422 });
    // none of that used the token up
    expect((await post("/v1/enroll", body)).status).toBe(200);
    expect(await post("/v1/enroll", { ...body, token: "pge_nothing" })).toMatchObject({ status: 403 });
  });

  it("refuses a token past its life, and one from a time that this clock has not seen", async () => {
    const site = await makeSite();
    const token = await makeToken(site, 72 * 3600);
    const body = await proveEnrollment(makePair(), token);
    clock.aheadMs += 72 * hour + 1000;
    expect((await post("/v1/enroll", body)).status).toBe(403);
    clock.aheadMs -= 100 * 365 * 24 * hour;
    expect((await post("/v1/enroll", body)).status).toBe(403);
    clock.aheadMs = 0;
    expect((await post("/v1/enroll", body)).status).toBe(200);
    expect(await central.admin("POST", `/v1/sites/${site}/enrollment-tokens`, { lifeSeconds: 72 * 3600 + 1 })).toMatchObject({
      status: 422,
    });
  });

  it("binds a token to its site and a key to one", async () => {
    const { pair, site } = await enrolled();
    const other = await makeSite();
    expect(await post("/v1/enroll", await proveEnrollment(pair, await makeToken(other)))).toMatchObject({ status: 409 });
    expect(await gatewayOf(other, pair).hello()).toMatchObject({ status: 401, body: { code: "key-unknown" } });
    const crossed = await gatewayOf(site, pair).token();
    expect(await gatewayOf(other, pair).call("GET", "enrollment", undefined, { token: crossed })).toMatchObject({ status: 403 });
    expect(await gatewayOf(other, pair).call("POST", "keys", {}, { token: crossed })).toMatchObject({ status: 403 });
  });

  it("takes both keys during a change, and no call is refused", async () => {
    const { site, pair, gateway } = await enrolled();
    const next = makePair();
    expect(await gatewayOf(site, next).hello()).toMatchObject({ body: { code: "key-unknown" } });
    const told = await introduceKeys(site, pair, next, { overlapSeconds: 3600 });
    expect((await introduce(site, pair, next, told)).body).toMatchObject({ fingerprint: next.fingerprint, state: "active" });
    expect(await lastAudited("key.rotated")).toMatchObject({
      ...{ actor: `site:${site}`, subject: `site/${site}` },
      detail: { fingerprint: next.fingerprint, before: pair.fingerprint, overlapSeconds: 3600 },
    });
    // its answer was lost
    expect((await introduce(site, pair, next, told)).status).toBe(200);
    expect((await gateway.hello()).status).toBe(200);
    expect((await gatewayOf(site, next).hello()).status).toBe(200);
    expect(await states(site)).toEqual({ [pair.fingerprint]: "retiring", [next.fingerprint]: "active" });
    clock.pass(hour + 1);
    expect(await gateway.hello()).toMatchObject({ body: { code: "key-unknown" } });
    expect((await gatewayOf(site, next).hello()).status).toBe(200);
    await eventually(audited, (actions) => actions.includes("key.retired"));
    // what a retired key once said moves nothing
    expect(await introduce(site, pair, next, told)).toMatchObject({ body: { code: "key-unknown" } });
    clock.aheadMs = 0;
  });

  it("refuses an introduction by whoever is not the site's active key", async () => {
    const { site, pair } = await enrolled();
    const [next, third, thief] = [makePair(), makePair(), makePair()];
    const call = (jws: string) => introduce(site, pair, next, jws);
    // a bearer token alone introduces nothing
    expect((await call(await introduceKeys(site, thief, next, { overlapSeconds: 60 }))).status).toBe(422);
    expect((await call(await introduceKeys("plant-1", pair, next, { overlapSeconds: 60 }))).status).toBe(422);
    expect(
      (await call(await introduceKeys(site, pair, { ...next, publicPem: thief.publicPem }, { overlapSeconds: 60 }))).status,
    ).toBe(422);
    expect((await call(tampered(await introduceKeys(site, pair, next, { overlapSeconds: 60 })))).status).toBe(422);
    // the old key says another one to seal to than the new one did
    const said = { purpose: "rotate", site, by: pair.fingerprint, publicKey: next.publicPem };
    const signed = (by: KeyPair, payload: object): Promise<string> =>
      new CompactSign(Buffer.from(JSON.stringify(payload)))
        .setProtectedHeader({ alg: "EdDSA", kid: by.fingerprint })
        .sign(by.privateKey);
    const proof = await signed(next, { ...said, sealKey: next.sealing.publicJwk });
    expect(
      (await call(await signed(pair, { ...said, sealKey: thief.sealing.publicJwk, proof, overlapSeconds: 60 }))).status,
    ).toBe(422);
    expect((await introduce(site, pair, next)).status).toBe(200);
    // the key that was left introduces nothing more, not even while it is taken
    expect(await introduce(site, pair, third)).toMatchObject({ status: 409 });
    expect((await introduce(site, next, third)).status).toBe(200);
    expect(await introduce(site, third, pair)).toMatchObject({ status: 409 });
    expect(await states(site)).toEqual({
      [pair.fingerprint]: "retired",
      [next.fingerprint]: "retiring",
      [third.fingerprint]: "active",
    });
  });

  it("cuts an open poll within 5 s of a revocation, and refuses the key for good", async () => {
    const { site, pair, gateway } = await enrolled();
    await gateway.hello();
    const poll = gateway.downlink({ waitMs: 30_000 });
    await eventually(
      async () => (await central.admin<{ sites: { name: string }[] }>("GET", "/v1/sites")).status,
      (status) => status === 200,
    );
    const from = performance.now();
    expect((await central.admin("POST", `/v1/sites/${site}/keys/${pair.fingerprint}/revoke`)).status).toBe(200);
    expect(await poll).toMatchObject({ status: 403, body: { code: "site-revoked" } });
    expect(performance.now() - from).toBeLessThan(5000);
    expect(await gateway.hello()).toMatchObject({ status: 403, body: { code: "site-revoked" } });
    expect(await introduce(site, pair, makePair())).toMatchObject({ status: 403 });
    expect(await post("/v1/enroll", await proveEnrollment(pair, await makeToken(site)))).toMatchObject({ status: 409 });
    expect(await confirm(site, pair)).toMatchObject({ status: 409 });
    expect(await central.admin("POST", "/v1/sites", { name: site, publicKey: pair.publicPem })).toMatchObject({ status: 409 });
    // with a key of its own it comes in again
    const again = await enrolled(site);
    expect((await again.gateway.hello()).status).toBe(200);
    expect((await states(site))[pair.fingerprint]).toBe("revoked");
  });

  it("lets a revoked site in again by a new key alone, and voids the tokens that were out", async () => {
    const { site, pair } = await enrolled();
    const [waiting, token] = [makePair(), await makeToken(site)];
    await post("/v1/enroll", await proveEnrollment(waiting, await makeToken(site)));
    await central.admin("POST", `/v1/sites/${site}/revoke`);
    expect(Object.values(await states(site))).toEqual(["revoked", "revoked"]);
    expect(await confirm(site, waiting)).toMatchObject({ status: 409 });
    expect((await post("/v1/enroll", await proveEnrollment(makePair(), token))).status).toBe(403);
    const again = await enrolled(site);
    expect((await again.gateway.hello()).status).toBe(200);
    expect(await gatewayOf(site, pair).hello()).toMatchObject({ status: 403 });
  });

  it("lets the key that a person confirms take the place of the one before", async () => {
    const { site, gateway } = await enrolled();
    await gateway.hello();
    const again = await enrolled(site);
    expect(await gateway.status()).toMatchObject({ body: { code: "key-unknown" } });
    expect((await again.gateway.hello()).status).toBe(200);
  });

  it("learns what to seal secrets to of a gateway that was added by its key alone", async () => {
    const pair = makePair();
    const site = `plant-${++sites}`;
    await central.admin("POST", "/v1/sites", { name: site, publicKey: pair.publicPem });
    const gateway = gatewayOf(site, pair);
    await gateway.hello();
    expect((await gateway.status()).body).toMatchObject({ key: { fingerprint: pair.fingerprint, seals: false, rotate: false } });
    expect((await introduce(site, pair, pair)).status).toBe(200);
    const detail = { fingerprint: pair.fingerprint };
    expect(await lastAudited("key.sealKeyTold")).toMatchObject({ actor: `site:${site}`, subject: `site/${site}`, detail });
    await central.admin("POST", `/v1/sites/${site}/rotate-key`);
    expect((await gateway.status()).body).toMatchObject({ key: { seals: true, rotate: true } });
    expect(await states(site)).toEqual({ [pair.fingerprint]: "active" });
  });

  it("takes a request that a person brought, and no other site's, changed or used key", async () => {
    const site = await makeSite();
    const pair = makePair();
    const request = await makeRequest(pair);
    const bring = (body: unknown, to = site) =>
      central.admin<{ file: string }>("POST", `/v1/sites/${to}/enrollment-requests`, body);
    expect((await bring({ ...request, sealKey: makePair().sealing.publicJwk })).status).toBe(422);
    expect((await bring({ ...request, nonce: "another-nonce-than-that" })).status).toBe(422);
    const { status, body } = await bring(request);
    expect(status).toBe(201);
    const payload = JSON.parse(Buffer.from(body.file.split(".")[1] ?? "", "base64url").toString());
    expect(payload).toMatchObject({ kind: "SiteFile", site, nonce: request.nonce, fingerprint: pair.fingerprint, bundle: null });
    expect((await gatewayOf(site, pair).hello()).status).toBe(200);
    const next = await central.admin<{ file: string }>("GET", `/v1/sites/${site}/file`);
    expect(JSON.parse(Buffer.from(next.body.file.split(".")[1] ?? "", "base64url").toString()).number).toBeGreaterThan(
      payload.number,
    );
    expect(await bring(request, await makeSite())).toMatchObject({ status: 409 });
  });

  it.skipIf(storage !== "postgres")("refuses at every replica what was revoked at one, and cuts polls there", async () => {
    await using replica = await central.replica({ clock });
    const { site, pair } = await enrolled();
    const there = new TestGateway({ url: () => replica.url, site, privateKey: pair.privateKey });
    expect((await there.hello()).status).toBe(200);
    // kept there: the signature of its token held
    const token = await there.token({ kid: pair.fingerprint });
    expect((await there.call("GET", "enrollment", undefined, { token })).status).toBe(200);
    const poll = there.downlink({ waitMs: 30_000 });
    expect((await there.status()).status).toBe(200);
    const from = performance.now();
    await central.admin("POST", `/v1/sites/${site}/keys/${pair.fingerprint}/revoke`);
    expect(await there.call("GET", "enrollment", undefined, { token })).toMatchObject({ status: 403 });
    expect(await poll).toMatchObject({ status: 403, body: { code: "site-revoked" } });
    expect(performance.now() - from).toBeLessThan(5000);
  });

  it("bounds how often strangers may try", async () => {
    // no time passes while they try, however slow the machine is
    clock.hold();
    const body = await proveEnrollment(makePair(), "pge_none");
    const codes = (await Promise.all(Array.from({ length: 90 }, () => post("/v1/enroll", body)))).map(({ status }) => status);
    expect(new Set(codes)).toEqual(new Set([403, 429]));
    clock.pass(60_000);
    expect((await post("/v1/enroll", { ...body, proof: "x".repeat(20_000) })).status).toBe(413);
  });
});
