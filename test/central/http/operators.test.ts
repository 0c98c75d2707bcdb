import { createHash } from "node:crypto";
import { mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { compactVerify, importSPKI } from "jose";
import { describe, expect, it } from "vitest";
import { bundle } from "../../../protocol/index.ts";
import { startTestCentral } from "../../support/central.ts";
import { generateGatewayKey } from "../../support/gateway-client.ts";
import { siteDocuments } from "../../support/site-documents.ts";
import { storages } from "../../support/storages.ts";

describe.each(await storages())("on %s", (storage) => {
  describe("revisions", () => {
    it("signs a bundle that its gateway can verify with the key that it got when it was added", async () => {
      await using central = await startTestCentral({ storage });
      const { publicKey } = await generateGatewayKey();
      const added = await central.admin<{ signingKey: string }>("POST", "/v1/sites", { name: "plant-b", publicKey });
      const plant = await central.addSite("plant-a");
      const pushed = await central.admin<{ revision: number; digest: string }>("POST", "/v1/sites/plant-a/revisions", {
        files: siteDocuments({ site: "plant-a", send: ["pick.confirmed"] }),
      });
      expect(pushed).toMatchObject({ status: 201, body: { site: "plant-a", revision: 1 } });
      const { body } = await plant.call<{ jws: string; digest: string }>("GET", "bundles/1");
      const { payload, protectedHeader } = await compactVerify(body.jws, await importSPKI(added.body.signingKey, "EdDSA"));
      const key = (await (await fetch(`${central.url}/v1/signing-key`)).json()) as { kid: string; publicKey: string };
      expect(protectedHeader).toEqual({ alg: "EdDSA", kid: key.kid });
      expect(key.publicKey).toBe(added.body.signingKey);
      expect(createHash("sha256").update(payload).digest("hex")).toBe(pushed.body.digest);
      expect(bundle.parse(JSON.parse(Buffer.from(payload).toString()))).toMatchObject({
        site: "plant-a",
        revision: 1,
        grants: { send: ["mfg.pick.confirmed.v1"] },
      });
    });

    it("makes no new revision of the same content, and one of older content: a way back", async () => {
      await using central = await startTestCentral({ storage });
      await central.addSite("plant-a");
      const push = async (send: string[]) =>
        (await central.admin("POST", "/v1/sites/plant-a/revisions", { files: siteDocuments({ site: "plant-a", send }) })).body;
      expect(await push([])).toMatchObject({ revision: 1, created: true });
      expect(await push([])).toMatchObject({ revision: 1, created: false });
      const both = await Promise.all([push(["pick.confirmed"]), push(["pick.confirmed"])]);
      // which of two calls is heard first nobody knows
      expect(both.toSorted((one, other) => Number(other.created) - Number(one.created))).toMatchObject([
        { revision: 2, created: true },
        { revision: 2, created: false },
      ]);
      expect(await push([])).toMatchObject({ revision: 3, created: true });
    });

    it("answers with every problem of the documents, and changes nothing", async () => {
      await using central = await startTestCentral({ storage });
      const plant = await central.addSite("plant-a");
      const files = siteDocuments({ site: "plant-a", send: ["no.such.type"], consumes: [{ type: "also.unknown" }] });
      const pushed = await central.admin<{ problems: { file: string; line: number }[] }>("POST", "/v1/sites/plant-a/revisions", {
        files,
      });
      expect(pushed).toMatchObject({ status: 422, body: { code: "invalid" } });
      expect(pushed.body.problems.length).toBeGreaterThan(1);
      expect(pushed.body.problems[0]).toMatchObject({
        file: expect.any(String),
        line: expect.any(Number),
        message: expect.any(String),
      });
      expect((await plant.call("GET", "bundles/1")).status).toBe(404);
      expect((await central.admin("POST", "/v1/sites/nowhere/revisions", { files })).body.code).toBe("site-unknown");
      expect((await central.admin("POST", "/v1/sites/plant-a/revisions", { files: [] })).body.code).toBe("invalid");
    });
  });

  describe("sites", () => {
    it("pins a site to its first key", async () => {
      await using central = await startTestCentral({ storage });
      const [first, second] = [await generateGatewayKey(), await generateGatewayKey()];
      const add = async (publicKey: string, name = "plant-a") => central.admin("POST", "/v1/sites", { name, publicKey });
      expect((await add(first.publicKey)).status).toBe(201);
      expect((await add(first.publicKey)).status).toBe(200);
      expect(await add(second.publicKey)).toMatchObject({ status: 409, body: { code: "conflict" } });
      expect((await add("no key")).body.code).toBe("invalid");
      expect((await add(first.publicKey, "Bad Name/..")).body.code).toBe("invalid");
      await central.admin("POST", "/v1/sites/plant-a/revoke");
      expect((await add(first.publicKey)).body.code).toBe("conflict");
      expect((await add(second.publicKey)).status).toBe(201);
    });
  });

  describe("who may", () => {
    it("lets nobody in without the admin token or a session", async () => {
      await using central = await startTestCentral({ storage });
      for (const path of [
        "/v1/sites",
        "/v1/orders",
        "/v1/orders/x",
        "/v1/messages",
        "/v1/completeness?site=x",
        "/v1/events",
        "/v1/quarantine",
        "/v1/exceptions",
      ]) {
        const answer = await fetch(central.url + path);
        expect([path, answer.status, ((await answer.json()) as { code: string }).code]).toEqual([path, 401, "not-signed"]);
        expect((await fetch(central.url + path, { headers: { authorization: "Bearer wrong" } })).status).toBe(401);
      }
      for (const path of ["/v1/sites", "/v1/sites/x/revoke", "/v1/sites/x/revisions", "/v1/users", "/v1/tokens"]) {
        expect((await fetch(central.url + path, { method: "POST" })).status).toBe(401);
      }
      const gateway = await central.addSite("plant-a");
      const read = await fetch(`${central.url}/v1/sites`, { headers: { authorization: `Bearer ${await gateway.token()}` } });
      expect(read.status).toBe(401);
      expect((await fetch(`${central.url}/health`)).status).toBe(200);
    });

    it("signs a browser in once per link, by a cookie that no script and no other site's page gets", async () => {
      await using central = await startTestCentral({ storage });
      await central.admin("POST", "/v1/users", { name: "anna", roles: ["viewer"] });
      const { body } = await central.admin<{ url: string }>("POST", "/v1/users/anna/links", {});
      const looked = await fetch(body.url, { method: "HEAD", redirect: "manual" });
      expect([looked.status, looked.headers.get("set-cookie")]).toEqual([204, null]);
      const signin = await fetch(body.url, { redirect: "manual" });
      expect([signin.status, signin.headers.get("location")]).toEqual([302, "/"]);
      const cookie = signin.headers.get("set-cookie") ?? "";
      expect(cookie).toMatch(/HttpOnly/);
      expect(cookie).toMatch(/SameSite=Strict/);
      const headers = { cookie: cookie.split(";")[0] ?? "" };
      expect((await fetch(`${central.url}/v1/sites`, { headers })).status).toBe(200);
      const changed = await fetch(`${central.url}/v1/sites/x/revoke`, { method: "POST", headers });
      expect([changed.status, ((await changed.json()) as { code: string }).code]).toEqual([403, "not-allowed"]);
      expect((await fetch(body.url, { redirect: "manual" })).status).toBe(401);
      await central.restart();
      expect((await fetch(`${central.url}/v1/sites`, { headers })).status).toBe(200);
    });

    it("keeps its secrets in files of its user alone", async () => {
      await using central = await startTestCentral({ storage });
      for (const file of ["admin.token", "signing-key.json"]) expect(statSync(join(central.dataDir, file)).mode & 0o077).toBe(0);
    });
  });

  describe("the console", () => {
    it("serves files, its page for paths of its own, problems for unknown calls, and headers that forbid foreign scripts", async () => {
      const consoleDir = mkdtempSync(join(tmpdir(), "plantgate-console-"));
      writeFileSync(join(consoleDir, "index.html"), "<!doctype html><title>console</title>");
      writeFileSync(join(consoleDir, "app.js"), "export {};");
      try {
        await using central = await startTestCentral({ storage, consoleDir });
        const get = async (path: string) => {
          const answer = await fetch(central.url + path);
          return {
            status: answer.status,
            type: answer.headers.get("content-type") ?? "",
            text: await answer.text(),
            csp: answer.headers.get("content-security-policy") ?? "",
          };
        };
        expect(await get("/")).toMatchObject({ status: 200, text: expect.stringContaining("console") });
        expect(await get("/app.js")).toMatchObject({ status: 200, type: expect.stringContaining("javascript") });
        expect(await get("/orders/WH%2FMO%2F1")).toMatchObject({ status: 200, text: expect.stringContaining("console") });
        expect((await get("/")).csp).toContain("default-src 'self'");
        expect((await get("/")).csp).toContain("frame-ancestors 'none'");
        expect(await get("/v1/nothing")).toMatchObject({ status: 404, type: "application/problem+json" });
        expect((await get("/..%2f..%2fetc%2fpasswd")).text).not.toContain("root:");
      } finally {
        rmSync(consoleDir, { recursive: true });
      }
    });

    it("streams the sites when something changed", async () => {
      await using central = await startTestCentral({ storage });
      const answer = await fetch(`${central.url}/v1/events`, { headers: { authorization: `Bearer ${central.adminToken}` } });
      const reader = (answer.body as ReadableStream<Uint8Array>).getReader();
      const decoder = new TextDecoder();
      const nextEvent = async (holds: (text: string) => boolean) => {
        let text = "";
        while (!holds(text)) {
          const { value, done } = await reader.read();
          if (done) throw new Error(`the stream ended: ${text}`);
          text += decoder.decode(value, { stream: true });
        }
        return text;
      };
      expect(await nextEvent((text) => text.includes("\n\n"))).toContain("event: sites");
      await central.addSite("plant-new");
      expect(await nextEvent((text) => text.includes("plant-new"))).toContain('"condition":"new"');
      await reader.cancel();
    });
  });
});
