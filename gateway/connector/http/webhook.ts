import { createHmac, timingSafeEqual } from "node:crypto";
import { type Clock, describeError, hasDisposition, toProblem } from "../../../protocol/index.ts";
import type { Logger } from "../../telemetry/logger.ts";
import type { Inlet, WebhookAnswer, WebhookRequest } from "../connector.ts";
import { isStop } from "../mqtt/intake-line.ts";

/** A signature that a request has to carry: `sha256=<hex>` of the raw body. */
export interface Signature {
  readonly header: string;
  readonly secret: string;
}

export interface WebhookDeps {
  readonly inlet: Inlet;
  readonly clock: Clock;
  readonly log: Logger;
}

/** Serves one webhook: 202 only when what came in is flushed, with the id under which it can be found. */
export function receiveWebhook(
  path: string,
  signatures: readonly Signature[],
  { inlet, clock, log }: WebhookDeps,
): (request: WebhookRequest) => Promise<WebhookAnswer> {
  return async ({ headers, body }) => {
    const wrong = signatures.find((signature) => !isSigned(signature, headers, body));
    if (wrong) {
      const present = headers.get(wrong.header) !== null;
      log.warn(
        { event: "http.webhook.refused", path, header: wrong.header, present },
        "a webhook came without the right signature",
      );
      const detail = present
        ? `the signature in ${wrong.header} does not match the body`
        : `the header ${wrong.header} is missing`;
      return { status: 401, body: toProblem(present ? "token-invalid" : "not-signed", detail) };
    }
    try {
      const { id } = await inlet.accept([{ origin: { kind: "webhook", path }, body, receivedAt: clock.now() }]);
      return { status: 202, body: { id } };
    } catch (error) {
      if (!isStop(error) && !hasDisposition(error, "shed"))
        log.error(
          { event: "http.webhook.failed", path, reason: describeError(error) },
          "a webhook could not be kept, its sender has to repeat it",
        );
      return { status: 503, body: toProblem("busy", "nothing was kept; send it again"), retryAfterSeconds: 5 };
    }
  };
}

function isSigned({ header, secret }: Signature, headers: WebhookRequest["headers"], body: Uint8Array): boolean {
  const given = Buffer.from(headers.get(header) ?? "");
  const right = Buffer.from(`sha256=${createHmac("sha256", secret).update(body).digest("hex")}`);
  return given.length === right.length && timingSafeEqual(given, right);
}
