import { describeError, PlantgateError } from "../../../protocol/index.ts";

/** A complete answer, or why there is none. `sent`: whether the request may have reached the peer. */
export type Exchange =
  | { readonly kind: "answer"; readonly status: number; readonly body: Uint8Array; readonly retryAfterMs: number | undefined }
  | { readonly kind: "failed"; readonly sent: boolean; readonly reason: string };

export interface PeerRequest {
  readonly method: "GET" | "POST";
  readonly path: string;
  readonly headers?: Record<string, string>;
  readonly body?: Uint8Array;
}

/** Most of an answer that is read. */
const maxAnswerBytes = 16 * 1024 * 1024;

/** Errors that come before any byte of a request left: name, route, refused connection, certificate. */
const beforeSending =
  /^(ECONNREFUSED|ENOTFOUND|EAI_AGAIN|EHOSTUNREACH|ENETUNREACH|EADDRNOTAVAIL|UND_ERR_CONNECT_TIMEOUT|CERT_.*|DEPTH_ZERO_SELF_SIGNED_CERT|SELF_SIGNED_CERT_IN_CHAIN|UNABLE_TO_.*|ERR_TLS_.*|ERR_SSL_.*)$/;

/** The HTTP peer of a connector: its base address, token and patience. */
export class Peer {
  readonly #base: URL;
  readonly #bearer: (() => string) | undefined;
  readonly #timeoutMs: number;

  /** `bearer` is read for each request. @throws PlantgateError CONFIG_INVALID: no request could be made with these, what is said of them repeats neither; SECRET_MISSING */
  constructor(url: string, bearer: (() => string) | undefined, timeoutMs: number) {
    this.#base = new URL(url.endsWith("/") ? url : `${url}/`);
    if (this.#base.username !== "" || this.#base.password !== "")
      throw new PlantgateError("CONFIG_INVALID", "url holds a user or a password; name a bearer token as a secret instead");
    this.#bearer = bearer;
    this.#timeoutMs = timeoutMs;
    this.#authorization();
  }

  /** The address of a path under the base; undefined where the path would lead out of it. */
  addressOf(path: string): URL | undefined {
    const address = new URL(`${this.#base.href}${path.replace(/^\//, "")}`);
    return address.origin === this.#base.origin && address.pathname.startsWith(this.#base.pathname) ? address : undefined;
  }

  /** Never throws for what the peer does; redirects are not followed, the token stays where it belongs. */
  async ask({ method, path, headers, body }: PeerRequest, signal: AbortSignal): Promise<Exchange> {
    const address = this.addressOf(path);
    if (!address)
      return { kind: "failed", sent: false, reason: `the path ${path.slice(0, 200)} leads out of ${this.#base.href}` };
    if (signal.aborted) return { kind: "failed", sent: false, reason: "stopped" };
    let authorization: Record<string, string>;
    try {
      authorization = this.#authorization();
    } catch (error) {
      return { kind: "failed", sent: false, reason: describeError(error) };
    }
    const timeout = AbortSignal.timeout(this.#timeoutMs);
    const either = AbortSignal.any([signal, timeout]);
    const request = this.#request(address, { method, headers: { ...headers, ...authorization }, body }, either);
    if (!request) return { kind: "failed", sent: false, reason: `no request to ${address.host} can be made of this message` };
    try {
      const response = await fetch(request);
      return {
        kind: "answer",
        status: response.status,
        body: await readBounded(response),
        retryAfterMs: retryAfter(response.headers.get("retry-after")),
      };
    } catch (error) {
      if (timeout.aborted)
        return { kind: "failed", sent: true, reason: `${address.host} did not answer within ${this.#timeoutMs} ms` };
      if (signal.aborted) return { kind: "failed", sent: true, reason: "stopped while waiting for the answer" };
      const code = codeOf(error);
      return { kind: "failed", sent: !beforeSending.test(code), reason: `${address.host}: ${describeError(error)}` };
    }
  }

  /** @throws PlantgateError SECRET_MISSING, CONFIG_INVALID */
  #authorization(): Record<string, string> {
    if (!this.#bearer) return {};
    const token = this.#bearer();
    if (!/^[\x21-\x7e]+$/.test(token))
      throw new PlantgateError(
        "CONFIG_INVALID",
        "the secret of auth.bearer is no token: it is empty, or holds a blank, a line break or another sign that no token has",
      );
    return { authorization: `Bearer ${token}` };
  }

  /** Undefined where it cannot be made; why is not said, as it would repeat what a header holds. */
  #request(address: URL, { method, headers, body }: Omit<PeerRequest, "path">, signal: AbortSignal): Request | undefined {
    try {
      return new Request(address, {
        method,
        ...(headers === undefined ? {} : { headers }),
        ...(body === undefined ? {} : { body: Buffer.from(body) }),
        redirect: "manual",
        signal,
      });
    } catch {
      return undefined;
    }
  }
}

async function readBounded(response: Response): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of response.body ?? []) {
    size += chunk.byteLength;
    if (size > maxAnswerBytes) throw new Error(`its answer has more than ${maxAnswerBytes} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

/** Retry-After in seconds or as a date (RFC 9110, 10.2.3), in ms; at most an hour, so that a wrong clock there does not stop us. */
function retryAfter(header: string | null): number | undefined {
  if (header === null) return undefined;
  const ms = /^\d+$/.test(header.trim()) ? Number(header) * 1000 : Date.parse(header) - Date.now();
  return Number.isNaN(ms) ? undefined : Math.min(3_600_000, Math.max(0, ms));
}

function codeOf(error: unknown): string {
  for (let e: unknown = error, depth = 0; e instanceof Error && depth < 4; e = e.cause, depth++) {
    const { code } = e as { code?: unknown };
    if (typeof code === "string") return code;
  }
  return "";
}
