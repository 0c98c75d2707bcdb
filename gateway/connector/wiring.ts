import type { Bundle, LocalSource } from "../../protocol/index.ts";
import type { Shadow, Wiring } from "./connector.ts";

/**
 * What the flows of a bundle want of one connector. A flow that is off takes nothing; answers to what it sent before, or what a flow sent that is in
 * shadow now, are still listened to (ADR 0098).
 */
export function wiringOf(bundle: Bundle, connector: string): Wiring {
  const group = bundle.connectors[connector]?.group;
  const isThis = (name: string): boolean => name === connector || name === group;
  const sources: { flow: string; source: LocalSource; shadow: Shadow }[] = [];
  const answers: string[] = [];
  for (const [flow, config] of Object.entries(bundle.flows)) {
    for (const source of Array.isArray(config.from) ? config.from : [config.from]) {
      if (config.mode === "off" || !("connector" in source) || !isThis(source.connector)) continue;
      sources.push({ flow, source, shadow: config.mode === "shadow" ? { shadow: true } : {} });
    }
    for (const to of config.to) {
      if ("connector" in to && isThis(to.connector) && "accepted" in to && to.accepted) answers.push(to.accepted.topic);
    }
  }
  return {
    topics: sources.flatMap(({ source }) => ("topic" in source ? [{ topic: source.topic, retained: source.retained }] : [])),
    answers: [...new Set(answers)],
    webhooks: sources.flatMap(({ source, shadow }) =>
      "webhook" in source ? [{ webhook: source.webhook, verify: source.verify, ...shadow }] : [],
    ),
    polls: sources.flatMap(({ flow, source, shadow }) =>
      "poll" in source
        ? [{ flow, poll: source.poll, every: source.every, cursor: source.cursor, start: source.start, ...shadow }]
        : [],
    ),
    items: [...new Set(sources.flatMap(({ source }) => ("items" in source ? source.items : [])))],
    sources: sources.flatMap(({ flow, source, shadow }) =>
      "source" in source ? [{ flow, source: source.source, overlap: source.overlap, ...shadow }] : [],
    ),
  };
}

/** Connectors that the later bundle has and the earlier one has not, or not like that. */
export function changedConnectors(earlier: Bundle | undefined, later: Bundle): ReadonlySet<string> {
  const textOf = (bundle: Bundle, name: string): string =>
    JSON.stringify([bundle.connectors[name]?.config, wiringOf(bundle, name)]);
  const isChanged = (name: string): boolean => !earlier?.connectors[name] || textOf(earlier, name) !== textOf(later, name);
  return new Set(Object.keys(later.connectors).filter(isChanged));
}
