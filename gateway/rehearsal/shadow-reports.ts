import { type Clock, describeError, PlantgateError, type ShadowReport } from "../../protocol/index.ts";
import type { Session } from "../link/session.ts";
import type { Logger } from "../telemetry/logger.ts";

export interface ShadowReportDeps {
  readonly site: string;
  readonly session: Pick<Session, "online" | "send">;
  readonly report: () => ShadowReport;
  /** Central may have reports of flows that are not in shadow any more. */
  readonly hadShadow: boolean;
  readonly clock: Clock;
  readonly log: Logger;
}

const none = JSON.stringify({ flows: [] });
const lookEveryMs = 5000;
const reportEveryMs = 60_000;
/** As JSON. Of what is larger, the flows with the most differences go without their fields. */
const maxReportLength = 1024 * 1024;

/** Tells central of the flows in shadow: a minute after the last report, where something has changed since. */
export async function runShadowReports(deps: ShadowReportDeps, signal: AbortSignal): Promise<void> {
  const { clock, session, log, site } = deps;
  let told = deps.hadShadow ? "" : none;
  while (!signal.aborted) {
    await clock.sleep(told === none || told === "" ? lookEveryMs : reportEveryMs, signal);
    const report = bounded(deps.report());
    const text = JSON.stringify(report);
    if (signal.aborted || text === told) continue;
    const online = await session.online(signal);
    if (!online) return;
    try {
      const path = `/v1/sites/${encodeURIComponent(site)}/shadow-reports`;
      const answer = await session.send(online.session, { method: "POST", path, json: report, silenceMs: 30_000 }, signal);
      // a central that does not know of shadow reports says not-found
      if (answer.kind === "ok" || answer.problem.code === "not-found") told = text;
    } catch (error) {
      if (signal.aborted) return;
      if (!(error instanceof PlantgateError) || error.disposition === "crash") throw error;
      log.debug(
        { event: "rehearsal.report.failed", reason: describeError(error) },
        "central was not told of the flows in shadow",
      );
    }
  }
}

function bounded({ flows }: ShadowReport): ShadowReport {
  let left = maxReportLength;
  return {
    flows: flows.slice(0, 200).map((flow) => {
      const length = JSON.stringify(flow).length;
      if (length > left) return { ...flow, fields: [], reasons: [] };
      left -= length;
      return flow;
    }),
  };
}
