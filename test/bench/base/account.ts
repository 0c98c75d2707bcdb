import { until } from "../../support/process.ts";
import { site } from "./lines.ts";
import type { Plant } from "./plant.ts";

interface LaneReport {
  readonly lane: string;
  readonly messages: number;
  readonly repeats: number;
  readonly quarantined: number;
  readonly missing: number;
  readonly waitingForProjection: number;
}

/** What central's own account of the site lacks, or has too much of; asked once it holds `count` of `lane`, and all of it is projected. */
export async function missingAtCentral(
  plant: Plant,
  expected: Readonly<Record<string, number>>,
  deadlineMs: number,
): Promise<number> {
  const { lanes } = await until(
    () => plant.get<{ lanes: LaneReport[] }>(`/v1/completeness?site=${site}`),
    (answer) =>
      answer.lanes.every(
        ({ lane, messages, waitingForProjection }) => waitingForProjection === 0 && messages >= (expected[lane] ?? 0),
      ),
    deadlineMs,
  );
  return lanes.reduce(
    (sum, lane) =>
      sum + Math.abs(lane.messages - (expected[lane.lane] ?? 0)) + lane.repeats + lane.quarantined + Math.abs(lane.missing),
    0,
  );
}
