import { connect } from "node:net";
import { expect, it } from "vitest";
import { maxBodyBytes } from "../../../gateway/http/bodies.ts";
import { type Listener, openListener } from "../../../gateway/http/listener.ts";
import { openLogger } from "../../../gateway/telemetry/logger.ts";
import { until } from "../../support/process.ts";

const log = openLogger({ level: "silent", site: "lyon" });

async function open(health: () => object = () => ({ site: "lyon" }), most?: number): Promise<Listener & AsyncDisposable> {
  const listener = await openListener({ host: "127.0.0.1", port: 0, log, health, most });
  listener.settled(true);
  return { ...listener, [Symbol.asyncDispose]: () => listener.close() };
}

it("answers the health of the gateway", async () => {
  await using listener = await open(() => ({ site: "lyon", link: "online" }));
  const response = await fetch(`${listener.url}/health`);
  expect(response.status).toBe(200);
  expect(await response.json()).toEqual({ site: "lyon", link: "online" });
});

it("hands a webhook its raw body and headers, and passes its answer on", async () => {
  await using listener = await open();
  listener.host.mount("scheduler", "/schedule", async ({ headers, body }) => ({
    status: 202,
    body: { id: `${headers.get("x-signature")} ${Buffer.from(body)}` },
  }));
  const response = await fetch(`${listener.url}/in/scheduler/schedule`, {
    method: "POST",
    body: '{"a": 1 }',
    headers: { "x-signature": "s" },
  });
  expect(response.status).toBe(202);
  expect(await response.json()).toEqual({ id: 's {"a": 1 }' });
});

it("passes Retry-After on, with problem details", async () => {
  await using listener = await open();
  listener.host.mount("scheduler", "/schedule", async () => ({ status: 503, body: { code: "busy" }, retryAfterSeconds: 5 }));
  const response = await fetch(`${listener.url}/in/scheduler/schedule`, { method: "POST", body: "{}" });
  expect(response.status).toBe(503);
  expect(response.headers.get("retry-after")).toBe("5");
  expect(response.headers.get("content-type")).toBe("application/problem+json");
});

it("serves a webhook no more once it is taken down, and lets the same path be taken again", async () => {
  await using listener = await open();
  const accept = async () => ({ status: 202 as const, body: {} });
  const unmount = listener.host.mount("scheduler", "/schedule", accept);
  expect(() => listener.host.mount("scheduler", "/schedule", accept)).toThrow(/taken/);
  unmount();
  expect((await fetch(`${listener.url}/in/scheduler/schedule`, { method: "POST", body: "{}" })).status).toBe(404);
  listener.host.mount("scheduler", "/schedule", accept);
  expect((await fetch(`${listener.url}/in/scheduler/schedule`, { method: "POST", body: "{}" })).status).toBe(202);
});

it("lets a caller wait until it knows its configuration: only then is a path unknown", async () => {
  await using listener = await openListener({ host: "127.0.0.1", port: 0, log, health: () => ({}) }).then((open) => ({
    ...open,
    [Symbol.asyncDispose]: () => open.close(),
  }));
  const before = await fetch(`${listener.url}/in/scheduler/schedule`, { method: "POST", body: "{}" });
  expect([before.status, Number(before.headers.get("retry-after")) > 0]).toEqual([503, true]);
  listener.settled(true);
  expect((await fetch(`${listener.url}/in/scheduler/schedule`, { method: "POST", body: "{}" })).status).toBe(404);
});

it("answers what it does not know with problem details", async () => {
  await using listener = await open();
  for (const [path, init] of [
    ["/", {}],
    ["/in/scheduler/schedule", { method: "POST", body: "{}" }],
  ] as const) {
    const response = await fetch(`${listener.url}${path}`, init);
    expect(response.status).toBe(404);
    expect(await response.json()).toMatchObject({ type: "urn:plantgate:problem:not-found", status: 404 });
  }
});

it("refuses a body over the hard limit with 413, announced or not, and never hands it on", async () => {
  await using listener = await open();
  let calls = 0;
  listener.host.mount("scheduler", "/schedule", async () => {
    calls += 1;
    return { status: 202, body: {} };
  });
  const url = `${listener.url}/in/scheduler/schedule`;
  const announced = await fetch(url, { method: "POST", body: new Uint8Array(maxBodyBytes + 1) });
  expect(announced.status).toBe(413);
  expect(await announced.json()).toMatchObject({ type: "urn:plantgate:problem:too-large" });
  const chunks = new ReadableStream<Uint8Array>({
    pull(controller) {
      controller.enqueue(new Uint8Array(1024 * 1024));
      if (++sent > 17) controller.close();
    },
  });
  let sent = 0;
  const streamed = await fetch(url, { method: "POST", body: chunks, duplex: "half" } as RequestInit);
  expect(streamed.status).toBe(413);
  expect(calls).toBe(0);
});

it("takes a body of exactly the limit", async () => {
  await using listener = await open();
  let size = 0;
  listener.host.mount("scheduler", "/schedule", async ({ body }) => {
    size = body.byteLength;
    return { status: 202, body: {} };
  });
  const response = await fetch(`${listener.url}/in/scheduler/schedule`, { method: "POST", body: new Uint8Array(maxBodyBytes) });
  expect(response.status).toBe(202);
  expect(size).toBe(maxBodyBytes);
});

it("hides the reason of a failure inside from the caller", async () => {
  await using listener = await open(() => {
    throw new Error("secret of the house");
  });
  const response = await fetch(`${listener.url}/health`);
  expect(response.status).toBe(500);
  expect(await response.text()).not.toContain("secret");
});

it("has a limited number of connections: those that ask nothing give way, those with a request under way stay", async () => {
  const most = 20;
  await using listener = await open(undefined, most);
  const answer = Promise.withResolvers<void>();
  const called = Promise.withResolvers<void>();
  listener.host.mount("scheduler", "/schedule", async () => {
    called.resolve();
    await answer.promise;
    return { status: 202, body: {} };
  });
  const slow = fetch(`${listener.url}/in/scheduler/schedule`, { method: "POST", body: "{}" });
  await called.promise;
  const sockets = Array.from({ length: 10 * most }, () => {
    const socket = connect(Number(new URL(listener.url).port), "127.0.0.1");
    socket.on("error", () => {});
    return socket;
  });
  try {
    await until(
      () => sockets.filter(({ closed }) => closed).length,
      (closed) => closed > 9 * most,
    );
    expect((await fetch(`${listener.url}/health`)).status).toBe(200);
    answer.resolve();
    expect((await slow).status).toBe(202);
  } finally {
    for (const socket of sockets) socket.destroy();
  }
});

it("closes while a client keeps its connection open", async () => {
  const listener = await openListener({ host: "127.0.0.1", port: 0, log, health: () => ({}) });
  const socket = connect(Number(new URL(listener.url).port), "127.0.0.1");
  await new Promise((resolve) => socket.once("connect", resolve));
  socket.on("error", () => {});
  await listener.close();
  socket.destroy();
  await expect(fetch(`${listener.url}/health`)).rejects.toThrow();
});

it("says which address it cannot listen on", async () => {
  await using listener = await open();
  const port = Number(new URL(listener.url).port);
  await expect(openListener({ host: "127.0.0.1", port, log, health: () => ({}) })).rejects.toMatchObject({
    code: "CONFIG_INVALID",
  });
});
