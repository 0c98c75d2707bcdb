const factors = { B: 1, KiB: 1024, MiB: 1024 ** 2, GiB: 1024 ** 3 } as const;

/** How configuration writes an amount of storage: `512MiB`, `2GiB`. */
export const sizePattern = /^(\d{1,9})(B|KiB|MiB|GiB)$/;

/** Bytes of a text of {@link sizePattern}. */
export function sizeBytes(text: string): number {
  const match = sizePattern.exec(text);
  if (!match) throw new RangeError(`not a size: ${text}`);
  return Number(match[1]) * factors[match[2] as keyof typeof factors];
}
