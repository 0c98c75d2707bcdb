import { toInstant } from "../../protocol/index.ts";
import { isState, rankedAlarms } from "../alert/standing.ts";
import type { ExceptionView, QuarantinedView } from "../http/views.ts";
import type { Storage } from "../storage/storage.ts";

/** Text of one answer at most. */
const maxAnswerBytes = 4 * 1024 * 1024;

/** What was set aside, and what people are told of. */
export class Records {
  readonly #storage: Storage;

  constructor(storage: Storage) {
    this.#storage = storage;
  }

  /** Messages that were set aside, newest first, with the beginning of the line as it came. */
  async quarantine(limit: number): Promise<{ quarantine: readonly QuarantinedView[] }> {
    const rows = await this.#storage.selectFrom("quarantine").selectAll().orderBy("received_at", "desc").limit(limit).execute();
    const quarantine: QuarantinedView[] = [];
    let bytes = 0;
    for (const { received_at, conflicts_with, line_bytes, line_sha256, ...row } of rows) {
      const recordedAt = toInstant(received_at);
      const view = { ...row, lineBytes: line_bytes, lineSha256: line_sha256, conflictsWith: conflicts_with, recordedAt };
      bytes += JSON.stringify(view).length;
      if (bytes > maxAnswerBytes) break;
      quarantine.push(view);
    }
    return { quarantine };
  }

  /** Alarms and messages that nobody takes, the last seen first; where there are too many, fewer of each site. */
  async exceptions(site?: string): Promise<{ exceptions: readonly ExceptionView[] }> {
    const rows = await rankedAlarms(this.#storage, { site })
      .selectAll()
      .orderBy("place")
      .orderBy("last_at", "desc")
      .limit(1000)
      .execute();
    rows.sort((a, b) => b.last_at - a.last_at);
    const orNull = (text: string): string | null => (text === "" ? null : text);
    return {
      exceptions: rows.map((row) => ({
        site: orNull(row.site),
        kind: row.kind,
        severity: row.severity,
        lane: orNull(row.lane),
        type: orNull(row.type),
        target: orNull(row.target),
        reason: row.reason,
        count: row.count,
        firstAt: toInstant(row.first_at),
        lastAt: toInstant(row.last_at),
        endedAt: row.ended_at === null ? null : toInstant(row.ended_at),
        stands: row.ended_at === null && isState(row.kind),
        lastPosition: row.last_position,
        range:
          row.first_sequence === null || row.last_sequence === null
            ? null
            : { first: row.first_sequence, last: row.last_sequence },
      })),
    };
  }
}
