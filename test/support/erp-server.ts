import { serve } from "@hono/node-server";
import { Hono } from "hono";
import type { CloudEvent } from "../../protocol/index.ts";

/** An HTTP peer for tests: takes posts, keeps what it got, answers what it is told to. */
export async function startErpServer() {
  const received: { path: string; idempotencyKey: string | undefined; body: CloudEvent["data"] }[] = [];
  const app = new Hono();
  app.post("*", async (c) => {
    received.push({
      path: c.req.path,
      idempotencyKey: c.req.header("idempotency-key"),
      body: (await c.req.json()) as CloudEvent["data"],
    });
    return c.json({ ok: true }, 202);
  });
  const server = await new Promise<ReturnType<typeof serve>>((resolve) => {
    const starting = serve({ fetch: app.fetch, hostname: "127.0.0.1", port: 0 }, () => resolve(starting));
  });
  const address = server.address();
  const port = typeof address === "object" && address !== null ? address.port : 0;
  return {
    url: `http://127.0.0.1:${port}`,
    received,
    async [Symbol.asyncDispose](): Promise<void> {
      await new Promise<void>((resolve) => {
        server.close(() => resolve());
        if ("closeAllConnections" in server) server.closeAllConnections();
      });
    },
  };
}
