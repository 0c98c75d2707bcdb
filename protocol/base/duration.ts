import { z } from "zod";

const factors = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const;
const pattern = /^(\d{1,9})(ms|s|m|h|d)$/;

/** A length of time as configuration writes it: `100ms`, `15s`, `5m`, `4h`, `1d`. */
export const duration = z.string().regex(pattern, "a duration such as 100ms, 15s, 5m, 4h or 1d");

/** Milliseconds of a valid {@link duration}. */
export function durationMs(text: string): number {
  const match = pattern.exec(text);
  if (!match) throw new RangeError(`not a duration: ${text}`);
  return Number(match[1]) * factors[match[2] as keyof typeof factors];
}
