import type { Bundle } from "../bundle.ts";
import type { Site, Template } from "../document.ts";
import type { JudgedTemplate } from "../flow/judge.ts";
import { effectiveDeliveries } from "./deliveries.ts";
import { effectiveSettings } from "./effective-settings.ts";
import type { EffectiveValue } from "./origin.ts";
import type { Voices } from "./voices.ts";
import { TemplateText } from "./written.ts";

/** What tells where a system is reached. */
const addresses = ["url", "endpoint", "host", "port", "database"] as const;

/** A site's flows and settings as its documents together say them, and where each value comes from. */
export function effectiveConfiguration({
  site,
  template,
  judged,
  voices,
}: {
  readonly site: Site;
  readonly template: Template;
  readonly judged: JudgedTemplate;
  readonly voices: Voices;
}): {
  readonly flows: Bundle["flows"];
  readonly settings: Partial<Bundle>;
  readonly values: readonly EffectiveValue[];
} {
  const text = new TemplateText(template, site);
  const settings = effectiveSettings(voices);
  const flows = judged.flows.map((flow) => ({
    name: flow.name,
    ...effectiveDeliveries(flow, judged.connectors, voices, text),
  }));
  const parameters = Object.keys(template.spec.parameters).map((name) => text.parameter(name, judged.parameters[name]));
  const connectors = judged.rendered.connectors.flatMap(({ name, group, value: written }) => {
    const config = judged.connectors[name]?.config as Readonly<Record<string, unknown>> | undefined;
    return addresses.flatMap((field) =>
      config?.[field] === undefined
        ? []
        : [
            voices.hear({
              path: `connectors.${name}.${field}`,
              said: () => undefined,
              written: text.written(["connectors", group, field], written[field]),
              fallback: written[field] === undefined ? config[field] : undefined,
            }),
          ],
    );
  });
  return {
    flows: Object.fromEntries(flows.map(({ name, config }) => [name, config])),
    settings: settings.said,
    values: [...parameters, ...connectors, ...flows.flatMap(({ values }) => values), ...settings.values],
  };
}
