import type { Clock } from "../../protocol/index.ts";
import type { Storage } from "../storage/storage.ts";
import type { Logger } from "../telemetry/logger.ts";
import type { Audit } from "./audit.ts";

const everyMs = 24 * 3_600_000;

/** Says the audit log's head in central's own log, at the start and each day: whoever keeps that elsewhere can prove that nothing was rewritten. */
export async function logHeads(
  { audit, storage, clock, log }: { audit: Audit; storage: Storage; clock: Clock; log: Logger },
  signal: AbortSignal,
): Promise<void> {
  while (!signal.aborted) {
    try {
      log.info({ event: "audit.head.noted", ...(await audit.head(storage)) }, "the audit log ends with this hash");
    } catch (err) {
      log.warn({ event: "audit.head.failed", err }, "the audit log's head could not be read");
    }
    await clock.sleep(everyMs, signal);
  }
}
