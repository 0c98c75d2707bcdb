import type { MiddlewareHandler } from "hono";
import type { Clock } from "../../protocol/index.ts";
import { ProblemError } from "./problem.ts";

/** How often a route may be called by anybody together: so many at once, so many a second from then on. */
export function rateBounded(
  clock: () => Pick<Clock, "monotonic">,
  { atOnce, perSecond }: { readonly atOnce: number; readonly perSecond: number },
): MiddlewareHandler {
  let [left, at] = [atOnce, 0];
  return async (_, next) => {
    const now = clock().monotonic();
    left = Math.min(atOnce, left + ((now - at) / 1000) * perSecond);
    at = now;
    if (left < 1) throw new ProblemError("limited", "too many ask for this at once", { headers: { "retry-after": "2" } });
    left -= 1;
    await next();
  };
}
