import { createHash, timingSafeEqual } from "node:crypto";

/** How codes, cookies and tokens are kept: of so much entropy that a plain hash tells nothing. */
export function hex(secret: string): string {
  return createHash("sha256").update(secret).digest("hex");
}

/** Compares hashes, which have one length, so that the time it takes tells nothing. */
export function isSame(one: string, other: string): boolean {
  return timingSafeEqual(Buffer.from(hex(one)), Buffer.from(hex(other)));
}
