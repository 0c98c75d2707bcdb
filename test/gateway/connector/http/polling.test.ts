import { describe, expect, it } from "vitest";
import { type Clock, systemClock } from "../../../../protocol/index.ts";
import { startHttpPeer } from "../../../support/http-peer.ts";
import { until } from "../../../support/process.ts";
import { RecordingInlet } from "../../../support/recording-inlet.ts";
import { never, order, startConnector } from "./harness.ts";

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
