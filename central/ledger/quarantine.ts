import { hash } from "node:crypto";
import type { Lane } from "../../protocol/index.ts";
import { insertRows } from "../storage/bulk.ts";
import { storable } from "../storage/storable.ts";
import type { StorageTransaction } from "../storage/storage.ts";

export type QuarantineCode =
  | "undecodable"
  | "site-mismatch"
  | "lane-mismatch"
  | "type-not-granted"
  | "conflict"
  | "projection-failed";

/** A line that is set aside: its beginning for people, and what tells it from any other. All of it stays in its batch. */
export interface Evidence {
  readonly text: string;
  readonly bytes: number;
  readonly sha256: string;
}
export interface SetAside {
  readonly sequence: number;
  readonly code: QuarantineCode;
  readonly reason: string;
  readonly evidence: Evidence;
  /** The position of the message that it contradicts. */
  readonly conflictsWith?: number | undefined;
}

/** Characters that are kept of a line, of all lines that are set aside together, and of a reason: 6 KB of zstd can be 32 MiB of lines. */
const kept = { line: 4096, together: 256 * 1024, reason: 1000 } as const;

/** @param line its text; its bytes, where they are no text */
export function evidenceOf(line: string | Buffer): Evidence {
  const bytes = Buffer.byteLength(line);
  // four bytes a character at most
  const text = typeof line === "string" ? line.slice(0, kept.line) : line.toString("utf8", 0, 4 * kept.line).slice(0, kept.line);
  // its own text: a part of a longer one would keep all of it in memory
  return { text: Buffer.from(text.toWellFormed()).toString(), bytes, sha256: hash("sha256", line) };
}

/** Writes what is set aside of one stretch of a batch. */
export async function setLinesAside(
  tx: StorageTransaction,
  place: { readonly site: string; readonly lane: Lane; readonly epoch: string; readonly receivedAt: number },
  lines: readonly SetAside[],
): Promise<void> {
  const { site, lane, epoch, receivedAt } = place;
  let left: number = kept.together;
  const rows = lines.map(({ sequence, code, reason, evidence, conflictsWith }) => {
    const text = evidence.text.slice(0, left).toWellFormed();
    left -= text.length;
    return {
      site,
      lane,
      epoch,
      sequence,
      code,
      reason: storable(reason.slice(0, kept.reason).toWellFormed()),
      conflicts_with: conflictsWith ?? null,
      line: storable(text),
      line_bytes: evidence.bytes,
      line_sha256: evidence.sha256,
      received_at: receivedAt,
    };
  });
  await insertRows(tx, "quarantine", columns, rows);
}
const columns = [
  "site",
  "lane",
  "epoch",
  "sequence",
  "code",
  "reason",
  "conflicts_with",
  "line",
  "line_bytes",
  "line_sha256",
  "received_at",
] as const;
