import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { getRequestListener } from "@hono/node-server";
import { Hono } from "hono";
import { type Clock, describeError, PlantgateError, systemClock } from "../../protocol/index.ts";
import type { WebhookHost } from "../connector/connector.ts";
import type { Logger } from "../telemetry/logger.ts";
import { Repeated } from "../telemetry/repeated.ts";
import { limitConnections } from "./connections.ts";
import { problem } from "./problem.ts";
import { refuse, Webhooks } from "./webhooks.ts";

/** How long open requests may take to end when the listener closes. */
const closeWithinMs = 5000;
const maxConnections = 500;
/** A header comes at once; a body of 16 MiB over a slow link does not. */
const timeouts = { headersTimeout: 10_000, requestTimeout: 120_000, connectionsCheckingInterval: 5000 };

export interface ListenerOptions {
  readonly host: string;
  readonly port: number;
  readonly log: Logger;
  readonly clock?: Clock;
  /** Connections at once; 500 where nothing is said. */
  readonly most?: number;
  /** What `GET /health` answers. */
  readonly health: () => object;
  /** More routes; added before the first request, as Hono wants it. */
  readonly routes?: (app: Hono) => void;
}

export interface Listener {
  /** `http://host:port`, with the port that the system chose where 0 was asked for. */
  readonly url: string;
  readonly host: WebhookHost;
  /** While a configuration is in effect, a path that no flow takes is unknown (404); else it is only not there now (503). */
  settled(is: boolean): void;
  /** Takes no new request, lets the open ones end, then cuts them. */
  close(): Promise<void>;
}

/**
 * The gateway's own HTTP listener: webhooks at `POST /in/<connector><path>`, and `GET /health`. Every refusal is problem details
 * (RFC 9457).
 * @throws PlantgateError CONFIG_INVALID when the address cannot be listened on
 */
export async function openListener(options: ListenerOptions): Promise<Listener> {
  const { host, port, log, clock = systemClock, most = maxConnections, health, routes } = options;
  const webhooks = new Webhooks();
  const app = new Hono();
  app.get("/health", (context) => context.json(health()));
  routes?.(app);
  app.notFound(() => problem("not-found"));
  const failed = (error: unknown): void =>
    log.error({ event: "http.request.failed", reason: describeError(error) }, "a request failed");
  app.onError((error) => {
    failed(error);
    return problem("internal");
  });
  const answer = getRequestListener(app.fetch);
  const server = createServer(timeouts, (request, response) => {
    if (!request.url?.startsWith("/in/")) void answer(request, response);
    else
      webhooks.answer(request, response).catch((error: unknown) => {
        failed(error);
        if (!response.headersSent) refuse(response, "internal");
      });
  });
  const closing = new AbortController();
  const full = new Repeated({
    clock,
    signal: closing.signal,
    tell: (fields, again) => log.warn({ event: "http.connections.full", ...fields, again }, "too many connections at once"),
  });
  limitConnections(server, most, () => full.note({ most }));
  const url = await listen(server, host, port);
  const end = (): Promise<void> => {
    closing.abort();
    return close(server);
  };
  return { url, host: webhooks, settled: (is) => webhooks.settled(is), close: end };
}

function listen(server: Server, host: string, port: number): Promise<string> {
  return new Promise((resolve, reject) => {
    const fail = (cause: Error): void =>
      reject(new PlantgateError("CONFIG_INVALID", `cannot listen on ${host}:${port}`, { cause }));
    server.once("error", fail);
    server.listen(port, host, () => {
      server.off("error", fail);
      const { address, family, port: chosen } = server.address() as AddressInfo;
      resolve(`http://${family === "IPv6" ? `[${address}]` : address}:${chosen}`);
    });
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
