import type { Context, MiddlewareHandler } from "hono";
import { ProblemError } from "./problem.ts";

/** A body that holds keys and little else. */
export const maxKeyBytes = 16 * 1024;
/** One body of JSON; what one caller may send at once, and all of them together. Batches have limits of their own. */
export const jsonLimits = { bodyBytes: 8 * 1024 * 1024, callerBytes: 8 * 1024 * 1024, totalBytes: 64 * 1024 * 1024 } as const;

/**
 * Admits bodies of JSON by the length that they announce, before anything of them is read (rule 21). Stands behind whatever asks who is
 * calling: nothing of a stranger's body is held.
 * @param callerOf who sends it, once that is known
 */
export function jsonBodies(callerOf: (variables: object) => string): MiddlewareHandler {
  const held = new Map<string, number>();
  let total = 0;
  return async (c, next) => {
    const bytes = announcedBytes(c, jsonLimits.bodyBytes);
    const caller = callerOf(c.var);
    const own = held.get(caller) ?? 0;
    const headers = { "retry-after": "2" };
    if (own + bytes > jsonLimits.callerBytes)
      throw new ProblemError("limited", "as much of this caller's JSON is on its way as one may have", { headers });
    if (total + bytes > jsonLimits.totalBytes) throw new ProblemError("busy", "central takes in as much as it can", { headers });
    requireJson(c);
    held.set(caller, own + bytes);
    total += bytes;
    try {
      await next();
    } finally {
      total -= bytes;
      const left = (held.get(caller) ?? 0) - bytes;
      if (left > 0) held.set(caller, left);
      else held.delete(caller);
    }
  };
}

/** Admits a stranger's body: a small one, as nobody knows yet who sends it. */
export function smallBody(maxBytes: number): MiddlewareHandler {
  return async (c, next) => {
    announcedBytes(c, maxBytes);
    requireJson(c);
    await next();
  };
}

/** @throws ProblemError where that is more than `maxBytes`, or not said */
function announcedBytes({ req }: Context, maxBytes: number): number {
  // the length of what comes in chunks is known when it is held already
  if (req.header("transfer-encoding") !== undefined) throw new ProblemError("invalid", "a body of JSON says its Content-Length");
  const bytes = Number(req.header("content-length") ?? 0);
  if (bytes > maxBytes) throw new ProblemError("too-large", `a body of JSON has ${maxBytes} bytes at most here`);
  return bytes;
}

function requireJson({ req }: Context): void {
  if (!(req.header("content-type") ?? "").startsWith("application/json"))
    throw new ProblemError("unsupported-media", "send application/json");
}
