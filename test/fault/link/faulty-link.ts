import { Agent, createServer, type IncomingMessage, request, type Server, type ServerResponse } from "node:http";
import type { Socket } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { toProblem } from "../../../protocol/index.ts";
import type { WireLog } from "./wire-log.ts";

/**
 * What happens to one request. `cutRequest`: the connection ends in the middle of its body, central never sees it whole. `cutReply`: the
 * answer breaks off half-way. `dropReply`: central did it, nobody hears of it. `twice`: central gets it two times, the second answer counts.
 * `page`: a proxy on the way answers with its own error page. `busy`: central itself takes no more for now.
 */
export type Fault =
  | { readonly kind: "none" | "cutRequest" | "cutReply" | "dropReply" | "twice" | "busy" }
  | { readonly kind: "page"; readonly status: 502 | 504 | 413 };

/** `refused`: connections are reset. `silent`: they are taken, and nothing is ever answered; those that hang stay so. */
export type LinkMode = "open" | "refused" | "silent";

interface Answer {
  readonly status: number;
  readonly headers: IncomingMessage["headers"];
  readonly body: Buffer;
}

const hopHeaders = new Set(["connection", "keep-alive", "transfer-encoding", "content-length", "host"]);
const pages: Readonly<Record<number, string>> = {
  502: "<html><head><title>502 Bad Gateway</title></head><body><h1>Bad Gateway</h1></body></html>",
  504: "<html><head><title>504 Gateway Time-out</title></head><body><h1>Gateway Time-out</h1></body></html>",
  413: "<html><head><title>413 Request Entity Too Large</title></head><body></body></html>",
};

/** The stretch between a gateway and central: an HTTP proxy that does to requests what networks and proxies do. */
export class FaultyLink implements AsyncDisposable {
  readonly url: string;
  readonly counts: Record<string, number> = {};
  /** Decides over each request; nothing happens to any where it is not set. */
  fault: ((path: string) => Fault) | undefined;
  /** Both ways together; undefined: as fast as it goes. */
  bytesPerSecond: number | undefined;
  /** Connections that were opened and requests that were begun. */
  attempts = 0;
  #mode: LinkMode = "open";
  readonly #target: URL;
  readonly #log: WireLog | undefined;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  readonly #agent = new Agent({ keepAlive: true, maxSockets: 256 });
  /** When the line is free again, for a slow one. */
  #freeAt = 0;

  private constructor(target: string, port: number, server: Server, log: WireLog | undefined) {
    this.#target = new URL(target);
    this.url = `http://127.0.0.1:${port}`;
    this.#server = server;
    this.#log = log;
    server.on("connection", (socket: Socket) => {
      this.attempts += 1;
      if (this.#mode === "refused") {
        socket.resetAndDestroy();
        return;
      }
      this.#sockets.add(socket);
      socket.on("error", () => {});
      socket.on("close", () => this.#sockets.delete(socket));
    });
    server.on("request", (incoming: IncomingMessage, outgoing: ServerResponse) => {
      const { socket } = incoming;
      this.#pass(incoming, outgoing, socket).catch(() => socket.destroy());
    });
  }

  static async open(options: { target: string; log?: WireLog }): Promise<FaultyLink> {
    const server = createServer({ keepAliveTimeout: 60_000, requestTimeout: 0 });
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      server.listen(0, "127.0.0.1", resolve);
    });
    const address = server.address();
    const port = typeof address === "object" && address ? address.port : 0;
    return new FaultyLink(options.target, port, server, options.log);
  }

  get mode(): LinkMode {
    return this.#mode;
  }

  /** `refused` ends every connection at once; out of `silent`, those that hang go on hanging until their callers give up. */
  set mode(mode: LinkMode) {
    this.#mode = mode;
    if (mode === "refused") for (const socket of this.#sockets) socket.resetAndDestroy();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = new Promise((resolve) => this.#server.close(resolve));
    for (const socket of this.#sockets) socket.destroy();
    this.#agent.destroy();
    await closed;
  }

  async #pass(incoming: IncomingMessage, outgoing: ServerResponse, socket: Socket): Promise<void> {
    this.attempts += 1;
    const path = incoming.url ?? "/";
    const fault: Fault = this.fault?.(path) ?? { kind: "none" };
    this.#count(fault.kind === "page" ? `page ${fault.status}` : fault.kind);
    const body = await this.#receive(incoming, fault.kind === "cutRequest" ? socket : undefined);
    if (body === undefined || this.#mode === "silent") return;
    if (fault.kind === "page") {
      outgoing.writeHead(fault.status, { "content-type": "text/html" }).end(pages[fault.status]);
      return;
    }
    if (fault.kind === "busy") {
      const problem = JSON.stringify(toProblem("busy", "central takes in as much as it can"));
      outgoing.writeHead(503, { "content-type": "application/problem+json", "retry-after": "1" }).end(problem);
      return;
    }
    const gone = new AbortController();
    outgoing.on("close", () => gone.abort());
    const first = await this.#forward(incoming, body, gone.signal);
    const answer = fault.kind === "twice" ? await this.#forward(incoming, body, gone.signal) : first;
    // the line may have gone silent meanwhile: an answer that comes now is lost
    if ((this.#mode as LinkMode) !== "open") return;
    if (fault.kind === "dropReply") {
      socket.destroy();
      return;
    }
    await this.#transmit(answer.body.length);
    outgoing.writeHead(answer.status, { ...passed(answer.headers), "content-length": answer.body.length });
    if (fault.kind !== "cutReply") {
      outgoing.end(answer.body);
      return;
    }
    outgoing.write(answer.body.subarray(0, Math.floor(answer.body.length / 2)), () => socket.destroy());
  }

  /** The whole body; undefined where the connection ended before, or was cut here in the middle of it. */
  async #receive(incoming: IncomingMessage, cut: Socket | undefined): Promise<Buffer | undefined> {
    const chunks: Buffer[] = [];
    let size = 0;
    const announced = Number(incoming.headers["content-length"] ?? 0);
    try {
      for await (const chunk of incoming as AsyncIterable<Buffer>) {
        chunks.push(chunk);
        size += chunk.length;
        await this.#transmit(chunk.length);
        if (cut && size * 2 >= announced) break;
      }
    } catch {
      return undefined;
    }
    if (!cut) return Buffer.concat(chunks);
    cut.destroy();
    return undefined;
  }

  #forward(incoming: IncomingMessage, body: Buffer, signal: AbortSignal): Promise<Answer> {
    return new Promise((resolve, reject) => {
      const path = incoming.url ?? "/";
      const call = request(
        {
          host: this.#target.hostname,
          port: this.#target.port,
          method: incoming.method,
          path,
          agent: this.#agent,
          signal,
          headers: { ...passed(incoming.headers), host: this.#target.host, "content-length": body.length },
        },
        (response) => {
          const chunks: Buffer[] = [];
          response.on("data", (chunk: Buffer) => chunks.push(chunk));
          response.on("error", reject);
          response.on("end", () => {
            const answer = { status: response.statusCode ?? 502, headers: response.headers, body: Buffer.concat(chunks) };
            this.#log?.passed({ path, headers: incoming.headers, request: body, status: answer.status, answer: answer.body });
            resolve(answer);
          });
        },
      );
      call.on("error", reject);
      call.end(body);
    });
  }

  /** Takes the time that so many bytes need on the line. */
  async #transmit(bytes: number): Promise<void> {
    if (this.bytesPerSecond === undefined) return;
    const now = performance.now();
    this.#freeAt = Math.max(now, this.#freeAt) + (bytes * 1000) / this.bytesPerSecond;
    await sleep(this.#freeAt - now);
  }

  #count(kind: string): void {
    this.counts[kind] = (this.counts[kind] ?? 0) + 1;
  }
}

function passed(headers: IncomingMessage["headers"]): Record<string, string | string[]> {
  const result: Record<string, string | string[]> = {};
  for (const [name, value] of Object.entries(headers)) if (value !== undefined && !hopHeaders.has(name)) result[name] = value;
  return result;
}
