/** A part of something, both ends included. */
export interface Part {
  readonly first: number;
  readonly last: number;
  readonly isPart: boolean;
}

/** What a `Range` header asks for (RFC 9110, 14.2): one range from a first byte on. Undefined: not that, or nothing of it is there. */
export function readPart(header: string | undefined, size: number): Part | undefined {
  if (header === undefined) return { first: 0, last: size - 1, isPart: false };
  const [, from, to] = /^bytes=(\d{1,15})-(\d{1,15})?$/.exec(header) ?? [];
  if (from === undefined) return undefined;
  const first = Number(from);
  const last = Math.min(to === undefined ? size - 1 : Number(to), size - 1);
  return first <= last ? { first, last, isPart: true } : undefined;
}
