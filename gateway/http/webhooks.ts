import type { IncomingMessage, ServerResponse } from "node:http";
import { PlantgateError, type ProblemCode, toProblem } from "../../protocol/index.ts";
import type { WebhookAnswer, WebhookHost, WebhookRequest } from "../connector/connector.ts";

/** Hard limit of a body. What is smaller, and still too large for a message, becomes a dead letter behind the inlet. */
export const maxBodyBytes = 16 * 1024 * 1024;

type Receive = (request: WebhookRequest) => Promise<WebhookAnswer>;

/** Which connector takes which path under `/in/`. Paths come and go with the configuration, without a restart of the listener. */
export class Webhooks implements WebhookHost {
  readonly #receivers = new Map<string, Receive>();
  #settled = false;

  /** Whether a configuration is in effect and none on its way in or out: what no flow takes then, no flow takes. */
  settled(is: boolean): void {
    this.#settled = is;
  }

  mount(connector: string, path: string, receive: Receive): () => void {
    const place = `/in/${connector}${path}`;
    if (this.#receivers.has(place)) throw new PlantgateError("CONFIG_INVALID", `${place} is taken already`);
    this.#receivers.set(place, receive);
    return () => {
      if (this.#receivers.get(place) === receive) this.#receivers.delete(place);
    };
  }

  /**
   * Answers one request under `/in/`; rejects where the receiver does. Node's own request and response: a `Request` around them, with its
   * stream, costs several times what everything behind it does.
   */
  async answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const [path = ""] = (request.url ?? "").split("?", 1);
    const receive = request.method === "POST" ? this.#receivers.get(decodePath(path)) : undefined;
    // a sender would take 404 for good, and drop its message
    if (!receive && !this.#settled)
      return refuse(
        response,
        "busy",
        "the gateway has no configuration in effect: it starts, stops, changes it or has none yet",
        2,
      );
    if (!receive) return refuse(response, "not-found", "no flow of this gateway takes this path");
    const body = await readBody(request);
    if (body === "too-large") return refuse(response, "too-large", `a body may have ${maxBodyBytes} bytes`);
    // the sender is gone, and nothing of the message can be acknowledged
    if (body === "cut") return;
    const answer = await receive({ headers: headersOf(request), body });
    send(response, answer.status, answer.body, answer.retryAfterSeconds);
  }
}

export function refuse(response: ServerResponse, code: ProblemCode, detail?: string, retryAfterSeconds?: number): void {
  const body = toProblem(code, detail);
  send(response, body.status, body, retryAfterSeconds);
}

function send(response: ServerResponse, status: number, body: object, retryAfterSeconds?: number): void {
  const text = JSON.stringify(body);
  response.statusCode = status;
  response.setHeader("content-type", status === 202 ? "application/json" : "application/problem+json");
  response.setHeader("content-length", Buffer.byteLength(text));
  if (retryAfterSeconds !== undefined) response.setHeader("retry-after", retryAfterSeconds);
  response.end(text);
}

function readBody(request: IncomingMessage): Promise<Uint8Array | "too-large" | "cut"> {
  if (Number(request.headers["content-length"] ?? 0) > maxBodyBytes) return Promise.resolve("too-large");
  return new Promise((resolve) => {
    const chunks: Buffer[] = [];
    let sizeBytes = 0;
    request.on("data", (chunk: Buffer) => {
      sizeBytes += chunk.length;
      if (sizeBytes <= maxBodyBytes) chunks.push(chunk);
      else {
        chunks.length = 0;
        resolve("too-large");
      }
    });
    request.on("end", () => resolve(chunks.length === 1 && chunks[0] ? chunks[0] : Buffer.concat(chunks)));
    request.on("error", () => resolve("cut"));
    request.on("close", () => resolve("cut"));
  });
}

function headersOf({ headers }: IncomingMessage): WebhookRequest["headers"] {
  return {
    get: (name) => {
      const value = headers[name.toLowerCase()];
      return Array.isArray(value) ? value.join(", ") : (value ?? null);
    },
  };
}

function decodePath(path: string): string {
  try {
    return decodeURIComponent(path);
  } catch {
    return path;
  }
}
