import { PlantgateError } from "../../protocol/index.ts";

/**
 * What central says of a message besides the message, kept beside it on disk: how long it waited elsewhere, whether this site
 * acknowledged it once before, and when it came, by central's clock: after a restart of the machine that tells its age (rule 10).
 */
export interface HandedDown {
  /** Undefined: nobody can tell. */
  readonly waitedMs: number | undefined;
  readonly again: boolean;
  readonly centralAt?: number;
}

export const justNow: HandedDown = { waitedMs: 0, again: false };

export function encodeHandedDown(handed: HandedDown): Uint8Array {
  return Buffer.from(JSON.stringify(handed));
}

/**
 * Frames that an older version wrote hold nothing beside their messages.
 * @throws PlantgateError FRAME_CORRUPT
 */
export function parseHandedDown(bytes: Uint8Array | undefined): HandedDown {
  if (bytes === undefined) return justNow;
  try {
    return JSON.parse(Buffer.from(bytes).toString("utf8")) as HandedDown;
  } catch (cause) {
    throw new PlantgateError("FRAME_CORRUPT", "what central said of a message cannot be read", { cause });
  }
}
