import { type Bundle, describeDestination, type LocalDestination } from "../../protocol/index.ts";

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
