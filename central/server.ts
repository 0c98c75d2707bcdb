import type { Server } from "node:http";
import { createAdaptorServer } from "@hono/node-server";
import type { Listening } from "./http/listen.ts";

/** A request that does not arrive whole by then gives its share of the budget back: a batch over a slow link takes its time. */
const requestTimeoutMs = 120_000;
/** A connection that is closed while its gateway takes it up again costs that gateway a request: longer than what it is told to wait. */
const keepAliveMs = 75_000;
/** Of a thousand plants, ten each: what a connection costs before anybody knows who calls is bounded. */
export const maxConnections = 10_000;
/** A batch's frames are in a header; what proxies add comes on top. */
const maxHeaderBytes = 32 * 1024;

/** Central's HTTP server, with the bounds of its connections; it does not listen yet. */
export function makeServer(fetch: Parameters<typeof createAdaptorServer>[0]["fetch"]): Server {
  const serverOptions = {
    requestTimeout: requestTimeoutMs,
    headersTimeout: 10_000,
    keepAliveTimeout: keepAliveMs,
    connectionsCheckingInterval: 5000,
    maxHeaderSize: maxHeaderBytes,
  };
  // plain HTTP without options of another kind: TLS ends before central
  return createAdaptorServer({ fetch, serverOptions }) as Server;
}

const closeGraceMs = 2000;
const closeLookMs = 20;

/** Connections close as their answers are out; what still runs after the grace is cut. */
export async function closeServer(server: Server, listening: Listening): Promise<void> {
  const idle = setInterval(() => server.closeIdleConnections(), closeLookMs);
  const forced = setTimeout(() => server.closeAllConnections(), closeGraceMs);
  await listening.close();
  clearInterval(idle);
  clearTimeout(forced);
}
