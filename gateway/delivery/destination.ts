import type { Bundle, FlowConfig, LocalDestination } from "../../protocol/index.ts";

/** A destination as people see it, and as a waiting delivery remembers it. */
export function describeDestination(to: FlowConfig["to"][number]): string {
  if ("topic" in to) return to.topic;
  if ("post" in to) return `POST ${to.post}`;
  if ("write" in to) return to.write;
  if ("operation" in to) return to.operation;
  return "site" in to ? "site" : "central";
}

/** Where a waiting delivery's destination stands in the configuration that runs now; undefined when it is not there any more. */
export function findDestination(
  bundle: Bundle | undefined,
  delivery: { readonly flow: string; readonly connector: string; readonly target: string },
): { readonly index: number; readonly to: LocalDestination } | undefined {
  const group = bundle?.connectors[delivery.connector]?.group;
  for (const [index, to] of (bundle?.flows[delivery.flow]?.to ?? []).entries()) {
    if (!("connector" in to) || describeDestination(to) !== delivery.target) continue;
    if (to.connector === delivery.connector || to.connector === group) return { index, to };
  }
  return undefined;
}
