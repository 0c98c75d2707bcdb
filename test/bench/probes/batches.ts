import { subscribe } from "node:diagnostics_channel";
import { appendFileSync } from "node:fs";
import type { IncomingMessage, ServerResponse } from "node:http";

/**
 * Loaded into central before it runs (`--import`): notes when the answer to each batch left, from outside of its code. A line is
 * `ms first count status`; ms as of the wall clock, with fractions.
 */
const file = process.env.PLANTGATE_BENCH_BATCHES;

if (file !== undefined)
  subscribe("http.server.response.finish", (message) => {
    const { request, response } = message as { request: IncomingMessage; response: ServerResponse };
    const count = request.headers["plantgate-count"];
    if (count === undefined) return;
    const at = performance.timeOrigin + performance.now();
    appendFileSync(file, `${at} ${request.headers["plantgate-first-sequence"]} ${count} ${response.statusCode} ${request.url}\n`);
  });
