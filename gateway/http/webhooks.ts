import { PlantgateError } from "../../protocol/index.ts";
import type { WebhookAnswer, WebhookHost, WebhookRequest } from "../connector/connector.ts";
import { problem } from "./problem.ts";

type Receive = (request: WebhookRequest) => Promise<WebhookAnswer>;

/** Which connector takes which path under `/in/`. Paths come and go with the configuration, without a restart of the listener. */
export class Webhooks implements WebhookHost {
  readonly #receivers = new Map<string, Receive>();

  mount(connector: string, path: string, receive: Receive): () => void {
    const place = `/in/${connector}${path}`;
    if (this.#receivers.has(place)) throw new PlantgateError("CONFIG_INVALID", `${place} is taken already`);
    this.#receivers.set(place, receive);
    return () => {
      if (this.#receivers.get(place) === receive) this.#receivers.delete(place);
    };
  }

  async receive(request: Request): Promise<Response> {
    const receive = this.#receivers.get(decodePath(new URL(request.url).pathname));
    if (!receive) return problem("not-found", "no flow of this gateway takes this path");
    const answer = await receive({ headers: request.headers, body: new Uint8Array(await request.arrayBuffer()) });
    const headers = new Headers({ "content-type": answer.status === 202 ? "application/json" : "application/problem+json" });
    if (answer.retryAfterSeconds !== undefined) headers.set("retry-after", String(answer.retryAfterSeconds));
    return new Response(JSON.stringify(answer.body), { status: answer.status, headers });
  }
}

function decodePath(path: string): string {
  try {
    return decodeURIComponent(path);
  } catch {
    return path;
  }
}
