import type { IncomingMessage, ServerResponse } from "node:http";
import { PlantgateError, type ProblemCode, toProblem } from "../../protocol/index.ts";
import type { WebhookAnswer, WebhookHost, WebhookRequest } from "../connector/connector.ts";
import { Bodies, maxBodyBytes } from "./bodies.ts";

type Receive = (request: WebhookRequest) => Promise<WebhookAnswer>;

/** Which connector takes which path under `/in/`. Paths come and go with the configuration, without a restart of the listener. */
export class Webhooks implements WebhookHost {
  readonly #receivers = new Map<string, Receive>();
  readonly #bodies = new Bodies();
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
    const body = await this.#bodies.read(request);
    switch (body.kind) {
      case "too-large":
        return refuse(response, "too-large", `a body may have ${maxBodyBytes} bytes`);
      case "no-room":
        return refuse(response, "busy", "too many large bodies are under way", 5);
      case "cut":
        // the sender is gone, and nothing of the message can be acknowledged
        return;
    }
    try {
      const answer = await receive({ headers: headersOf(request), body: body.bytes });
      send(response, answer.status, answer.body, answer.retryAfterSeconds);
    } finally {
      body.release();
    }
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
