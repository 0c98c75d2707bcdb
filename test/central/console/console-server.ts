import { readFile } from "node:fs/promises";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo, Socket } from "node:net";
import { extname, join, normalize } from "node:path";
import type { OrdersAnswer, OrderView, SitesAnswer } from "../../../central/http/views.ts";
import { toProblem } from "../../../protocol/index.ts";

/** What the server answers; a test changes it while the page is open. */
export interface Answers {
  sites: () => SitesAnswer;
  orders: (query: string) => OrdersAnswer;
  order: (id: string) => OrderView | undefined;
  session: boolean;
}

export interface ConsoleServer extends AsyncDisposable {
  readonly url: string;
  readonly answers: Answers;
  /** Paths asked for, with their query, in order. */
  readonly asked: readonly string[];
  /** Sends the event that something changed to every open page. */
  notify(): void;
  /** Refuses every connection from now on and cuts the open ones. */
  vanish(): Promise<void>;
}

const mediaTypes: Readonly<Record<string, string>> = {
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript; charset=utf-8",
  ".css": "text/css; charset=utf-8",
  ".svg": "image/svg+xml",
};

/** Serves a built console and the read API with the given answers, as central does, on a free port of 127.0.0.1. */
export async function startConsoleServer(folder: string, given: Partial<Answers> = {}): Promise<ConsoleServer> {
  const answers: Answers = {
    sites: () => ({ sites: [], at: new Date().toISOString(), rate: { transactionsPerSecond: 0, samplesPerSecond: 0 } }),
    orders: () => ({ orders: [] }),
    order: () => undefined,
    session: true,
    ...given,
  };
  const streams = new Set<ServerResponse>();
  const sockets = new Set<Socket>();
  const asked: string[] = [];

  const server = createServer((request, response) => {
    asked.push(request.url ?? "/");
    answer(request, response).catch((error: unknown) => response.writeHead(500).end(String(error)));
  });
  server.on("connection", (socket) => {
    sockets.add(socket);
    socket.on("close", () => sockets.delete(socket));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));

  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? "/", "http://127.0.0.1");
    if (!url.pathname.startsWith("/v1/")) return serveFile(folder, url.pathname, response);
    if (!answers.session) return problem(response, "not-signed");
    if (url.pathname === "/v1/events") {
      response.writeHead(200, { "content-type": "text/event-stream", "cache-control": "no-store" });
      response.write(": open\n\n");
      streams.add(response);
      response.on("close", () => streams.delete(response));
      return;
    }
    if (url.pathname === "/v1/sites") return json(response, answers.sites());
    if (url.pathname === "/v1/orders") return json(response, answers.orders(url.searchParams.get("q") ?? ""));
    const id = /^\/v1\/orders\/([^/]+)$/.exec(url.pathname)?.[1];
    const order = id === undefined ? undefined : answers.order(decodeURIComponent(id));
    return order ? json(response, order) : problem(response, "not-found");
  }

  const vanish = async () => {
    const closed = new Promise<void>((resolve) => server.close(() => resolve()));
    for (const socket of sockets) socket.destroy();
    await closed;
  };
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    answers,
    asked,
    notify: () => {
      for (const stream of streams) stream.write("event: sites\ndata: {}\n\n");
    },
    vanish,
    [Symbol.asyncDispose]: async () => {
      if (server.listening) await vanish();
    },
  };
}

function json(response: ServerResponse, body: unknown): void {
  response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify(body));
}

function problem(response: ServerResponse, code: "not-signed" | "not-found"): void {
  const body = toProblem(code);
  response.writeHead(body.status, { "content-type": "application/problem+json" }).end(JSON.stringify(body));
}

async function serveFile(folder: string, path: string, response: ServerResponse): Promise<void> {
  const name = path.startsWith("/assets/") ? normalize(path) : "/index.html";
  const body = await readFile(join(folder, name));
  response.writeHead(200, {
    "content-type": mediaTypes[extname(name)] ?? "application/octet-stream",
    "content-security-policy": "default-src 'self'; style-src 'self' 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'",
  });
  response.end(body);
}
