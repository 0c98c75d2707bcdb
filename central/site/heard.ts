import { z } from "zod";
import { connectorReport, connectorStates, diskStates, hello, type Lane, lanes, statusReport } from "../../protocol/index.ts";
import { storable } from "../storage/storable.ts";

// What gateways say, as central takes it. A word that only a later gateway knows is the worst that it may mean, and costs nothing else that is said (ADR 0148).

const laterWord = z.string().min(1).max(32);
const { configuration, disk, lanes: laneReports } = statusReport.shape;

const connector = z.object({ ...connectorReport.shape, state: laterWord }).transform((said) => {
  const { state, reason } = said;
  const known = connectorStates.find((each) => each === state);
  if (known !== undefined) return { ...said, state: known };
  const words = `says "${state}", which this central does not know${reason === undefined ? "" : `: ${reason}`}`;
  return { ...said, state: "degraded" as const, reason: words.slice(0, 1000) };
});

/** {@link hello}, without epochs of lanes that are not known here: no batch of them is taken, those of others are. */
export const heardHello = z.preprocess(
  (said) => withoutNul(said),
  hello.extend({ epochs: z.preprocess(withoutLaterLanes, hello.shape.epochs) }),
);

/** {@link statusReport}, in words that are known here. */
export const heardStatus = z.preprocess(
  (said) => withoutNul(said),
  statusReport.extend({
    lanes: z.preprocess(withoutLaterLanes, laneReports),
    // whoever has room says `ok`
    disk: disk.extend({ state: z.enum(diskStates).or(laterWord.transform(() => "discarding" as const)) }),
    // it is not decided, and no gate passes by it
    configuration: configuration.extend({
      state: configuration.shape.state.or(laterWord.transform(() => "applying" as const)),
    }),
    connectors: z.array(connector).max(1000),
  }),
);

/** What a gateway quotes of others would hold up whoever writes it down. Nothing that is known here lies deeper. */
function withoutNul(said: unknown, depth = 0): unknown {
  if (typeof said === "string") return storable(said);
  if (typeof said !== "object" || said === null || depth > 8) return said;
  if (Array.isArray(said)) return said.map((each) => withoutNul(each, depth + 1));
  return Object.fromEntries(Object.entries(said).map(([key, each]) => [key, withoutNul(each, depth + 1)]));
}

function withoutLaterLanes(said: unknown): unknown {
  if (!Array.isArray(said)) return said;
  return said.filter((each: { readonly lane?: unknown } | null) => {
    const lane = each?.lane;
    return typeof lane !== "string" || lanes.includes(lane as Lane);
  });
}
