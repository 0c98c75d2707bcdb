import { readFile } from "node:fs/promises";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo, Socket } from "node:net";
import { extname, join, normalize } from "node:path";
import type { OrdersAnswer, OrderView, SitesAnswer } from "../../../central/http/views.ts";
import { toProblem } from "../../../protocol/index.ts";
import type { ConfigurationWorld } from "./answers.ts";
import { answerConfiguration, configurationWorld } from "./configuration-fixtures.ts";

/** What the server answers; a test changes it while the page is open. */
export interface Answers {
  sites: () => SitesAnswer;
  orders: (query: string) => OrdersAnswer;
  order: (id: string) => OrderView | undefined;
  session: boolean;
  world: ConfigurationWorld;
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
    world: configurationWorld(),
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
    if (url.pathname.startsWith("/v1/schemas/")) return serveSchema(url.pathname.slice("/v1/schemas/".length), response);
    const method = request.method ?? "GET";
    const signsIn = url.pathname === "/v1/session" && method === "POST";
    if (signsIn && !answers.world.instead.has("POST /v1/session")) answers.session = true;
    if (!(answers.session || signsIn) || !(answers.world.signedIn || signsIn)) return problem(response, "not-signed");
    if (url.pathname === "/v1/events") {
      response.writeHead(200, { "content-type": "text/event-stream", "cache-control": "no-store" });
      response.write(": open\n\n");
      streams.add(response);
      response.on("close", () => streams.delete(response));
      return;
    }
    const reply = answerConfiguration(answers.world, method, url.pathname, await bodyOf(request));
    if (reply) return json(response, reply.body, reply.status, reply.headers);
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

function json(response: ServerResponse, body: unknown, status = 200, headers: Readonly<Record<string, string>> = {}): void {
  const type = status < 400 ? "application/json" : "application/problem+json";
  response.writeHead(status, { "content-type": type, ...headers }).end(JSON.stringify(body));
}

async function bodyOf(request: IncomingMessage): Promise<unknown> {
  let text = "";
  for await (const chunk of request) text += String(chunk);
  return text === "" ? undefined : JSON.parse(text);
}

/** The generated schemas, as central serves them. */
async function serveSchema(file: string, response: ServerResponse): Promise<void> {
  const name = `${file.replace(/\.json$/, "")}.schema.json`;
  const text = await readFile(join(import.meta.dirname, "../../../packaging/schemas", name), "utf8").catch(() => undefined);
  if (text === undefined) return problem(response, "not-found");
  response.writeHead(200, { "content-type": "application/json" }).end(text);
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
    "content-security-policy":
      "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
  });
  response.end(body);
}
