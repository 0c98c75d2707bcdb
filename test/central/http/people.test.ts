import { describe, expect, it } from "vitest";
import { startTestCentral, type TestCentral } from "../../support/central.ts";
import { settableClock } from "../../support/clock.ts";
import { signInAs } from "../../support/people.ts";
import { storages } from "../../support/storages.ts";

const day = 86_400_000;

async function asToken(central: TestCentral, token: string, method = "GET", path = "/v1/session", body?: unknown) {
  const answer = await fetch(central.url + path, {
    method,
    headers: { authorization: `Bearer ${token}`, ...(body === undefined ? {} : { "content-type": "application/json" }) },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  return { status: answer.status, body: (await answer.json()) as Record<string, unknown> };
}

describe.each(await storages())("on %s", (storage) => {
  describe("users", () => {
    it("are set up by admins of every environment, and by the admin token", async () => {
      await using central = await startTestCentral({ storage });
      const added = await central.admin("POST", "/v1/users", { name: "anna", roles: ["admin"] });
      expect(added).toMatchObject({
        status: 201,
        body: { name: "anna", environments: ["*"], hasPassword: false, createdBy: "admin-token" },
      });
      expect((await central.admin("POST", "/v1/users", { name: "anna", roles: ["viewer"] })).body.code).toBe("conflict");
      for (const name of ["admin-token", "central", "anonymous"])
        expect((await central.admin("POST", "/v1/users", { name, roles: ["viewer"] })).body.code).toBe("conflict");
      for (const body of [
        { name: "site:lyon", roles: ["viewer"] },
        { name: "x", roles: [] },
        { name: "x", roles: ["root"] },
      ])
        expect((await central.admin("POST", "/v1/users", body)).status).toBe(422);
      const add = { name: "new", roles: ["admin"] };
      for (const [name, roles, environments] of [
        ["viewer", ["viewer"], ["*"]],
        ["engineer", ["operator", "engineer", "approver"], ["*"]],
        ["scoped", ["admin"], ["dev"]],
      ] as const) {
        const person = await signInAs(central, name, { roles, environments });
        expect([name, (await person.call("POST", "/v1/users", add)).body.code]).toEqual([name, "not-allowed"]);
        expect((await person.call("PATCH", "/v1/users/anna", { disabled: true })).body.code).toBe("not-allowed");
        expect((await person.call("POST", "/v1/users/anna/links", {})).body.code).toBe("not-allowed");
      }
      const admin = await signInAs(central, "admin", { roles: ["admin"] });
      expect((await admin.call("POST", "/v1/users", add)).body).toMatchObject({ createdBy: "admin" });
      expect((await admin.call("PATCH", "/v1/users/nobody", {})).body.code).toBe("not-found");
      expect((await admin.call("PATCH", "/v1/users/new", { disabled: true })).body).toMatchObject({ disabled: true });
      expect((await admin.call("POST", "/v1/users/new/links", {})).body.code).toBe("conflict");
    });

    it("who are admins of one environment do nothing that concerns others", async () => {
      await using central = await startTestCentral({ storage });
      const scoped = await signInAs(central, "scoped", { roles: ["admin"], environments: ["dev"] });
      expect((await scoped.call("POST", "/v1/signing-keys/rotate", {})).body.code).toBe("not-allowed");
      // one without an environment counts as prod
      expect((await scoped.call("POST", "/v1/sites", { name: "lyon" })).body.code).toBe("not-allowed");
      expect((await scoped.call("POST", "/v1/sites", { name: "lyon", environment: "prod" })).body.code).toBe("not-allowed");
      expect((await scoped.call("POST", "/v1/sites", { name: "lyon", environment: "dev" })).status).toBe(201);
    });

    it("never lose their last admin, even when two disable each other", async () => {
      await using central = await startTestCentral({ storage });
      const [anna, bo] = [
        await signInAs(central, "anna", { roles: ["admin"] }),
        await signInAs(central, "bo", { roles: ["admin"] }),
      ];
      await central.admin("POST", "/v1/users", { name: "scoped", roles: ["admin"], environments: ["dev"] });
      const answers = await Promise.all([
        anna.call("PATCH", "/v1/users/bo", { disabled: true }),
        bo.call("PATCH", "/v1/users/anna", { disabled: true }),
      ]);
      expect(answers.map(({ status }) => status).filter((status) => status === 200)).toHaveLength(1);
      const { body } = await central.admin<{ users: { name: string; disabled: boolean }[] }>("GET", "/v1/users");
      const left = body.users.find(({ name, disabled }) => ["anna", "bo"].includes(name) && !disabled)?.name ?? "";
      for (const change of [{ roles: ["engineer"] }, { environments: ["prod"] }, { disabled: true }])
        expect((await central.admin("PATCH", `/v1/users/${left}`, change)).body.code).toBe("conflict");
    });

    it("act with what they may now, not with what they might when they signed in", async () => {
      await using central = await startTestCentral({ storage });
      const anna = await signInAs(central, "anna", { roles: ["admin"] });
      await signInAs(central, "bo", { roles: ["admin"] });
      expect((await anna.call("GET", "/v1/users")).status).toBe(200);
      await central.admin("PATCH", "/v1/users/anna", { roles: ["viewer"], environments: ["dev"] });
      expect((await anna.call("GET", "/v1/users")).status).toBe(403);
      expect((await anna.call("GET", "/v1/session")).body).toMatchObject({ roles: ["viewer"], environments: ["dev"] });
    });
  });

  describe("an API token", () => {
    const request = { purpose: "nightly export", roles: ["engineer"], environments: ["*"], lifeSeconds: 3600 };

    it("acts for its user, is shown once, and is listed to its user and to admins", async () => {
      await using central = await startTestCentral({ storage });
      const anna = await signInAs(central, "anna", { roles: ["engineer"] });
      const bo = await signInAs(central, "bo", { roles: ["viewer"] });
      const made = await anna.call<{ id: string; token: string }>("POST", "/v1/tokens", request);
      expect(made).toMatchObject({
        status: 201,
        body: { user: "anna", roles: ["engineer"], token: expect.stringMatching(/^pgt_[\w-]{43}$/) },
      });
      const { id, token } = made.body;
      expect((await asToken(central, token)).body).toMatchObject({
        user: "anna",
        kind: "token",
        roles: ["engineer"],
        csrf: null,
      });
      const listed = (await anna.call<{ tokens: Record<string, unknown>[] }>("GET", "/v1/tokens")).body.tokens;
      expect(listed).toMatchObject([{ id, purpose: "nightly export", revokedAt: null, lastUsedAt: expect.any(String) }]);
      expect(listed[0]).not.toHaveProperty("token");
      expect((await bo.call("GET", "/v1/tokens")).body).toEqual({ tokens: [] });
      expect((await central.admin<{ tokens: unknown[] }>("GET", "/v1/tokens")).body.tokens).toHaveLength(1);
      expect((await bo.call("DELETE", `/v1/tokens/${id}`)).status).toBe(404);
      // a cookie beside it takes nothing away and adds nothing
      const both = await fetch(`${central.url}/v1/session`, { headers: { authorization: `Bearer ${token}`, cookie: bo.cookie } });
      expect(await both.json()).toMatchObject({ user: "anna", kind: "token" });
    });

    it("holds no more than its user, neither when it is made nor when it is used", async () => {
      await using central = await startTestCentral({ storage });
      const anna = await signInAs(central, "anna", { roles: ["engineer", "approver"], environments: ["dev", "test"] });
      const make = async (change: object) =>
        (await anna.call<{ token: string; code: string }>("POST", "/v1/tokens", { ...request, environments: ["dev"], ...change }))
          .body;
      expect((await make({ roles: ["admin"] })).code).toBe("not-allowed");
      expect((await make({ environments: ["prod"] })).code).toBe("not-allowed");
      expect((await make({ environments: ["*"] })).code).toBe("not-allowed");
      const { token } = await make({ roles: ["engineer", "approver"], environments: ["dev", "test"] });
      await central.admin("PATCH", "/v1/users/anna", { roles: ["engineer"], environments: ["test", "prod"] });
      expect((await asToken(central, token)).body).toMatchObject({ roles: ["engineer"], environments: ["test"] });
      await central.admin("PATCH", "/v1/users/anna", { roles: ["viewer"], environments: ["*"] });
      for (const [method, path] of [
        ["GET", "/v1/session"],
        ["GET", "/v1/sites"],
        ["POST", "/v1/sites"],
      ] as const)
        expect([path, (await asToken(central, token, method, path)).body.code]).toEqual([path, "not-allowed"]);
      await central.admin("PATCH", "/v1/users/anna", { roles: ["approver"] });
      expect((await asToken(central, token)).body).toMatchObject({ roles: ["approver"], environments: ["dev", "test"] });
    });

    it("never gives an admin the right to approve", async () => {
      await using central = await startTestCentral({ storage });
      const anna = await signInAs(central, "anna", { roles: ["admin"] });
      expect((await anna.call("POST", "/v1/tokens", { ...request, roles: ["approver"] })).body.code).toBe("not-allowed");
      const made = await anna.call<{ token: string }>("POST", "/v1/tokens", { ...request, roles: ["engineer", "viewer"] });
      expect((await asToken(central, made.body.token)).body).toMatchObject({ roles: ["engineer", "viewer"] });
    });

    it("ends when it expires, is revoked, or its user is disabled", async () => {
      const clock = settableClock();
      await using central = await startTestCentral({ storage, parts: { clock } });
      const anna = await signInAs(central, "anna", { roles: ["engineer"] });
      const make = async () => (await anna.call<{ id: string; token: string }>("POST", "/v1/tokens", request)).body;
      const [expiring, revoked] = [await make(), await make()];
      expect((await anna.call("DELETE", `/v1/tokens/${revoked.id}`)).body).toMatchObject({ revokedAt: expect.any(String) });
      expect((await asToken(central, revoked.token)).body).toMatchObject({ status: 401, code: "token-invalid" });
      expect((await asToken(central, expiring.token)).status).toBe(200);
      await central.admin("PATCH", "/v1/users/anna", { disabled: true });
      expect((await asToken(central, expiring.token)).body.code).toBe("token-invalid");
      await central.admin("PATCH", "/v1/users/anna", { disabled: false });
      expect((await asToken(central, expiring.token)).status).toBe(200);
      clock.pass(3600_000);
      expect((await asToken(central, expiring.token)).body).toMatchObject({ status: 401, code: "token-expired" });
      clock.aheadMs -= 20 * 365 * day;
      expect((await asToken(central, expiring.token)).body.code).toBe("token-expired");
      expect((await asToken(central, "pgt_unknown")).body.code).toBe("token-invalid");
      expect((await central.admin("DELETE", "/v1/tokens/nothing")).body.code).toBe("not-found");
    });

    it("makes no other token, sets no password, and the admin token makes none either", async () => {
      await using central = await startTestCentral({ storage });
      const anna = await signInAs(central, "anna", { roles: ["engineer"] });
      const { token } = (await anna.call<{ token: string }>("POST", "/v1/tokens", request)).body;
      expect((await asToken(central, token, "POST", "/v1/tokens", request)).body.code).toBe("not-allowed");
      expect((await asToken(central, token, "PUT", "/v1/session/password", { next: "another password" })).body.code).toBe(
        "not-allowed",
      );
      expect((await central.admin("POST", "/v1/tokens", request)).body.code).toBe("not-allowed");
    });

    it("notes its last use once a minute at most", async () => {
      const clock = settableClock();
      clock.hold();
      await using central = await startTestCentral({ storage, parts: { clock } });
      const anna = await signInAs(central, "anna", { roles: ["engineer"] });
      const { token } = (await anna.call<{ token: string }>("POST", "/v1/tokens", request)).body;
      const used = async () => {
        await asToken(central, token);
        return Date.parse(
          String((await anna.call<{ tokens: { lastUsedAt: string }[] }>("GET", "/v1/tokens")).body.tokens[0]?.lastUsedAt),
        );
      };
      const first = await used();
      clock.pass(30_000);
      expect(await used()).toBe(first);
      clock.pass(31_000);
      expect(await used()).toBeGreaterThan(first);
    });
  });

  describe("who may change a site", () => {
    it("is an admin for the site, an engineer for its configuration, where the site is", async () => {
      await using central = await startTestCentral({ storage });
      await central.addSite("lyon");
      for (const roles of [["viewer"], ["operator"], ["approver"], ["engineer"]] as const) {
        const person = await signInAs(central, roles[0], { roles });
        expect((await person.call("GET", "/v1/sites")).status).toBe(200);
        expect((await person.call("POST", "/v1/sites/lyon/revoke")).body.code).toBe("not-allowed");
        expect((await person.call("POST", "/v1/sites", { name: "x", publicKey: "x" })).body.code).toBe("not-allowed");
      }
      const scoped = await signInAs(central, "scoped", { roles: ["admin"], environments: ["dev"] });
      expect((await scoped.call("POST", "/v1/sites/lyon/revoke")).body.code).toBe("not-allowed");
      const approver = await signInAs(central, "carl", { roles: ["approver"] });
      expect((await approver.call("POST", "/v1/sites/lyon/revisions", { files: [{ name: "a", text: "b" }] })).body.code).toBe(
        "not-allowed",
      );
      const admin = await signInAs(central, "admin", { roles: ["admin"] });
      expect((await admin.call("POST", "/v1/sites/lyon/revoke")).status).toBe(200);
    });
  });

  it("takes no text that a storage could not keep, and says so", async () => {
    await using central = await startTestCentral({ storage });
    const anna = await signInAs(central, "anna", { roles: ["admin"] });
    const purpose = { purpose: "a\u0000b", roles: ["viewer"], lifeSeconds: 600 };
    expect((await anna.call("POST", "/v1/tokens", purpose)).status).toBe(422);
    for (const [method, path] of [
      ["DELETE", "/v1/tokens/%00"],
      ["PATCH", "/v1/users/%00"],
      ["GET", "/v1/audit?subject=%00"],
      ["GET", "/v1/completeness?site=%00"],
      ["GET", "/signin?code=%00"],
    ] as const)
      expect([path, (await anna.call(method, path, method === "PATCH" ? {} : undefined)).status]).toEqual([
        path,
        expect.toSatisfy((status: number) => status < 500),
      ]);
  });

  it("verifies the audit log for whoever is signed in", async () => {
    await using central = await startTestCentral({ storage });
    const anna = await signInAs(central, "anna");
    const { body } = await anna.call<{ entries: number; head: string }>("GET", "/v1/audit/verify");
    expect(body).toMatchObject({ entries: expect.any(Number), badAt: null });
    const kept = `head=${body.head}&at=${body.entries}`;
    expect((await anna.call("GET", `/v1/audit/verify?${kept}`)).body).toMatchObject({ badAt: null });
    expect((await anna.call("GET", `/v1/audit/verify?head=${"0".repeat(64)}&at=1`)).body).toMatchObject({ badAt: 1 });
    expect((await anna.call("GET", `/v1/audit/verify?head=${"0".repeat(64)}`)).status).toBe(422);
    const last = await anna.call<{ entries: { number: number; hash: string }[] }>("GET", "/v1/audit?before=0&limit=1");
    expect(last.body.entries).toMatchObject([{ number: body.entries, hash: body.head }]);
  });
});
