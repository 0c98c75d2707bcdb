import type { Server } from "node:http";
import { serve } from "@hono/node-server";
import { Hono } from "hono";
import { bodyLimit } from "hono/body-limit";
import { describeError, PlantgateError } from "../../protocol/index.ts";
import type { WebhookHost } from "../connector/connector.ts";
import type { Logger } from "../telemetry/logger.ts";
import { problem } from "./problem.ts";
import { Webhooks } from "./webhooks.ts";

/** Hard limit of a body. What is smaller, and still too large for a message, becomes a dead letter behind the inlet. */
export const maxBodyBytes = 16 * 1024 * 1024;
/** How long open requests may take to end when the listener closes. */
const closeWithinMs = 5000;

export interface ListenerOptions {
  readonly host: string;
  readonly port: number;
  readonly log: Logger;
  /** What `GET /health` answers. */
  readonly health: () => object;
  /** More routes; added before the first request, as Hono wants it. */
  readonly routes?: (app: Hono) => void;
}

export interface Listener {
  /** `http://host:port`, with the port that the system chose where 0 was asked for. */
  readonly url: string;
  readonly host: WebhookHost;
  /** Takes no new request, lets the open ones end, then cuts them. */
  close(): Promise<void>;
}

/**
 * The gateway's own HTTP listener: webhooks at `POST /in/<connector><path>`, and `GET /health`. Every refusal is problem details
 * (RFC 9457).
 * @throws PlantgateError CONFIG_INVALID when the address cannot be listened on
 */
export async function openListener({ host, port, log, health, routes }: ListenerOptions): Promise<Listener> {
  const webhooks = new Webhooks();
  const app = new Hono();
  app.get("/health", (context) => context.json(health()));
  app.use(
    "/in/*",
    bodyLimit({ maxSize: maxBodyBytes, onError: () => problem("too-large", `a body may have ${maxBodyBytes} bytes`) }),
  );
  app.post("/in/*", (context) => webhooks.receive(context.req.raw));
  routes?.(app);
  app.notFound(() => problem("not-found"));
  app.onError((error) => {
    log.error({ event: "http.request.failed", reason: describeError(error) }, "a request failed");
    return problem("internal");
  });
  const { server, url } = await listen(app, host, port);
  return { url, host: webhooks, close: () => close(server) };
}

function listen(app: Hono, hostname: string, port: number): Promise<{ server: Server; url: string }> {
  return new Promise((resolve, reject) => {
    const server = serve({ fetch: app.fetch, hostname, port }, (address) => {
      server.off("error", fail);
      const host = address.family === "IPv6" ? `[${address.address}]` : address.address;
      resolve({ server, url: `http://${host}:${address.port}` });
    }) as Server;
    const fail = (cause: Error): void =>
      reject(new PlantgateError("CONFIG_INVALID", `cannot listen on ${hostname}:${port}`, { cause }));
    server.once("error", fail);
  });
}

function close(server: Server): Promise<void> {
  return new Promise((resolve) => {
    const cut = setTimeout(() => server.closeAllConnections(), closeWithinMs);
    server.close(() => {
      clearTimeout(cut);
      resolve();
    });
    server.closeIdleConnections();
  });
}
