interface ApiErrorDetails {
  readonly problem?: Readonly<Record<string, unknown>>;
  readonly notBefore?: number;
  readonly cause?: unknown;
}

/** What central answered instead of a result, or that it did not answer. */
export class ApiError extends Error {
  /** The HTTP status; 0 when there was no answer. */
  readonly status: number;
  readonly code: string;
  /** The whole problem (RFC 9457), with what belongs to its code. */
  readonly problem: Readonly<Record<string, unknown>>;
  /** The browser's time before which it is of no use to try again (`Retry-After`). */
  readonly notBefore: number | undefined;

  constructor(status: number, code: string, message: string, more: ApiErrorDetails = {}) {
    const { problem = {}, notBefore, cause } = more;
    super(message, cause === undefined ? undefined : { cause });
    this.name = "ApiError";
    this.status = status;
    this.code = code;
    this.problem = problem;
    this.notBefore = notBefore;
  }
}

/** An answer and the moment it came, by the browser's monotonic clock: a change of the computer's time makes nothing look fresh. */
export interface Received<T> {
  readonly answer: T;
  readonly receivedAtMs: number;
}

/** A half-open connection must not look like a slow one for longer than the page calls its data fresh. */
const quickMs = 4000;
/** Rendering bundles for many sites, running examples, hashing a password. */
export const slowMs = 60_000;

export interface CallOptions {
  readonly signal?: AbortSignal;
  readonly body?: unknown;
  readonly timeoutMs?: number;
}

// Changes made with a session's cookie carry what only this page was told: no other page can make them (`plantgate-csrf`).
let csrf: string | null = null;
export function setCsrf(value: string | null): void {
  csrf = value;
}

/** @throws ApiError with the problem's code; status 0 when central did not answer in time */
export async function get<T>(path: string, options: CallOptions = {}): Promise<Received<T>> {
  const answer = await call<T>("GET", path, options);
  return { answer, receivedAtMs: performance.now() };
}

/** @throws ApiError as {@link get} does; after status 0 nobody knows whether it happened */
export function send<T>(
  method: "POST" | "PUT" | "PATCH" | "DELETE",
  path: string,
  body?: unknown,
  timeoutMs = slowMs,
): Promise<T> {
  return call<T>(method, path, { body, timeoutMs });
}

/** A path of parts, each escaped: a document's or a site's name is never more than one of them. */
export function pathOf(
  parts: readonly (string | number)[],
  query: Readonly<Record<string, string | number | undefined>> = {},
): string {
  const search = new URLSearchParams();
  for (const [key, value] of Object.entries(query)) if (value !== undefined && value !== "") search.set(key, String(value));
  const text = search.size === 0 ? "" : `?${search.toString()}`;
  return `/v1/${parts.map((part) => encodeURIComponent(part)).join("/")}${text}`;
}

async function call<T>(method: string, path: string, { signal, body, timeoutMs = quickMs }: CallOptions): Promise<T> {
  const timeout = AbortSignal.timeout(timeoutMs);
  const changes = method !== "GET";
  let response: Response;
  let answer: unknown;
  try {
    response = await fetch(path, {
      method,
      signal: signal ? AbortSignal.any([signal, timeout]) : timeout,
      headers: {
        accept: "application/json",
        ...(body === undefined ? {} : { "content-type": "application/json" }),
        ...(changes && csrf !== null ? { "plantgate-csrf": csrf } : {}),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      credentials: "same-origin",
      cache: "no-store",
    });
    const text = await response.text();
    answer = text === "" ? null : parseJson(text);
  } catch (cause) {
    if (signal?.aborted) throw cause;
    const words = timeout.aborted
      ? `Central did not answer within ${Math.round(timeoutMs / 1000)} s`
      : "Central cannot be reached";
    throw new ApiError(0, "unreachable", words, { cause });
  }
  if (!response.ok) throw toApiError(response, answer);
  if (answer === undefined) throw new ApiError(response.status, "invalid", "Central's answer is not JSON");
  return answer as T;
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function toApiError({ status, headers }: Response, body: unknown): ApiError {
  const problem = typeof body === "object" && body !== null ? (body as Record<string, unknown>) : {};
  const words = [problem.title, problem.detail].filter((text): text is string => typeof text === "string" && text !== "");
  const waitSeconds = Number(headers.get("retry-after") ?? Number.NaN);
  return new ApiError(
    status,
    typeof problem.code === "string" ? problem.code : "unknown",
    words.length > 0 ? words.join(": ") : `Central answered ${status}`,
    { problem, ...(Number.isFinite(waitSeconds) ? { notBefore: Date.now() + waitSeconds * 1000 } : {}) },
  );
}
