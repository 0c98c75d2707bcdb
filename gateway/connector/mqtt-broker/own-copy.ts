/**
 * A payload to be kept: a small one is a piece of the chunk that it came in, and would keep all of that in memory.
 */
export function ownCopy(payload: Buffer | string): Buffer {
  if (typeof payload === "string") return Buffer.from(payload);
  if (payload.byteLength * 2 >= payload.buffer.byteLength) return payload;
  const copy = Buffer.allocUnsafeSlow(payload.byteLength);
  payload.copy(copy);
  return copy;
}
