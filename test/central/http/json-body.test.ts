import { once } from "node:events";
import { type ClientRequest, type IncomingMessage, request } from "node:http";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startTestCentral, type TestCentral } from "../../support/central.ts";
import type { TestGateway } from "../../support/gateway-client.ts";

describe("a body of JSON", () => {
  let central: TestCentral;
  let plant: TestGateway;
  beforeAll(async () => {
    central = await startTestCentral();
    plant = await central.addSite("plant-a");
    await plant.hello();
  });
  afterAll(() => central[Symbol.asyncDispose]());

  /** Begins a POST whose body is never ended, and gives back what is answered to it. */
  async function begin(
    path: string,
    token: string | undefined,
    headers: Record<string, string>,
  ): Promise<{ status: number; call: ClientRequest }> {
    const authorization = token === undefined ? {} : { authorization: `Bearer ${token}` };
    const call = request(central.url + path, {
      method: "POST",
      headers: { "content-type": "application/json", ...authorization, ...headers },
    });
    call.on("error", () => {});
    call.write(`{"filler":"${"x".repeat(100_000)}`);
    const [answer] = (await once(call, "response", { signal: AbortSignal.timeout(60_000) })) as [IncomingMessage];
    call.destroy();
    return { status: answer.statusCode ?? 0, call };
  }

  it.each([
    "/v1/sites/plant-a/sessions",
    "/v1/sites/plant-a/status",
    "/v1/sites/plant-a/downlink",
    "/v1/sites",
    "/v1/sites/plant-a/revisions",
  ])("of a stranger at %s is answered before it has come, whatever length it says", async (path) => {
    expect((await begin(path, undefined, {})).status).toBe(401);
    expect((await begin(path, undefined, { "content-length": "8000000" })).status).toBe(401);
  });

  it("in chunks is refused before it has come, and so is one that says that it is too long", async () => {
    const token = await plant.token();
    expect((await begin("/v1/sites/plant-a/status", token, {})).status).toBe(422);
    expect((await begin("/v1/sites", central.adminToken, {})).status).toBe(422);
    expect((await begin("/v1/sites/plant-a/status", token, { "content-length": String(8 * 1024 * 1024 + 1) })).status).toBe(413);
  });

  it("waits for what is on its way of its caller, and for nobody else's", async () => {
    const token = await plant.token();
    const headers = { "content-type": "application/json", "content-length": "8000000", authorization: `Bearer ${token}` };
    const slow = request(`${central.url}/v1/sites/plant-a/status`, { method: "POST", headers });
    slow.on("error", () => {});
    slow.write('{"filler":"');
    // its headers are there once another one is refused for it
    await expect
      .poll(async () => (await begin("/v1/sites/plant-a/status", token, { "content-length": "8000000" })).status)
      .toBe(429);
    expect((await plant.status()).status).toBe(200);
    const other = await central.addSite("plant-b");
    expect((await other.hello()).status).toBe(200);
    slow.destroy();
    await expect
      .poll(async () => (await begin("/v1/sites/plant-a/status", token, { "content-length": "9000000" })).status)
      .toBe(413);
  });
});
