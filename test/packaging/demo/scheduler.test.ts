import { createHmac } from "node:crypto";
import { createServer, type IncomingMessage, type Server } from "node:http";
import { expect, it } from "vitest";
import { type Scheduler, startScheduler } from "../../../packaging/demo/simulators/scheduler.ts";
import { entriesOf, order, temporaryFolder, until } from "./systems.ts";

interface Hook {
  readonly url: string;
  readonly calls: { body: string; signature: string | undefined }[];
  stop(): Promise<void>;
}

async function startHook(answer: (call: number) => number): Promise<Hook> {
  const calls: Hook["calls"] = [];
  const server: Server = createServer(async (request: IncomingMessage, response) => {
    const parts: Buffer[] = [];
    for await (const part of request) parts.push(part as Buffer);
    calls.push({ body: Buffer.concat(parts).toString(), signature: request.headers["x-signature"] as string | undefined });
    response.writeHead(answer(calls.length)).end();
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as { port: number };
  return {
    url: `http://127.0.0.1:${port}/in/scheduler/schedule`,
    calls,
    stop: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

const post = (scheduler: Scheduler, id: number, key: string): Promise<Response> =>
  fetch(`${scheduler.url}/orders`, {
    method: "POST",
    headers: { authorization: "Bearer secret", "content-type": "application/json", "idempotency-key": key },
    body: JSON.stringify(order(id)),
  });

it("takes a repeated order without a second effect, and nothing from a stranger", async () => {
  using folder = temporaryFolder();
  const hook = await startHook(() => 202);
  const scheduler = await startScheduler({
    port: 0,
    secret: "secret",
    webhookUrl: hook.url,
    logFile: folder.file("scheduler.jsonl"),
    workCentres: ["PRESS-7"],
  });
  try {
    expect((await post(scheduler, 1, "a")).status).toBe(202);
    expect((await post(scheduler, 1, "a")).status).toBe(202);
    expect((await fetch(`${scheduler.url}/schedule`)).status).toBe(401);
    expect((await fetch(`${scheduler.url}/health`)).status).toBe(200);
  } finally {
    await scheduler.stop();
    await hook.stop();
  }
  expect(entriesOf(folder.file("scheduler.jsonl"))).toMatchObject([
    { kind: "order", order: "hq-mo-1", effect: true },
    { kind: "order", order: "hq-mo-1", effect: false },
  ]);
});

it("calls the webhook, signed, until a revision was taken, and only then with the next; a poll sees the same bytes", async () => {
  using folder = temporaryFolder();
  const hook = await startHook((call) => (call === 1 ? 503 : 202));
  const scheduler = await startScheduler({
    port: 0,
    secret: "secret",
    webhookUrl: hook.url,
    logFile: folder.file("scheduler.jsonl"),
    workCentres: ["PRESS-7", "ASSY-2"],
    reviseEveryMs: 20,
  });
  try {
    await post(scheduler, 1, "a");
    await until(() => scheduler.status().acked === 1);
    await post(scheduler, 2, "b");
    await until(() => scheduler.status().acked === 2);
    expect(hook.calls.map(({ body }) => JSON.parse(body).revision)).toEqual([1, 1, 2]);
    for (const { body, signature } of hook.calls)
      expect(signature).toBe(`sha256=${createHmac("sha256", "secret").update(body).digest("hex")}`);
    const poll = await fetch(`${scheduler.url}/schedule?after=1`, { headers: { authorization: "Bearer secret" } });
    expect(await poll.text()).toBe(hook.calls[2]!.body);
    const nothing = await fetch(`${scheduler.url}/schedule?after=2`, { headers: { authorization: "Bearer secret" } });
    expect(nothing.status).toBe(204);
  } finally {
    await scheduler.stop();
    await hook.stop();
  }
});
