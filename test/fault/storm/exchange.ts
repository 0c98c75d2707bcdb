import { type Agent, request } from "node:http";

export interface Reply {
  /** 0: the connection broke off, or nothing came in time. */
  readonly status: number;
  readonly body: Record<string, unknown>;
  readonly retryAfterMs: number | undefined;
  readonly tookMs: number;
}

/** One POST over the agent's connections; never throws. */
export function post(
  url: URL,
  options: { agent: Agent; headers: Record<string, string>; body: Uint8Array | string; timeoutMs: number },
): Promise<Reply> {
  const began = performance.now();
  return new Promise((resolve) => {
    const end = (status: number, text: string, retryAfter?: string): void => {
      const seconds = Number(retryAfter ?? Number.NaN);
      resolve({
        status,
        body: parse(text),
        retryAfterMs: Number.isFinite(seconds) ? seconds * 1000 : undefined,
        tookMs: performance.now() - began,
      });
    };
    const { agent, headers, body, timeoutMs } = options;
    const call = request(
      url,
      { method: "POST", agent, timeout: timeoutMs, headers: { ...headers, "content-length": Buffer.byteLength(body) } },
      (response) => {
        const chunks: Buffer[] = [];
        response.on("data", (chunk: Buffer) => chunks.push(chunk));
        response.on("error", () => end(0, ""));
        response.on("end", () =>
          end(response.statusCode ?? 0, Buffer.concat(chunks).toString(), response.headers["retry-after"]),
        );
      },
    );
    call.on("timeout", () => call.destroy());
    call.on("error", () => end(0, ""));
    call.end(body);
  });
}

function parse(text: string): Record<string, unknown> {
  try {
    return JSON.parse(text) as Record<string, unknown>;
  } catch {
    return {};
  }
}
