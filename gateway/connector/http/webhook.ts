import { createHmac, timingSafeEqual } from "node:crypto";
import { type Clock, describeError, hasDisposition, toProblem } from "../../../protocol/index.ts";
import type { Logger } from "../../telemetry/logger.ts";
import { Repeated } from "../../telemetry/repeated.ts";
import type { Inlet, WebhookAnswer, WebhookRequest } from "../connector.ts";
import { isStop } from "../mqtt/intake-line.ts";
import type { Standing } from "./standing.ts";

/** A signature that a request has to carry: `sha256=<hex>` of the raw body. */
export interface Signature {
  readonly header: string;
  /** All that are good now. */
  readonly secrets: () => readonly string[];
}

export interface WebhookDeps {
  readonly inlet: Inlet;
  readonly standing: Standing;
  readonly clock: Clock;
  readonly log: Logger;
  /** Ends with the connector. */
  readonly signal: AbortSignal;
  /** Only flows in shadow take the path: nothing of what comes is kept, and its sender is told so. */
  readonly shadow?: boolean;
}

/** After which a sender may try again. */
const retryAfterSeconds = 5;
/** Without a refusal for so long, there is room again, or nobody who asks. */
const refusedForMs = 3 * retryAfterSeconds * 1000;

const onlyInShadow = "no live flow of this gateway takes this path; a flow in shadow looked at the request, and nothing was kept";

/** Serves one webhook: 202 only when what came in is flushed, with the id under which it can be found. */
export function receiveWebhook(
  path: string,
  signatures: readonly Signature[],
  deps: WebhookDeps,
): (request: WebhookRequest) => Promise<WebhookAnswer> {
  const { inlet, clock, log, signal } = deps;
  const unsigned = new Repeated({
    clock,
    signal,
    tell: (fields, again) =>
      log.warn({ event: "http.webhook.refused", path, ...fields, again }, "a webhook came without the right signature"),
  });
  const refusals = new Refusals(`webhook ${path}`, deps);
  return async ({ headers, body }) => {
    const wrong = signatures.find((signature) => !isSigned(signature, headers, body));
    if (wrong) {
      const present = headers.get(wrong.header) !== null;
      unsigned.note({ header: wrong.header, present });
      const detail = present
        ? `the signature in ${wrong.header} does not match the body`
        : `the header ${wrong.header} is missing`;
      return { status: 401, body: toProblem(present ? "token-invalid" : "not-signed", detail) };
    }
    try {
      const { id } = await inlet.accept([{ origin: { kind: "webhook", path }, body, receivedAt: clock.now() }]);
      refusals.end();
      if (deps.shadow) return { status: 404, body: toProblem("not-found", onlyInShadow) };
      return { status: 202, body: { id } };
    } catch (error) {
      if (hasDisposition(error, "shed")) refusals.note();
      else if (!isStop(error))
        log.error(
          { event: "http.webhook.failed", path, reason: describeError(error) },
          "a webhook could not be kept, its sender has to repeat it",
        );
      return { status: 503, body: toProblem("busy", "nothing was kept; send it again"), retryAfterSeconds };
    }
  };
}

/** Shows that senders are refused, until one is not, or none has asked for a while: nobody tells a webhook that there is room. */
class Refusals {
  readonly #activity: string;
  readonly #deps: Pick<WebhookDeps, "standing" | "clock" | "signal">;
  #lastAt = 0;
  #isShown = false;
  #isWatched = false;

  constructor(activity: string, deps: Pick<WebhookDeps, "standing" | "clock" | "signal">) {
    this.#activity = activity;
    this.#deps = deps;
  }

  note(): void {
    this.#lastAt = this.#deps.clock.monotonic();
    if (this.#isShown) return;
    this.#isShown = true;
    this.#deps.standing.degraded(this.#activity, `the queue is full: ${this.#activity} is answered 503 until there is room`);
    if (!this.#isWatched) void this.#outlast();
  }

  end(): void {
    if (!this.#isShown) return;
    this.#isShown = false;
    this.#deps.standing.ok(this.#activity);
  }

  async #outlast(): Promise<void> {
    const { clock, signal } = this.#deps;
    this.#isWatched = true;
    while (this.#isShown && !signal.aborted) {
      const leftMs = this.#lastAt + refusedForMs - clock.monotonic();
      if (leftMs <= 0) this.end();
      else await clock.sleep(leftMs, signal);
    }
    this.#isWatched = false;
  }
}

function isSigned({ header, secrets }: Signature, headers: WebhookRequest["headers"], body: Uint8Array): boolean {
  const given = Buffer.from(headers.get(header) ?? "");
  return secrets().some((secret) => {
    const right = Buffer.from(`sha256=${createHmac("sha256", secret).update(body).digest("hex")}`);
    return given.length === right.length && timingSafeEqual(given, right);
  });
}
