import type { FlowConfig } from "../flow-config.ts";
import type { CompiledFlow, FlowProblem } from "./compiled-flow.ts";

/** A destination as people see it, and as a waiting delivery remembers it: what it is found again by when its flow is another one. */
export function describeDestination(to: FlowConfig["to"][number]): string {
  if ("topic" in to) return to.topic;
  if ("post" in to) return `POST ${to.post}`;
  if ("write" in to) return to.write;
  if ("operation" in to) return to.operation;
  return "site" in to ? "site" : "central";
}

/**
 * Destinations of a flow that a waiting delivery could not tell apart, as connector and description are the same: what is meant for the second would
 * be sent as the first says. Judged where documents are, not in a gateway: a bundle that it ran before may have such a flow, and a plant
 * without a configuration is worse (P5).
 */
export function doubledDestinations(
  { destinations }: CompiledFlow,
  isStandIn: (path: readonly (string | number)[]) => boolean,
): FlowProblem[] {
  const problems = new Map<number, FlowProblem>();
  const first = new Map<string, number>();
  for (const { config, writtenAs } of destinations) {
    const field = "topic" in config ? "topic" : "post" in config ? "post" : "write" in config ? "write" : "operation";
    const path = ["to", writtenAs, field];
    if (isStandIn(path) || isStandIn(["to", writtenAs, "connector"])) continue;
    const described = describeDestination(config);
    const name = JSON.stringify([config.connector, described]);
    const before = first.get(name);
    if (before === undefined) first.set(name, writtenAs);
    else if (!problems.has(writtenAs)) {
      const message = `"${config.connector}" gets "${described}" from this flow already, by to.${before}: what waits for one could not be told from what waits for the other; give this one a flow of its own`;
      problems.set(writtenAs, { path, message });
    }
  }
  return [...problems.values()];
}
