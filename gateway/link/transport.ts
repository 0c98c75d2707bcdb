import { type KeyObject, randomUUID } from "node:crypto";
import type { IncomingHttpHeaders } from "node:http";
import { SignJWT } from "jose";
import {
  type Clock,
  type EpochMs,
  PlantgateError,
  type Problem,
  parseJson,
  problem,
  tokenAudience,
  tokenLifeSeconds,
} from "../../protocol/index.ts";
import { type Dialer, type DialOptions, makeDialer } from "./dial.ts";
import { TimeLimit } from "./time-limit.ts";

/** A key that tokens are signed with; they name it by its fingerprint (`kid`). */
export interface TokenKey {
  readonly privateKey: KeyObject;
  readonly fingerprint: string;
}
export interface TokenKeys {
  readonly current: TokenKey;
  /** Others that central may know instead: of a change that a crash cut off, or from before one that a restored central has forgotten. */
  readonly others?: readonly TokenKey[];
  /** Central knows this one of the others, and not the current one. */
  settleOn?(fingerprint: string): void;
}

export interface TransportDeps {
  readonly site: string;
  readonly centralUrl: string;
  readonly keys: TokenKeys;
  readonly clock: Clock;
  readonly dial?: DialOptions;
}

export interface LinkRequest {
  readonly method: "GET" | "POST";
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly json?: unknown;
  readonly body?: Uint8Array;
  /** The longest that it may take, besides the time for its bytes and those of its answer; 120 s where nothing is said. */
  readonly longestMs?: number;
  /** The longest silence, in either direction: a slow link may take its time, a dead one may not (half-open detection). */
  readonly silenceMs: number;
  /** Its answer is bytes as they are, and so many at most. */
  readonly mostBytes?: number;
}

/** An answer of central: what it said, or the problem that it named. */
export type LinkAnswer =
  | {
      readonly kind: "ok";
      readonly status: number;
      readonly body: unknown;
      readonly text: string;
      /** Of an answer that was asked for as bytes. */
      readonly bytes?: Uint8Array;
    }
  | {
      readonly kind: "problem";
      readonly problem: Problem;
      /** How long central asks to be left alone, spread already. */
      readonly retryAfterMs: number | undefined;
    };

interface RawAnswer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly bytes: Buffer;
}

class StaleConnection extends Error {}

const defaultLongestMs = 120_000;

const longestPauseMs = 300_000;
/** A wait that central asks for is spread, so that those who were told the same do not come back together. */
const spread = 0.25;

/** Of any answer: a bundle is the largest. */
const maxAnswerBytes = 64 * 1024 * 1024;
const maxProblemBytes = 64 * 1024;

/**
 * Outbound HTTPS to central, each request with a token of minutes that the gateway's own key signed. Token times follow central's
 * clock, known from its `Date` headers, so that a gateway with a wrong clock is not locked out (rule 11).
 */
export class Transport {
  readonly #deps: TransportDeps;
  readonly #dialer: Dialer;
  /** Central's time, and ours by running time, at its last answer. */
  #told: { readonly central: number; readonly at: number } | undefined;
  #token: { text: string; fingerprint: string; renewAt: number } | undefined;

  constructor(deps: TransportDeps) {
    this.#deps = deps;
    this.#dialer = makeDialer(new URL(deps.centralUrl), deps.dial ?? {});
  }

  /** Ends connections, open ones and kept ones: after a silence none of them can be told to be alive. */
  close(): void {
    this.#dialer.close();
  }

  /** Central's clock: as of its last answer, and on from there by running time, whatever is done to our clock meanwhile (P10). Undefined before the first. */
  centralNow(): EpochMs | undefined {
    return this.#told && Math.round(this.#told.central + this.#deps.clock.monotonic() - this.#told.at);
  }

  /** @throws PlantgateError PEER_UNREACHABLE: central did not answer, or something that is not central did */
  async send(request: LinkRequest, signal: AbortSignal): Promise<LinkAnswer> {
    const { keys } = this.#deps;
    const tried = keys.current;
    const answer = await this.#sendSigned(request, tried, signal);
    if (!isOfKey(answer)) return answer;
    // it may have become another one while this call was under way
    const others = [keys.current, ...(keys.others ?? [])].filter(({ fingerprint }) => fingerprint !== tried.fingerprint);
    for (const other of others) {
      const again = await this.#sendSigned(request, other, signal);
      if (again.kind === "problem" && deniesKey.has(again.problem.code)) continue;
      try {
        keys.settleOn?.(other.fingerprint);
      } catch {
        // a full disk: it is found again with the next call
      }
      return again;
    }
    return answer;
  }

  async #sendSigned(request: LinkRequest, key: TokenKey, signal: AbortSignal): Promise<LinkAnswer> {
    const answer = await this.#sendOnce(request, key, signal);
    if (answer.kind === "problem" && answer.problem.code === "token-expired") {
      // the answer's Date has just told central's time
      this.#token = undefined;
      return this.#sendOnce(request, key, signal);
    }
    return answer;
  }

  async #sendOnce(request: LinkRequest, key: TokenKey, signal: AbortSignal): Promise<LinkAnswer> {
    const url = new URL(request.path, this.#deps.centralUrl);
    try {
      const answer = await this.#exchange(url, request, await this.#tokenBy(key), signal);
      const { status, headers, bytes } = answer;
      const isFine = status >= 200 && status < 300;
      if (isFine && request.mostBytes !== undefined) {
        this.#learnClock(headers.date);
        return { kind: "ok", status, body: undefined, text: "", bytes };
      }
      const text = bytes.toString("utf8");
      const body = (headers["content-type"] ?? "").includes("json") ? parseJson(text) : undefined;
      if (isFine) {
        this.#learnClock(headers.date);
        return { kind: "ok", status, body, text };
      }
      const told = problem.safeParse(body);
      // a proxy's error page is not central's word: nothing may follow from it
      if (!told.success)
        throw new PlantgateError("PEER_UNREACHABLE", `${url.host} answered ${status}, but not as central does`, {
          context: { answered: true },
        });
      this.#learnClock(headers.date);
      return { kind: "problem", problem: told.data, retryAfterMs: retryAfter(headers["retry-after"]) };
    } catch (cause) {
      if (cause instanceof PlantgateError) throw cause;
      throw noTls(url, cause) ?? new PlantgateError("PEER_UNREACHABLE", `central does not answer at ${url.origin}`, { cause });
    }
  }

  /** Once more where central had closed a connection that was kept open, just as it was used again. */
  async #exchange(url: URL, request: LinkRequest, token: string, signal: AbortSignal): Promise<RawAnswer> {
    try {
      return await this.#exchangeOnce(url, request, token, signal);
    } catch (error) {
      if (!(error instanceof StaleConnection) || signal.aborted) throw error;
      return this.#exchangeOnce(url, request, token, signal);
    }
  }

  #exchangeOnce(url: URL, request: LinkRequest, token: string, signal: AbortSignal): Promise<RawAnswer> {
    const body = request.json === undefined ? request.body : Buffer.from(JSON.stringify(request.json));
    const headers = {
      authorization: `Bearer ${token}`,
      accept: "application/json, application/problem+json",
      ...(request.json === undefined ? {} : { "content-type": "application/json" }),
      ...(body === undefined ? {} : { "content-length": String(body.byteLength) }),
      ...request.headers,
    };
    // what is no answer of bytes is a problem in a few words
    const mostBytes = request.mostBytes === undefined ? maxAnswerBytes : Math.max(request.mostBytes, maxProblemBytes);
    return new Promise((resolve, reject) => {
      const sent = this.#dialer.request(url, { method: request.method, headers, agent: this.#dialer.agent }, (response) => {
        const parts: Buffer[] = [];
        let bytes = 0;
        response.on("data", (part: Buffer) => {
          bytes += part.length;
          limit.allowFor(part.length);
          parts.push(part);
          if (bytes > mostBytes) fail(tooMuch(request));
        });
        response.on("error", fail);
        response.on("aborted", () => fail(new Error("the answer was cut off")));
        response.on("end", () => {
          settled();
          resolve({ status: response.statusCode ?? 0, headers: response.headers, bytes: Buffer.concat(parts) });
        });
      });
      const limit = new TimeLimit(this.#deps.clock, request.longestMs ?? defaultLongestMs, (afterMs) =>
        fail(new Error(`not done after ${Math.round(afterMs / 1000)} s`)),
      );
      limit.allowFor(body?.byteLength ?? 0);
      const settled = (): void => {
        limit.end();
        signal.removeEventListener("abort", aborted);
      };
      // settles at once, whatever the connection still does: it may not even be open yet
      const fail = (error: Error): void => {
        settled();
        reject(error);
        sent.destroy();
      };
      const aborted = (): void => fail(new Error("the request was given up"));
      sent.setTimeout(request.silenceMs, () => fail(new Error(`silent for ${Math.round(request.silenceMs / 1000)} s`)));
      sent.on("error", (cause: NodeJS.ErrnoException) => {
        const stale = sent.reusedSocket && cause.code === "ECONNRESET";
        fail(stale ? new StaleConnection("the connection was closed meanwhile", { cause }) : cause);
      });
      if (signal.aborted) return aborted();
      signal.addEventListener("abort", aborted, { once: true });
      sent.end(body);
    });
  }

  async #tokenBy({ privateKey, fingerprint }: TokenKey): Promise<string> {
    const { clock, site } = this.#deps;
    const known = this.#token;
    if (known?.fingerprint === fingerprint && clock.monotonic() < known.renewAt) return known.text;
    const issuedAt = Math.floor((this.centralNow() ?? clock.now()) / 1000);
    const text = await new SignJWT({})
      .setProtectedHeader({ alg: "EdDSA", typ: "JWT", kid: fingerprint })
      .setIssuer(site)
      .setSubject(site)
      .setAudience(tokenAudience)
      .setJti(randomUUID())
      .setIssuedAt(issuedAt)
      .setExpirationTime(issuedAt + tokenLifeSeconds)
      .sign(privateKey);
    this.#token = { text, fingerprint, renewAt: clock.monotonic() + (tokenLifeSeconds - 60) * 1000 };
    return text;
  }

  #learnClock(date: string | undefined): void {
    const central = date === undefined ? Number.NaN : Date.parse(date);
    if (!Number.isFinite(central)) return;
    const { clock } = this.#deps;
    const now = clock.now();
    // the header has whole seconds: less than two is no skew
    const next = Math.abs(central - now) < 2000 ? now : central;
    if (Math.abs(next - (this.centralNow() ?? now)) > 5000) this.#token = undefined;
    this.#told = { central: next, at: clock.monotonic() };
  }
}

/** OpenSSL's own words for a server that answers a handshake with something else name a line of its source. */
function noTls({ origin, hostname, port }: URL, cause: unknown): PlantgateError | undefined {
  if ((cause as NodeJS.ErrnoException).code !== "ERR_SSL_WRONG_VERSION_NUMBER") return undefined;
  return new PlantgateError(
    "PEER_UNREACHABLE",
    `what answers at ${origin} does not speak TLS; where it speaks plain HTTP, its address is http://${hostname}:${port || 443}`,
  );
}

/** More than a request asked for is central's mistake, or not central; more than any answer has is a way that is broken. */
function tooMuch({ mostBytes }: LinkRequest): Error {
  if (mostBytes === undefined) return new Error(`the answer has more than ${maxAnswerBytes} bytes`);
  return new PlantgateError("PEER_REFUSED", `central gave more than the ${mostBytes} bytes that were asked for`);
}

/** Problems that say of the key of a call that it does not count. */
const deniesKey = new Set(["key-unknown", "token-invalid", "site-revoked", "not-allowed"]);

/** Another key may be taken. */
function isOfKey(answer: LinkAnswer): boolean {
  return answer.kind === "problem" && (answer.problem.code === "key-unknown" || answer.problem.moved === true);
}

/** At most `longestPauseMs`: whoever asks for more is asked again by then, so that no mistake there stops a lane for a day (P5). */
function retryAfter(header: string | undefined): number | undefined {
  const seconds = Number(header);
  return header !== undefined && seconds >= 0
    ? Math.min(longestPauseMs, seconds * 1000 * (1 + spread * Math.random()))
    : undefined;
}
