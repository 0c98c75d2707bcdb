import { type Bundle, type FlowConfig, type LocalSource, topicMatches } from "../../protocol/index.ts";
import type { Origin } from "../connector/connector.ts";

interface Entry {
  readonly flow: string;
  readonly source: LocalSource;
}

/** Topics whose flows are remembered, per connector; a plant with more pays for the matching again. */
const maxTopics = 10_000;

/** Which flows take what comes in where. */
export class Sources {
  #entries = new Map<string, readonly Entry[]>();
  /** Topics repeat, and matching each message with each filter costs more than reading it. */
  readonly #known = new Map<string, Map<string, readonly string[]>>();

  /** From the flows of a bundle that run in this mode; a flow `from` a group takes from each of its connectors. */
  configure(bundle: Bundle, mode: FlowConfig["mode"] = "live"): void {
    const entries = new Map<string, Entry[]>();
    for (const [flow, config] of Object.entries(bundle.flows)) {
      if (config.mode !== mode) continue;
      for (const source of localSources(config)) {
        for (const [connector, { group }] of Object.entries(bundle.connectors)) {
          if (connector === source.connector || group === source.connector)
            entries.set(connector, [...(entries.get(connector) ?? []), { flow, source }]);
        }
      }
    }
    this.#entries = entries;
    this.#known.clear();
  }

  /** The flows that take an input, each once, in the order of the bundle. */
  flowsOf(connector: string, origin: Origin): readonly string[] {
    if (origin.kind !== "topic") return this.#match(connector, origin);
    const known = origin.retained ? `${connector}, retained` : connector;
    const topics = this.#known.get(known) ?? new Map<string, readonly string[]>();
    const flows = topics.get(origin.topic) ?? this.#match(connector, origin);
    if (!topics.has(origin.topic)) {
      if (topics.size >= maxTopics) topics.clear();
      this.#known.set(known, topics.set(origin.topic, flows));
    }
    return flows;
  }

  #match(connector: string, origin: Origin): readonly string[] {
    const entries = (this.#entries.get(connector) ?? []).filter((entry) => takes(entry, origin));
    return [...new Set(entries.map((entry) => entry.flow))];
  }
}

/** Which connectors each flow's messages are delivered over; a group: all of its connectors. */
export function feedsOf({ flows, connectors }: Bundle): ReadonlyMap<string, readonly string[]> {
  const named = Object.entries(connectors);
  const feeds = Object.entries(flows).map(([flow, { to }]) => {
    const local = to.flatMap((each) => ("connector" in each ? [each.connector] : []));
    const reached = named.filter(([name, { group }]) => local.some((each) => each === name || each === group));
    return [flow, reached.map(([name]) => name)] as const;
  });
  return new Map(feeds);
}

/** Where an input came in, for a person. */
export function placeOf(origin: Origin): string {
  switch (origin.kind) {
    case "topic":
      return origin.topic;
    case "webhook":
      return `webhook ${origin.path}`;
    case "poll":
    case "source":
      return `${origin.kind} of ${origin.flow}`;
    case "items":
      return origin.item;
    case "fact":
      return origin.type;
  }
}

function localSources(flow: FlowConfig): LocalSource[] {
  const from = Array.isArray(flow.from) ? flow.from : [flow.from];
  return from.filter((source): source is LocalSource => "connector" in source);
}

function takes({ flow, source }: Entry, origin: Origin): boolean {
  switch (origin.kind) {
    case "topic":
      // a retained message is the last value, not a new fact (rule 3)
      return "topic" in source && topicMatches(source.topic, origin.topic) && (!origin.retained || source.retained === "state");
    case "webhook":
      return "webhook" in source && source.webhook === origin.path;
    case "poll":
      return "poll" in source && flow === origin.flow;
    case "items":
      return "items" in source && source.items.includes(origin.item);
    case "source":
      return "source" in source && flow === origin.flow;
    case "fact":
      return false;
  }
}
