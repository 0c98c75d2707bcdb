/**
 * What central says of a message besides the message, kept beside it on disk: how long it waited elsewhere, and whether this site
 * acknowledged it once before.
 */
export interface HandedDown {
  readonly waitedMs: number;
  readonly again: boolean;
}

export const justNow: HandedDown = { waitedMs: 0, again: false };

export function encodeHandedDown(handed: HandedDown): Uint8Array {
  return Buffer.from(JSON.stringify(handed));
}

/** Frames that an older version wrote hold nothing beside their messages. */
export function parseHandedDown(bytes: Uint8Array | undefined): HandedDown {
  return bytes === undefined ? justNow : (JSON.parse(Buffer.from(bytes).toString("utf8")) as HandedDown);
}
