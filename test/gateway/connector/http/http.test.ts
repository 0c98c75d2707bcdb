import { createHmac } from "node:crypto";
import { describe, expect, it } from "vitest";
import type { Outbound, WebhookHost, Wiring } from "../../../../gateway/connector/connector.ts";
import { httpKind } from "../../../../gateway/connector/http/kind.ts";
import { openListener } from "../../../../gateway/http/listener.ts";
import { type Logger, openLogger } from "../../../../gateway/telemetry/logger.ts";
import { type Clock, type HttpConnectorConfig, systemClock } from "../../../../protocol/index.ts";
import { connectorDeps } from "../../../support/connector-deps.ts";
import { startHttpPeer } from "../../../support/http-peer.ts";
import { freePort } from "../../../support/mosquitto.ts";
import { until } from "../../../support/process.ts";
import { RecordingInlet } from "../../../support/recording-inlet.ts";

const never = new AbortController().signal;

async function startConnector(options: {
  url?: string;
  config?: Partial<HttpConnectorConfig>;
  wiring?: Partial<Wiring>;
  inlet?: RecordingInlet;
  webhooks?: WebhookHost;
  clock?: Clock | undefined;
  log?: Logger;
  secrets?: Record<string, string>;
}) {
  const inlet = options.inlet ?? new RecordingInlet();
  const config: HttpConnectorConfig = { type: "http", url: options.url, timeout: "15s", ...options.config };
  const secrets = options.secrets ?? { token: "t0ken", hook: "hook-secret" };
  const deps = connectorDeps({ name: "scheduler", config, inlet, wiring: options.wiring, secrets, webhooks: options.webhooks });
  const { clock = deps.clock, log = deps.log } = options;
  const connector = httpKind.create({ ...deps, clock, log });
  await connector.start(never);
  return { inlet, connector, [Symbol.asyncDispose]: () => connector.stop() };
}

const order = (path = "/orders"): Outbound => ({
  kind: "post",
  path,
  body: Buffer.from('{"order":"hq-mo-42"}'),
  idempotencyKey: "release/hq-mo-42/1",
  event: { id: "m1" } as Outbound["event"],
  key: "hq-mo-42",
  attempt: 1,
});

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

describe("webhooks", () => {
  const verify = { hmac: { secret: "hook", header: "X-Signature" } };
  const signed = (body: string) => ({
    "x-signature": `sha256=${createHmac("sha256", "hook-secret").update(body).digest("hex")}`,
  });
  const body = '{"revision": 12 }';

  async function startHook(
    inlet = new RecordingInlet(),
    clock?: Clock,
    log?: Logger,
    wanted: Wiring["webhooks"] = [{ webhook: "/schedule", verify }],
  ) {
    const listener = await openListener({
      host: "127.0.0.1",
      port: 0,
      log: openLogger({ level: "silent", site: "lyon" }),
      health: () => ({}),
    });
    const http = await startConnector({
      inlet,
      webhooks: listener.host,
      wiring: { webhooks: wanted },
      clock,
      log,
    });
    const call = (headers: Record<string, string>) =>
      fetch(`${listener.url}/in/scheduler/schedule`, { method: "POST", body, headers });
    const stop = async () => {
      await http.connector.stop();
      await listener.close();
    };
    return { ...http, listener, call, [Symbol.asyncDispose]: stop };
  }

  it("answers 404 where only a flow in shadow takes the path, which looks at it all the same", async () => {
    await using hook = await startHook(undefined, undefined, undefined, [{ webhook: "/schedule", verify, shadow: true }]);
    expect((await hook.call({})).status).toBe(401);
    const answer = await hook.call(signed(body));
    expect(answer.status).toBe(404);
    expect(await answer.json()).toMatchObject({ code: "not-found", detail: expect.stringContaining("nothing was kept") });
    expect(hook.inlet.accepted).toHaveLength(1);
  });

  it("answers what the live flow says, whatever a flow in shadow asks of the same path", async () => {
    const other = { hmac: { secret: "token", header: "X-Other" } };
    await using hook = await startHook(undefined, undefined, undefined, [
      { webhook: "/schedule", verify },
      { webhook: "/schedule", verify: other, shadow: true },
    ]);
    expect((await hook.call(signed(body))).status).toBe(202);
    expect((await hook.call({})).status).toBe(401);
  });

  it("are answered 202, with an id, only when the message is flushed (P1)", async () => {
    await using hook = await startHook();
    const flush = hook.inlet.close();
    let answered = false;
    const answer = hook.call(signed(body)).then((response) => {
      answered = true;
      return response;
    });
    await until(
      () => hook.inlet.calls.length,
      (calls) => calls === 1,
    );
    expect((await hook.call({})).status).toBe(401);
    expect(answered).toBe(false);
    flush();
    const response = await answer;
    expect(response.status).toBe(202);
    expect(await response.json()).toEqual({ id: expect.any(String) });
    expect(hook.inlet.accepted[0]?.origin).toEqual({ kind: "webhook", path: "/schedule" });
    expect(hook.inlet.bodies).toEqual([body]);
  });

  it("are told in the log once, however many come without a signature", async () => {
    const lines: string[] = [];
    const log = openLogger({ level: "warn", site: "lyon", destination: { write: (line: string) => void lines.push(line) } });
    await using hook = await startHook(undefined, undefined, log);
    for (let n = 0; n < 50; n++) expect((await hook.call({})).status).toBe(401);
    expect(lines.filter((line) => line.includes("http.webhook.refused"))).toHaveLength(1);
    await hook.connector.stop();
    const [, rest] = lines.filter((line) => line.includes("http.webhook.refused"));
    expect(JSON.parse(rest ?? "{}")).toMatchObject({ again: 49 });
  });

  it("are refused with 401 without a signature, and with a wrong one", async () => {
    await using hook = await startHook();
    const wrong: Record<string, string>[] = [{}, { "x-signature": "sha256=00" }, signed(`${body} `)];
    for (const headers of wrong) {
      const response = await hook.call(headers);
      expect(response.status).toBe(401);
      expect(await response.json()).toMatchObject({ status: 401, detail: expect.stringContaining("X-Signature") });
    }
    expect(hook.inlet.calls).toEqual([]);
  });

  it.each(["QUEUE_FULL", "STOPPED", "DISK_FAILED"] as const)(
    "are answered 503 with Retry-After at %s: nothing was kept",
    async (failure) => {
      await using hook = await startHook();
      hook.inlet.failure = failure;
      const response = await hook.call(signed(body));
      expect(response.status).toBe(503);
      expect(Number(response.headers.get("retry-after"))).toBeGreaterThan(0);
    },
  );

  it("are shown as refused, and why, until one is taken again (P6)", async () => {
    await using hook = await startHook();
    hook.inlet.failure = "QUEUE_FULL";
    expect((await hook.call(signed(body))).status).toBe(503);
    expect(hook.connector.report()).toMatchObject({ state: "degraded", reason: expect.stringContaining("the queue is full") });
    hook.inlet.failure = undefined;
    expect((await hook.call(signed(body))).status).toBe(202);
    expect(hook.connector.report()).toMatchObject({ state: "up", connects: 1 });
  });

  it("are not shown as refused for ever when nobody asks again", async () => {
    let now = 0;
    let wake = (): void => {};
    const clock: Clock = {
      now: () => 0,
      monotonic: () => now,
      sleep: (_ms, signal) =>
        new Promise((resolve) => {
          wake = resolve;
          signal?.addEventListener("abort", () => resolve());
        }),
    };
    await using hook = await startHook(new RecordingInlet(), clock);
    hook.inlet.failure = "QUEUE_FULL";
    for (const at of [0, 10_000]) {
      now = at;
      expect((await hook.call(signed(body))).status).toBe(503);
    }
    now = 20_000;
    wake();
    await new Promise((resolve) => setImmediate(resolve));
    expect(hook.connector.report()).toMatchObject({ state: "degraded" });
    now = 26_000;
    wake();
    await until(
      () => hook.connector.report(),
      ({ state }) => state === "up",
    );
  });

  it("are not served any more once the connector stops: 404, but 503 while a configuration is on its way in or out", async () => {
    await using hook = await startHook();
    await hook.connector.stop();
    const during = await hook.call(signed(body));
    expect([during.status, during.headers.get("retry-after")]).toEqual([503, "2"]);
    hook.listener.settled(true);
    expect((await hook.call(signed(body))).status).toBe(404);
    expect(hook.connector.report().state).toBe("stopped");
  });
});

describe("polling", () => {
  const poll = { flow: "schedule", poll: "/schedule?after={cursor}", every: "20ms", cursor: "revision", start: "0" };

  it("asks from the start, then from the flushed cursor, at once while there is news", async () => {
    const inlet = new RecordingInlet();
    inlet.onAccepted = ([input]) => {
      inlet.cursors.set("poll/schedule", String(JSON.parse(Buffer.from(input?.body ?? []).toString()).revision));
      return undefined;
    };
    await using peer = await startHttpPeer((call, response) => {
      const after = Number(new URL(call.path, "http://x").searchParams.get("after"));
      if (after >= 3) response.writeHead(204).end();
      else response.end(JSON.stringify({ revision: after + 1 }));
    });
    await using http = await startConnector({ url: peer.url, inlet, wiring: { polls: [{ ...poll, every: "1h" }] } });
    await until(
      () => peer.calls.length,
      (calls) => calls === 4,
    );
    expect(peer.calls.map(({ path }) => path)).toEqual(["0", "1", "2", "3"].map((after) => `/schedule?after=${after}`));
    expect(inlet.accepted.map(({ origin }) => origin)).toEqual(Array(3).fill({ kind: "poll", flow: "schedule" }));
    await until(
      () => http.connector.report(),
      ({ state }) => state === "up",
    );
  });

  it.each([
    [1, "bring nothing new", 0],
    [100, "bring something new", 1],
  ])(
    "asks at most %i times before it waits, where answers with a cursor that always moves %s",
    async (count, _what, recorded) => {
      const inlet = new RecordingInlet();
      inlet.onAccepted = () => {
        inlet.cursors.set("poll/schedule", String(inlet.calls.length));
        return { recorded };
      };
      const sleeps: number[] = [];
      const clock: Clock = {
        ...systemClock,
        sleep: (ms, signal) => {
          sleeps.push(ms);
          return new Promise((resolve) => signal?.addEventListener("abort", () => resolve()));
        },
      };
      await using peer = await startHttpPeer((_call, response) => response.end("{}"));
      await using _http = await startConnector({ url: peer.url, inlet, wiring: { polls: [{ ...poll, every: "30s" }] }, clock });
      await until(
        () => sleeps.length,
        (length) => length > 0,
      );
      expect(sleeps).toEqual([30_000]);
      expect(peer.calls).toHaveLength(count);
    },
  );

  it("goes on from the cursor after a restart, encoded for the address", async () => {
    const inlet = new RecordingInlet();
    inlet.cursors.set("poll/schedule", "a&b=c");
    await using peer = await startHttpPeer((_call, response) => response.writeHead(204).end());
    await using _http = await startConnector({ url: peer.url, inlet, wiring: { polls: [poll] } });
    await until(
      () => peer.calls.length,
      (calls) => calls > 0,
    );
    expect(peer.calls[0]?.path).toBe("/schedule?after=a%26b%3Dc");
  });

  it("asks the same again when the answer could not be kept", async () => {
    const inlet = new RecordingInlet();
    inlet.failure = "QUEUE_FULL";
    await using peer = await startHttpPeer((_call, response) => response.end('{"revision":1}'));
    await using http = await startConnector({ url: peer.url, inlet, wiring: { polls: [poll] } });
    await until(
      () => http.connector.report(),
      ({ state }) => state === "degraded",
    );
    inlet.failure = undefined;
    await until(
      () => inlet.bodies.length,
      (count) => count > 0,
    );
    expect(new Set(peer.calls.map(({ path }) => path))).toEqual(new Set(["/schedule?after=0"]));
    await until(
      () => http.connector.report(),
      ({ state }) => state === "up",
    );
  });

  it("makes one dead letter, not one a poll, of an answer that cannot be used", async () => {
    const inlet = new RecordingInlet();
    inlet.onAccepted = () => ({ deadLetterIds: ["d1"] });
    await using peer = await startHttpPeer((_call, response) => response.end("not JSON"));
    await using http = await startConnector({ url: peer.url, inlet, wiring: { polls: [poll] } });
    await until(
      () => peer.calls.length,
      (calls) => calls >= 5,
    );
    expect(inlet.calls.length).toBe(1);
    expect(http.connector.report()).toMatchObject({ state: "degraded" });
  });

  it("that hang do not stand for a peer that is away: deliveries go on", async () => {
    await using peer = await startHttpPeer((call, response) => call.method === "POST" && response.writeHead(202).end());
    await using http = await startConnector({ url: peer.url, config: { timeout: "100ms" }, wiring: { polls: [poll] } });
    const report = await until(
      () => http.connector.report(),
      ({ state }) => state !== "starting",
    );
    expect(report).toMatchObject({ state: "degraded", reason: expect.stringContaining("poll of schedule") });
  });

  it("that could not be sent say that the peer is away, until it answers something", async () => {
    await using peer = await startHttpPeer((_call, response) => response.writeHead(202).end());
    const outside = { ...poll, poll: "/../elsewhere", every: "1h" };
    const clock: Clock = {
      ...systemClock,
      sleep: (_ms, signal) => new Promise((resolve) => signal?.addEventListener("abort", () => resolve())),
    };
    await using http = await startConnector({ url: `${peer.url}/api`, wiring: { polls: [outside] }, clock });
    await until(
      () => http.connector.report(),
      ({ state }) => state === "down",
    );
    expect(await http.connector.deliver?.(order(), never)).toMatchObject({ kind: "done" });
    expect(http.connector.report()).toMatchObject({ state: "degraded", reason: expect.stringContaining("poll of schedule") });
  });

  it("shows an error of the peer, and recovers by itself", async () => {
    let status = 500;
    await using peer = await startHttpPeer((_call, response) => response.writeHead(status).end());
    await using http = await startConnector({ url: peer.url, wiring: { polls: [poll] } });
    const report = await until(
      () => http.connector.report(),
      ({ state }) => state === "degraded",
    );
    expect(report.reason).toContain("HTTP 500");
    status = 204;
    await until(
      () => http.connector.report(),
      ({ state }) => state === "up",
    );
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
