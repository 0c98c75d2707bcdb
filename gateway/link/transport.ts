import type { KeyObject } from "node:crypto";
import { randomUUID } from "node:crypto";
import { SignJWT } from "jose";
import { type Clock, PlantgateError, type Problem, problem, tokenAudience, tokenLifeSeconds } from "../../protocol/index.ts";

export interface TransportDeps {
  readonly site: string;
  readonly centralUrl: string;
  readonly privateKey: KeyObject;
  readonly clock: Clock;
}

export interface LinkRequest {
  readonly method: "GET" | "POST";
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly json?: unknown;
  readonly body?: Uint8Array;
  readonly timeoutMs: number;
}

/** An answer of central: what it said, or the problem that it named. */
export type LinkAnswer =
  | { readonly kind: "ok"; readonly status: number; readonly body: unknown; readonly text: string }
  | { readonly kind: "problem"; readonly problem: Problem; readonly retryAfterMs: number | undefined };

/**
 * Outbound HTTPS to central, each request with a token of minutes that the gateway's own key signed. Token times follow central's
 * clock, known from its `Date` headers, so that a gateway with a wrong clock is not locked out (rule 11).
 */
export class Transport {
  readonly #deps: TransportDeps;
  #clockOffsetMs = 0;
  #token: { text: string; renewAt: number } | undefined;

  constructor(deps: TransportDeps) {
    this.#deps = deps;
  }

  /** Central's clock minus ours, as of the last answer. */
  get clockOffsetMs(): number {
    return this.#clockOffsetMs;
  }

  /** @throws PlantgateError PEER_UNREACHABLE: central did not answer, or something that is not central did */
  async send(request: LinkRequest, signal: AbortSignal): Promise<LinkAnswer> {
    const answer = await this.#sendOnce(request, signal);
    if (answer.kind === "problem" && answer.problem.code === "token-expired") {
      // the answer's Date has just set the offset
      this.#token = undefined;
      return this.#sendOnce(request, signal);
    }
    return answer;
  }

  async #sendOnce(request: LinkRequest, signal: AbortSignal): Promise<LinkAnswer> {
    const url = new URL(request.path, this.#deps.centralUrl);
    try {
      const response = await fetch(url, {
        method: request.method,
        redirect: "error",
        headers: {
          authorization: `Bearer ${await this.#currentToken()}`,
          accept: "application/json, application/problem+json",
          ...(request.json === undefined ? {} : { "content-type": "application/json" }),
          ...request.headers,
        },
        body: request.json === undefined ? (request.body as Uint8Array<ArrayBuffer> | undefined) : JSON.stringify(request.json),
        signal: AbortSignal.any([signal, AbortSignal.timeout(request.timeoutMs)]),
      });
      this.#learnClock(response.headers.get("date"));
      const text = await response.text();
      const type = response.headers.get("content-type") ?? "";
      const body: unknown = type.includes("json") && text !== "" ? JSON.parse(text) : undefined;
      if (response.ok) return { kind: "ok", status: response.status, body, text };
      const told = problem.safeParse(body);
      // a proxy's error page is not central's word: nothing may follow from it
      if (!told.success)
        throw new PlantgateError("PEER_UNREACHABLE", `${url.host} answered ${response.status}, but not as central does`);
      return { kind: "problem", problem: told.data, retryAfterMs: retryAfter(response.headers.get("retry-after")) };
    } catch (cause) {
      if (cause instanceof PlantgateError) throw cause;
      throw new PlantgateError("PEER_UNREACHABLE", `central does not answer at ${url.origin}`, { cause });
    }
  }

  async #currentToken(): Promise<string> {
    const { clock, site, privateKey } = this.#deps;
    if (this.#token && clock.monotonic() < this.#token.renewAt) return this.#token.text;
    const issuedAt = Math.floor((clock.now() + this.#clockOffsetMs) / 1000);
    const text = await new SignJWT({})
      .setProtectedHeader({ alg: "EdDSA", typ: "JWT" })
      .setIssuer(site)
      .setSubject(site)
      .setAudience(tokenAudience)
      .setJti(randomUUID())
      .setIssuedAt(issuedAt)
      .setExpirationTime(issuedAt + tokenLifeSeconds)
      .sign(privateKey);
    this.#token = { text, renewAt: clock.monotonic() + (tokenLifeSeconds - 60) * 1000 };
    return text;
  }

  #learnClock(date: string | null): void {
    const central = date === null ? Number.NaN : Date.parse(date);
    if (!Number.isFinite(central)) return;
    const offset = central - this.#deps.clock.now();
    // the header has whole seconds: less than two is no skew
    const next = Math.abs(offset) < 2000 ? 0 : offset;
    if (Math.abs(next - this.#clockOffsetMs) > 5000) this.#token = undefined;
    this.#clockOffsetMs = next;
  }
}

function retryAfter(header: string | null): number | undefined {
  const seconds = Number(header);
  return header !== null && Number.isFinite(seconds) && seconds >= 0 ? seconds * 1000 : undefined;
}
