import { subscribe } from "node:diagnostics_channel";
import { appendFileSync } from "node:fs";
import type { IncomingMessage, ServerResponse } from "node:http";

/**
 * Loaded into central before it runs (`--import`): notes when each batch came and when its answer left, from outside of its code. A line
 * is `answered first count status path came`; times in ms of the wall clock, with fractions.
 */
const file = process.env.PLANTGATE_BENCH_BATCHES;

if (file !== undefined) {
  const came = new WeakMap<IncomingMessage, number>();
  subscribe("http.server.request.start", (message) => {
    const { request } = message as { request: IncomingMessage };
    if (request.headers["plantgate-count"] !== undefined) came.set(request, performance.timeOrigin + performance.now());
  });
  subscribe("http.server.response.finish", (message) => {
    const { request, response } = message as { request: IncomingMessage; response: ServerResponse };
    const since = came.get(request);
    if (since === undefined) return;
    const { "plantgate-first-sequence": first, "plantgate-count": count } = request.headers;
    const at = performance.timeOrigin + performance.now();
    appendFileSync(file, `${at} ${first} ${count} ${response.statusCode} ${request.url} ${since}\n`);
  });
}
