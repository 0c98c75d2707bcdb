import { z } from "zod";
import {
  type Clock,
  type ConnectorReport,
  describeError,
  type KeyNotice,
  keyNotice,
  type Lane,
  PlantgateError,
  type StatusReport,
  toInstant,
} from "../../protocol/index.ts";
import type { LaneDepth } from "../queue/change.ts";
import type { Queue } from "../queue/queue.ts";
import type { Logger } from "../telemetry/logger.ts";
import type { LinkProgress } from "./progress.ts";
import type { Session } from "./session.ts";

export interface StatusDeps {
  readonly site: string;
  readonly version: string;
  readonly startedAt: number;
  readonly queue: Queue;
  readonly session: Session;
  readonly clock: Clock;
  readonly log: Logger;
  readonly connectors: () => readonly ConnectorReport[];
  readonly configuration: () => StatusReport["configuration"];
  /** What the program runs on, and what became of upgrades. */
  readonly release?: () => Pick<StatusReport, "platform" | "installed" | "upgrade">;
  readonly repeats: () => number;
  readonly progress: LinkProgress;
  /** Told what central says of keys. */
  readonly onKeys?: (notice: KeyNotice) => void;
  /** Deliveries whose deadline nobody can judge without a link. */
  readonly ofUnknownAge: () => number;
  /** Messages past their deadline, since the start. */
  readonly expired: () => number;
}

const everyMs = 2000;
/** An older central says nothing of keys. */
const answerWithKeys = z.object({ key: keyNotice });

/** Tells central every two seconds how the gateway is; renews the lease. */
export async function runStatus(deps: StatusDeps, signal: AbortSignal): Promise<void> {
  const { session, clock, log, site } = deps;
  while (!signal.aborted) {
    const online = await session.online(signal);
    if (!online) return;
    let pauseMs = everyMs;
    try {
      const report = await makeReport(deps, online.session);
      const answer = await session.send(
        online.session,
        {
          method: "POST",
          path: `/v1/sites/${encodeURIComponent(site)}/status`,
          json: report,
          silenceMs: 10_000,
          longestMs: 30_000,
        },
        signal,
      );
      const told = answer.kind === "ok" ? answerWithKeys.safeParse(answer.body).data : undefined;
      if (told) deps.onKeys?.(told.key);
      if (answer.kind === "problem") {
        pauseMs = Math.max(everyMs, answer.retryAfterMs ?? 0);
        log.warn(
          { event: "status.report.refused", code: answer.problem.code, reason: answer.problem.detail ?? answer.problem.title },
          "central did not take the status report",
        );
      }
    } catch (error) {
      if (signal.aborted) return;
      if (!(error instanceof PlantgateError) || error.disposition === "crash") throw error;
      log.debug({ event: "status.report.failed", reason: describeError(error) }, "status report failed");
      session.broken(online.session, describeError(error));
    }
    await clock.sleep(pauseMs, signal);
  }
}

async function makeReport(deps: StatusDeps, session: string): Promise<StatusReport> {
  const depth = await deps.queue.depth();
  const disk = await deps.queue.disk();
  const stalled = deps.progress.stalled("downlink");
  return {
    session,
    sentAt: toInstant(deps.clock.now()),
    startedAt: toInstant(deps.startedAt),
    pid: process.pid,
    gatewayVersion: deps.version,
    ...deps.release?.(),
    lanes: depth.lanes.flatMap((each) => (each.lane === "inbound" ? [] : [laneReport(each.lane, each, deps.progress)])),
    ...(stalled === undefined ? {} : { downlink: { stalled: stalled.slice(0, 1000) } }),
    disk,
    deliveries: {
      waiting: depth.deliveries.waiting,
      unknown: depth.deliveries.unknown,
      parked: depth.deliveries.parked,
      // the wire's word for it
      stale: deps.ofUnknownAge(),
      expired: deps.expired(),
      ...(depth.deliveries.oldestAt === null ? {} : { oldestAt: toInstant(depth.deliveries.oldestAt) }),
    },
    deadLetters: depth.deadLetters,
    repeats: deps.repeats(),
    configuration: deps.configuration(),
    connectors: [...deps.connectors()],
  };
}

function laneReport(
  lane: Lane,
  { epoch, last, acknowledged, waitingBytes, oldestAt }: LaneDepth,
  progress: LinkProgress,
): StatusReport["lanes"][number] {
  const stalled = last > acknowledged ? progress.stalled(lane) : undefined;
  return {
    lane,
    epoch,
    last,
    acknowledged,
    ...(oldestAt === null ? {} : { oldestAt: toInstant(oldestAt) }),
    waitingBytes: Math.max(0, waitingBytes),
    ...(stalled === undefined ? {} : { stalled: stalled.slice(0, 1000) }),
  };
}
