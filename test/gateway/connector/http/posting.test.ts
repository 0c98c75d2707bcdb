import { describe, expect, it } from "vitest";
import { startHttpPeer } from "../../../support/http-peer.ts";
import { freePort } from "../../../support/mosquitto.ts";
import { until } from "../../../support/process.ts";
import { never, order, startConnector } from "./harness.ts";

describe("posting", () => {
  it("sends the body with its idempotency key and the token", async () => {
    await using peer = await startHttpPeer((_call, response) => response.writeHead(202).end());
    await using http = await startConnector({ url: `${peer.url}/api`, config: { auth: { bearer: { secret: "token" } } } });
    expect(await http.connector.deliver?.(order(), never)).toMatchObject({ kind: "done" });
    const [call] = peer.calls;
    expect(call).toMatchObject({ method: "POST", path: "/api/orders", body: '{"order":"hq-mo-42"}' });
    expect(call?.headers).toMatchObject({
      "idempotency-key": "release/hq-mo-42/1",
      "content-type": "application/json",
      authorization: "Bearer t0ken",
    });
  });

  it.each([408, 425, 429, 500, 503])("tries again after HTTP %i, when the peer says", async (status) => {
    await using peer = await startHttpPeer((_call, response) => response.writeHead(status, { "retry-after": "7" }).end("later"));
    await using http = await startConnector({ url: peer.url });
    expect(await http.connector.deliver?.(order(), never)).toMatchObject({ kind: "retry", afterMs: 7000 });
  });

  it("tries again after HTTP 401, and is down: the peer does not take the gateway's token", async () => {
    let asked = 0;
    await using peer = await startHttpPeer((_call, response) => response.writeHead(asked++ === 0 ? 401 : 202).end("expired"));
    await using http = await startConnector({ url: peer.url });
    const denied = { kind: "retry", reason: expect.stringMatching("HTTP 401.*expired") };
    expect(await http.connector.deliver?.(order(), never)).toMatchObject(denied);
    expect(http.connector.report()).toMatchObject({ state: "down", reason: expect.stringContaining("HTTP 401") });
    expect(await http.connector.deliver?.(order(), never)).toMatchObject({ kind: "done" });
    expect(http.connector.report()).toMatchObject({ state: "up" });
  });

  it.each([403, 302, 307])("tries again after HTTP %i, which may concern one message, or all", async (status) => {
    await using peer = await startHttpPeer((call, response) => response.writeHead(call.path === "/ok" ? 202 : status).end());
    await using http = await startConnector({ url: peer.url });
    const send = (path: string, key: string) => http.connector.deliver?.({ ...order(path), key }, never);
    const state = () => http.connector.report().state;
    const denied = { kind: "retry", unanswered: true };
    expect([await send("/orders", "a"), state()]).toMatchObject([denied, "degraded"]);
    expect([await send("/ok", "b"), state()]).toMatchObject([{ kind: "done" }, "up"]);
    expect([await send("/orders", "a"), state()]).toMatchObject([denied, "degraded"]);
    expect([await send("/orders", "c"), state()]).toMatchObject([denied, "down"]);
  });

  it("is down for want of a token that is taken, though the peer's health is good, until one is", async () => {
    let lets = false;
    await using peer = await startHttpPeer((call, response) =>
      response.writeHead(call.method === "GET" || lets ? 200 : 401).end(),
    );
    await using http = await startConnector({ url: peer.url, config: { health: { path: "/health", every: "20ms" } } });
    await until(
      () => http.connector.report(),
      ({ state }) => state === "up",
    );
    expect(await http.connector.deliver?.(order(), never)).toMatchObject({ kind: "retry" });
    const looks = peer.calls.length;
    await until(
      () => peer.calls.length,
      (count) => count > looks + 2,
    );
    expect(http.connector.report()).toMatchObject({ state: "down" });
    lets = true;
    expect(await http.connector.deliver?.(order(), never)).toMatchObject({ kind: "done" });
    expect(http.connector.report()).toMatchObject({ state: "up" });
  });

  it("uses a new token at once, and sends nothing without one", async () => {
    const secrets: Record<string, string> = { token: "old" };
    await using peer = await startHttpPeer((_call, response) => response.writeHead(202).end());
    await using http = await startConnector({ url: peer.url, secrets, config: { auth: { bearer: { secret: "token" } } } });
    secrets.token = "new";
    expect(await http.connector.deliver?.(order(), never)).toMatchObject({ kind: "done" });
    secrets.token = "";
    expect(await http.connector.deliver?.(order(), never)).toMatchObject({
      kind: "retry",
      reason: expect.stringContaining("auth.bearer is no token"),
    });
    expect(http.connector.report()).toMatchObject({ state: "down" });
    expect(peer.calls.map(({ headers }) => headers.authorization)).toEqual(["Bearer new"]);
  });

  it.each([400, 404, 409, 422])("is refused by HTTP %i, with the beginning of the answer as the reason", async (status) => {
    await using peer = await startHttpPeer((_call, response) =>
      response.writeHead(status).end(`no such item ${"x".repeat(1000)}`),
    );
    await using http = await startConnector({ url: peer.url });
    const outcome = await http.connector.deliver?.(order(), never);
    expect(outcome).toMatchObject({ kind: "refused", reason: expect.stringContaining("no such item") });
    expect(outcome?.kind === "refused" && outcome.reason.length).toBeLessThan(320);
  });

  it("does not follow a redirect, so that the token stays with the peer", async () => {
    await using other = await startHttpPeer((_call, response) => response.end());
    await using peer = await startHttpPeer((_call, response) => response.writeHead(307, { location: other.url }).end());
    await using http = await startConnector({ url: peer.url });
    expect(await http.connector.deliver?.(order(), never)).toMatchObject({
      kind: "retry",
      reason: expect.stringContaining("HTTP 307"),
    });
    expect(other.calls).toEqual([]);
  });

  it("tries again when nobody listens: nothing was sent", async () => {
    await using http = await startConnector({ url: `http://127.0.0.1:${await freePort()}` });
    expect(await http.connector.deliver?.(order(), never)).toMatchObject({ kind: "retry" });
    expect(http.connector.report()).toMatchObject({ state: "down" });
  });

  it("is unknown when the connection is reset after it was sent", async () => {
    await using peer = await startHttpPeer((_call, response) => response.socket?.resetAndDestroy());
    await using http = await startConnector({ url: peer.url });
    expect(await http.connector.deliver?.(order(), never)).toMatchObject({ kind: "unknown" });
  });

  it("is unknown when the answer does not come in time", async () => {
    await using peer = await startHttpPeer(() => {});
    await using http = await startConnector({ url: peer.url, config: { timeout: "100ms" } });
    expect(await http.connector.deliver?.(order(), never)).toMatchObject({ kind: "unknown" });
    expect(peer.calls.length).toBe(1);
  });

  it("is down when a second key is not answered either, not by one message that breaks it", async () => {
    await using peer = await startHttpPeer((call, response) =>
      call.path === "/ok" ? response.end() : response.socket?.resetAndDestroy(),
    );
    await using http = await startConnector({ url: peer.url });
    const send = (path: string, key: string) => http.connector.deliver?.({ ...order(path), key }, never);
    const [state, unanswered] = [() => http.connector.report().state, { kind: "unknown", unanswered: true }];
    expect([await send("/orders", "a"), state()]).toMatchObject([unanswered, "degraded"]);
    expect([await send("/orders", "a"), state()]).toMatchObject([unanswered, "degraded"]);
    expect([await send("/ok", "b"), state()]).toMatchObject([{ kind: "done" }, "up"]);
    expect([await send("/orders", "a"), state()]).toMatchObject([unanswered, "degraded"]);
    expect([await send("/orders", "c"), state()]).toMatchObject([unanswered, "down"]);
  });

  it("does not leave the peer's base address", async () => {
    await using peer = await startHttpPeer((_call, response) => response.end());
    await using http = await startConnector({ url: `${peer.url}/api` });
    for (const path of ["/../admin", "/%2e%2e/admin", "/..\\admin"])
      expect(await http.connector.deliver?.(order(path), never)).toMatchObject({ kind: "refused" });
    expect(peer.calls).toEqual([]);
  });
});

describe("health", () => {
  it("says whether the peer is up, and why not", async () => {
    let status = 200;
    await using peer = await startHttpPeer((_call, response) => response.writeHead(status).end());
    await using http = await startConnector({ url: peer.url, config: { health: { path: "/health", every: "20ms" } } });
    await until(
      () => http.connector.report(),
      ({ state }) => state === "up",
    );
    status = 503;
    const report = await until(
      () => http.connector.report(),
      ({ state }) => state === "down",
    );
    expect(report.reason).toContain("/health answers HTTP 503");
    status = 200;
    await until(
      () => http.connector.report(),
      ({ state }) => state === "up",
    );
    expect(http.connector.report().connects).toBe(2);
  });

  it("is up without an address of its own, when the peer only calls", async () => {
    await using http = await startConnector({});
    expect(http.connector.report().state).toBe("up");
  });
});
