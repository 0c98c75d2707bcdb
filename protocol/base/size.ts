import { z } from "zod";

const factors = { B: 1, KiB: 1024, MiB: 1024 ** 2, GiB: 1024 ** 3 } as const;
const pattern = /^(\d{1,9})(B|KiB|MiB|GiB)$/;

/** An amount of storage as configuration writes it: `512MiB`, `2GiB`. */
export const byteSize = z.string().regex(pattern, "a size such as 64KiB, 512MiB or 2GiB");

/** Bytes of a valid {@link byteSize}. */
export function sizeBytes(text: string): number {
  const match = pattern.exec(text);
  if (!match) throw new RangeError(`not a size: ${text}`);
  return Number(match[1]) * factors[match[2] as keyof typeof factors];
}
