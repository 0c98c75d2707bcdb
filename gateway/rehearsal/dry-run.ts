import type { Bundle, Clock, DryRunResult } from "../../protocol/index.ts";
import type { Mapping } from "../flow/mapping.ts";
import { differencesOf, type Made, paired } from "./compare.ts";
import type { RecordedShare } from "./store.ts";
import { Tally } from "./tally.ts";
import { type Stamp, Way } from "./way.ts";

export interface DryRunDeps {
  readonly active: Bundle;
  readonly candidate: Bundle;
  /** A mapper, whose clock says `at` while an input is run. */
  readonly openMapping: (clock: Clock) => Mapping;
  readonly clock: Clock;
  /** The longest that it may take; what was not run by then is skipped. */
  readonly limitMs: number;
}

/** Inputs of one flow that run out of their time, until the rest of them is not run any more. */
const maxTimeouts = 10;

interface FlowResult {
  readonly tally: Tally;
  inputs: number;
  different: number;
  skipped: number;
  refusedBefore: number;
  refusedAfter: number;
  timeouts: number;
}

/**
 * Runs each input through the flows of both configurations and compares what they make of it. By name: a flow that only one of them has
 * makes nothing in the other. Nothing is written and nothing is sent.
 * @throws PlantgateError CONFIG_INVALID where the candidate's flows do not compile
 */
export async function runDryRun(shares: Iterable<RecordedShare>, deps: DryRunDeps): Promise<DryRunResult> {
  const { clock } = deps;
  const until = clock.monotonic() + deps.limitMs;
  let at = 0;
  const inputClock: Clock = { now: () => at, monotonic: () => clock.monotonic(), sleep: (ms, signal) => clock.sleep(ms, signal) };
  const mappings = [deps.openMapping(inputClock), deps.openMapping(inputClock)] as const;
  const flows = new Map<string, FlowResult>();
  const counts = { inputs: 0, same: 0, different: 0, skipped: 0 };
  try {
    await mappings[0].configure(deps.active);
    await mappings[1].configure(deps.candidate);
    const before = new Way(deps.active, mappings[0]);
    const after = new Way(deps.candidate, mappings[1]);
    const done = new Set<number>();
    for (const { input, recorded } of shares) {
      if (done.has(input)) continue;
      done.add(input);
      counts.inputs += 1;
      at = recorded.receivedAt;
      const takers = new Set([...before.flowsOf(recorded), ...after.flowsOf(recorded)]);
      let outcome: "same" | "different" | "skipped" = "same";
      for (const flow of takers) {
        const result = flows.get(flow) ?? {
          tally: new Tally(),
          inputs: 0,
          different: 0,
          skipped: 0,
          refusedBefore: 0,
          refusedAfter: 0,
          timeouts: 0,
        };
        flows.set(flow, result);
        result.inputs += 1;
        if (clock.monotonic() > until || result.timeouts >= maxTimeouts) {
          result.skipped += 1;
          if (outcome === "same") outcome = "skipped";
          continue;
        }
        const stamp = stampOf(input);
        const made = [
          before.flowsOf(recorded).includes(flow) ? await before.input(flow, recorded, stamp) : nothing,
          after.flowsOf(recorded).includes(flow) ? await after.input(flow, recorded, stamp) : nothing,
        ] as const;
        if (judged(result, ...made)) outcome = "different";
      }
      counts[outcome] += 1;
    }
  } finally {
    await Promise.all(mappings.map((mapping) => mapping.stop()));
  }
  return {
    ...counts,
    flows: bounded(
      [...flows].map(([flow, { tally, timeouts: _, ...result }]) => ({
        flow,
        ...result,
        fields: tally.fields,
        reasons: tally.reasons,
      })),
    ),
  };
}

/** As JSON. */
const maxResultLength = 1024 * 1024;
const maxFlows = 2000;

/** Those with the most differences first; where it becomes too much, the others go without their fields. */
function bounded(flows: DryRunResult["flows"]): DryRunResult["flows"] {
  let left = maxResultLength;
  return flows
    .toSorted((a, b) => b.different - a.different)
    .slice(0, maxFlows)
    .map((flow) => {
      const length = JSON.stringify(flow).length;
      if (length > left) return { ...flow, fields: [], reasons: [] };
      left -= length;
      return flow;
    });
}

const nothing: Made = { messages: [], refusals: [] };

/** @returns whether they differ */
function judged(result: FlowResult, before: Made, after: Made): boolean {
  const [refusedBefore] = before.refusals;
  const [refusedAfter] = after.refusals;
  if (refusedBefore) result.refusedBefore += 1;
  if (refusedAfter) {
    result.refusedAfter += 1;
    result.tally.refuse(refusedAfter);
  }
  if ([refusedBefore, refusedAfter].some((refusal) => refusal?.code === "MAPPING_TIMEOUT")) result.timeouts += 1;
  // what one side refuses is told by its reason, not by every field that the other one would have
  const differences =
    before.messages.length === 0 && refusedBefore !== undefined
      ? []
      : after.messages.length === 0 && refusedAfter !== undefined
        ? []
        : paired(before.messages, after.messages).flatMap(differencesOf);
  result.tally.differ(differences);
  const isDifferent = differences.length > 0 || refusedBefore?.code !== refusedAfter?.code;
  if (isDifferent) result.different += 1;
  return isDifferent;
}

/** Both ways name what they make of an input alike. */
function stampOf(input: number): (index: number) => Stamp {
  return (index) => ({ id: `dry-run-${input}-${index}` });
}
