import type { OrdersAnswer, OrderView, SitesAnswer } from "../../http/views.ts";

/** What central answered instead of a result, or that it did not answer. */
export class ApiError extends Error {
  /** The HTTP status; 0 when there was no answer. */
  readonly status: number;
  readonly code: string;

  constructor(status: number, code: string, message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.name = "ApiError";
    this.status = status;
    this.code = code;
  }
}

/** An answer and the moment it came, by the browser's monotonic clock: a change of the computer's time makes nothing look fresh. */
export interface Received<T> {
  readonly answer: T;
  readonly receivedAtMs: number;
}

// A half-open connection must not look like a slow one for longer than the page calls its data fresh.
const timeoutMs = 4000;

export const api = {
  sites: (signal: AbortSignal) => get<SitesAnswer>("/v1/sites", signal),
  orders: (query: string, signal: AbortSignal) => get<OrdersAnswer>(`/v1/orders?q=${encodeURIComponent(query)}`, signal),
  order: (id: string, signal: AbortSignal) => get<OrderView>(`/v1/orders/${encodeURIComponent(id)}`, signal),
};

/** @throws ApiError with the problem's code; status 0 when central did not answer in time */
async function get<T>(path: string, signal: AbortSignal): Promise<Received<T>> {
  const timeout = AbortSignal.timeout(timeoutMs);
  let response: Response;
  let body: unknown;
  try {
    response = await fetch(path, {
      signal: AbortSignal.any([signal, timeout]),
      headers: { accept: "application/json" },
      credentials: "same-origin",
      cache: "no-store",
    });
    body = await response.json().catch((cause: unknown) => {
      if (signal.aborted || timeout.aborted) throw cause;
      return undefined;
    });
  } catch (cause) {
    if (signal.aborted) throw cause;
    throw new ApiError(
      0,
      "unreachable",
      timeout.aborted ? "Central did not answer within 4 s" : "Central cannot be reached",
      cause,
    );
  }
  if (!response.ok) throw toApiError(response.status, body);
  if (body === undefined) throw new ApiError(response.status, "invalid", "Central's answer is not JSON");
  return { answer: body as T, receivedAtMs: performance.now() };
}

function toApiError(status: number, body: unknown): ApiError {
  const problem =
    typeof body === "object" && body !== null ? (body as { code?: unknown; title?: unknown; detail?: unknown }) : {};
  const words = [problem.title, problem.detail].filter((text): text is string => typeof text === "string" && text !== "");
  return new ApiError(
    status,
    typeof problem.code === "string" ? problem.code : "unknown",
    words.length > 0 ? words.join(": ") : `Central answered ${status}`,
  );
}
