import type { Bundle } from "../bundle.ts";
import { retry as retrySchema } from "../delivery-class.ts";
import type { DeliveryRule, Policy, Site } from "../document.ts";
import type { RenderedPart } from "../flow/render.ts";
import type { FlowConfig, LocalDestination } from "../flow-config.ts";
import { valueAt } from "./effective-settings.ts";
import type { EffectiveValue } from "./origin.ts";
import { leavesOf } from "./partial.ts";
import type { Voices } from "./voices.ts";
import type { TemplateText } from "./written.ts";

/** Where a delivery goes, as rules name it. A flow as a whole has no connector. */
interface Target {
  readonly flows: readonly string[];
  readonly connectors: readonly string[];
  readonly type: string | undefined;
}

/** A flow with the place of each of its destinations in the template, as groups were expanded. */
export interface ExpandedFlow {
  readonly name: string;
  readonly part: RenderedPart;
  readonly config: FlowConfig;
  readonly writtenAs: readonly number[];
}

const flowFields = [
  ...leavesOf(retrySchema).map((leaf) => ({ ...leaf, path: ["retry", ...leaf.path] })),
  { path: ["onExhausted"], default: "block", absent: undefined },
];

/**
 * How deliveries are tried: what the template leaves open, and what policies enforce. A destination says only what its flow does not say already,
 * so that the same configuration is always written in the same way.
 */
export function effectiveDeliveries(
  flow: ExpandedFlow,
  connectors: Bundle["connectors"],
  voices: Voices,
  text: TemplateText,
): { readonly config: FlowConfig; readonly values: readonly EffectiveValue[] } {
  const { name, part, config, writtenAs } = flow;
  const base = `flows.${name}`;
  const here = ["flows", part.group];
  const flows = [name, part.group];
  const written = (path: readonly (string | number)[]) => text.written([...here, ...path], valueAt(part.value, path.map(String)));
  const mode = voices.hear({ path: `${base}.mode`, said: () => undefined, written: written(["mode"]), fallback: "live" });
  if (!config.to.some((to) => "connector" in to)) return { config, values: [mode] };
  const whole: Target = { flows, connectors: [], type: undefined };
  const ofFlow = flowFields.map(({ path, default: fallback }) =>
    voices.hear({ path: `${base}.${path.join(".")}`, said: byRule(whole, path), written: written(path), fallback }),
  );
  const values: EffectiveValue[] = [mode, ...ofFlow];
  const to = config.to.map((destination, index) => {
    if (!("connector" in destination)) return destination;
    const connector = connectors[destination.connector];
    const target = { flows, connectors: [destination.connector, connector?.group ?? ""], type: connector?.config.type };
    const place = ["to", writtenAs[index] ?? index];
    const at = `${base}.to.${index}`;
    const fallback = "write" in destination || "operation" in destination ? "checkable" : "idempotent";
    const effect = voices.hear({
      path: `${at}.effect`,
      said: byRule(target, ["effect"]),
      written: written([...place, "effect"]),
      fallback,
    });
    values.push(effect);
    const { retry: _retry, onExhausted: _onExhausted, ...rest } = destination;
    const own: Record<string, unknown> = {};
    flowFields.forEach(({ path }, field) => {
      const flowValue = ofFlow[field] as EffectiveValue;
      const value = voices.hear({
        path: `${at}.${path.join(".")}`,
        said: byRule(target, path),
        written: written([...place, ...path]) ?? written(path),
        fallback: flowFields[field]?.default,
      });
      if (value.value === flowValue.value) return;
      values.push(value);
      const [part = "", leaf] = path;
      if (leaf === undefined) own[part] = value.value;
      else own[part] = { ...(own[part] as object | undefined), [leaf]: value.value };
    });
    return { ...rest, effect: effect.value, ...own } as LocalDestination;
  });
  const put: Record<string, unknown> = { retry: {} };
  flowFields.forEach(({ path: [part = "", leaf] }, field) => {
    const value = ofFlow[field]?.value;
    if (leaf === undefined) put[part] = value;
    else (put[part] as Record<string, unknown>)[leaf] = value;
  });
  return { config: { ...config, ...put, to } as FlowConfig, values };
}

/** What a document's rules say of one value of a target: of those that say it the one that names most, of several the first. */
function byRule(target: Target, path: readonly string[]): (spec: Policy["spec"] | Site["spec"]) => unknown {
  return ({ deliveries = [] }) => {
    const saying = deliveries.filter((rule) => covers(rule, target) && valueAt(rule, path) !== undefined);
    const [best] = saying.toSorted((a, b) => weight(b) - weight(a));
    return best && valueAt(best, path);
  };
}

function covers(rule: DeliveryRule, { flows, connectors, type }: Target): boolean {
  return (
    (rule.flow === undefined || flows.includes(rule.flow)) &&
    (rule.connector === undefined || connectors.includes(rule.connector)) &&
    (rule.type === undefined || rule.type === type)
  );
}

function weight({ flow, connector, type }: DeliveryRule): number {
  return (flow === undefined ? 0 : 4) + (connector === undefined ? 0 : 2) + (type === undefined ? 0 : 1);
}
