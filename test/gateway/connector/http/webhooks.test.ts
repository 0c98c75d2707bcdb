import { createHmac } from "node:crypto";
import { describe, expect, it } from "vitest";
import type { Wiring } from "../../../../gateway/connector/connector.ts";
import { openListener } from "../../../../gateway/http/listener.ts";
import { type Logger, openLogger } from "../../../../gateway/telemetry/logger.ts";
import type { Clock } from "../../../../protocol/index.ts";
import { until } from "../../../support/process.ts";
import { RecordingInlet } from "../../../support/recording-inlet.ts";
import { startConnector } from "./harness.ts";

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
