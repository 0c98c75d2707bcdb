import type { Outbound, Outcome } from "../connector.ts";
import type { Exchange, Peer } from "./peer.ts";

/** One `POST`; the idempotency key makes a repeat harmless where the peer heeds it. */
export async function post(
  peer: Peer,
  message: Extract<Outbound, { kind: "post" }>,
  signal: AbortSignal,
): Promise<{ outcome: Outcome; exchange: Exchange }> {
  const headers = { "content-type": "application/json", "idempotency-key": message.idempotencyKey };
  const exchange = await peer.ask({ method: "POST", path: message.path, headers, body: message.body }, signal);
  return { outcome: outcomeOf(exchange), exchange };
}

/**
 * Whom an answer denies. `peer`: it does not take the gateway's token. `unclear`: what is forbidden, or has moved, may be this one message's place
 * or all there is. (Of a 407 `fetch` tells no more than that it failed.)
 */
export function denialOf(exchange: Exchange): "peer" | "unclear" | undefined {
  if (exchange.kind === "failed") return undefined;
  const { status } = exchange;
  if (status === 401) return "peer";
  return status === 403 || (status >= 300 && status < 400) ? "unclear" : undefined;
}

/** What an answer means for a delivery. A denial is no fault of the message: the token, a right or the address is put right by a person. */
export function outcomeOf(exchange: Exchange): Outcome {
  if (exchange.kind === "failed") return { kind: exchange.sent ? "unknown" : "retry", reason: exchange.reason };
  const { status, retryAfterMs } = exchange;
  if (status >= 200 && status < 300) return { kind: "done", detail: `HTTP ${status}` };
  if (status === 408 || status === 425 || status === 429 || status >= 500) {
    return {
      kind: "retry",
      reason: `HTTP ${status}${excerpt(exchange.body)}`,
      ...(retryAfterMs === undefined ? {} : { afterMs: retryAfterMs }),
    };
  }
  const denial = denialOf(exchange);
  if (denial) {
    const why =
      status < 400 ? "the peer answers from elsewhere, and the token stays here" : "the peer does not let this gateway in";
    return { kind: "retry", reason: `HTTP ${status}, ${why}${excerpt(exchange.body)}` };
  }
  return { kind: "refused", reason: `HTTP ${status}${excerpt(exchange.body)}` };
}

function excerpt(body: Uint8Array): string {
  const text = Buffer.from(body.subarray(0, 1200)).toString("utf8").trim().slice(0, 300);
  return text === "" ? "" : `: ${text}`;
}
