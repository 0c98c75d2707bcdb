import type { DiskReport } from "../queue/change.ts";
import type { QueueNotice } from "../queue/worker.ts";
import type { Logger } from "./logger.ts";

const steps: Record<DiskReport["state"], string> = {
  ok: "there is room on the queue's disk",
  discarding: "the queue's disk is nearly full: the oldest samples make room for newer ones",
  "bulk-refused": "the queue's disk is nearly full: batch data is refused at its source",
  refusing: "the queue's disk is full: messages are refused at their source until there is room",
};

/** Says what the queue found of its own disk. */
export function logNotice(log: Logger, notice: QueueNotice): void {
  switch (notice.kind) {
    case "lost":
      return log.error(
        { event: "queue.range.lost", ...notice },
        "the end of the queue's log is gone: messages that were acknowledged are recorded as lost; what was delivered is checked again",
      );
    case "salvaged":
      return log.error(
        { event: "queue.file.salvaged", ...notice },
        "the queue's file was damaged: what could be read was carried over, the damaged file is kept",
      );
    case "locked":
      return log.error(
        { event: "queue.keys.locked", ...notice },
        "the key of the keystore is gone: what it sealed stays locked until the recovery key opens it (plantgate queue recover-keys)",
      );
    case "heldUp": {
      const { connectors } = notice;
      if (connectors.length === 0)
        return log.info({ event: "queue.connector.freed" }, "for no connector more waits than its budget any more");
      return log.error(
        { event: "queue.connector.heldUp", connectors },
        "more waits for these connectors than their budget: what feeds them is refused at its source until it falls",
      );
    }
    case "deadLettersDiscarded":
      return log.error(
        { event: "queue.deadLetters.discarded", connector: notice.connector, direction: notice.direction, count: notice.count },
        "dead letters of this connector took more than their budget: the oldest were discarded, a row in their place tells how many",
      );
    case "setAsideDiscarded": {
      const { kind: _, ...discarded } = notice;
      return log.error(
        { event: "queue.setAside.discarded", ...discarded },
        discarded.reason === "locked"
          ? "what is locked of this lane took more than the lane's budget: the oldest of it is gone, no recovery key brings it back"
          : "what was set aside as damaged took more than 64 MiB: the oldest of it is gone",
      );
    }
    case "keyDelayed":
      return log.error(
        { event: "queue.key.delayed", reason: notice.reason },
        "a new sealing key is due and could not be written: the one before it goes on, and it is tried again each minute",
      );
    case "disk":
      return log[notice.state === "ok" ? "info" : "error"]({ event: "queue.disk.changed", ...notice }, steps[notice.state]);
    case "fault": {
      const { lane, fault } = notice;
      if (fault.kind === "mend")
        return log.warn(
          { event: "queue.frame.mended", lane, firstSequence: fault.first },
          "a field on disk was wrong, and what it describes told the right one",
        );
      const { first, count, reason } = fault;
      return log.error(
        { event: "queue.range.unreadable", lane, first, count, reason },
        "messages on disk cannot be read: the range is recorded as a hole, what is left of it is kept aside",
      );
    }
  }
}
