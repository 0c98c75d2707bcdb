import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { isDeepStrictEqual } from "node:util";
import { filterCovers, type MqttConnectorConfig } from "../../../protocol/index.ts";
import { renameOver } from "../../write-flushed.ts";
import type { Wiring } from "../connector.ts";

/** What to subscribe to. `retained`: whether some flow wants the retained message of a topic as well. */
export interface Wanted {
  readonly filters: ReadonlyMap<string, { readonly retained: boolean }>;
  /** Wanted by a flow but outside the connector's grants: not subscribed. */
  readonly outside: readonly string[];
}

export function wantedSubscriptions(wiring: Pick<Wiring, "topics" | "answers">, grants: MqttConnectorConfig["grants"]): Wanted {
  const filters = new Map<string, { retained: boolean }>();
  for (const { topic, retained } of wiring.topics)
    filters.set(topic, { retained: retained === "state" || filters.get(topic)?.retained === true });
  for (const topic of wiring.answers) if (!filters.has(topic)) filters.set(topic, { retained: false });
  const outside = [...filters.keys()].filter((filter) => !grants.subscribe.some((grant) => filterCovers(grant, filter)));
  for (const filter of outside) filters.delete(filter);
  return { filters, outside };
}

/**
 * The filters that the broker's persistent session may hold: kept in the connector's folder, because a filter that no flow wants any
 * more has to be taken out of the session, else the broker goes on sending.
 */
export class SubscriptionMemory {
  readonly #file: string;

  constructor(folder: string) {
    this.#file = join(folder, "subscriptions.json");
  }

  read(): string[] {
    try {
      const stored: unknown = JSON.parse(readFileSync(this.#file, "utf8"));
      return Array.isArray(stored) ? stored.filter((filter) => typeof filter === "string") : [];
    } catch {
      return []; // none yet, or damaged: at worst a message that no flow takes becomes a dead letter
    }
  }

  /** What is remembered already asks a full disk for nothing. */
  write(filters: Iterable<string>): void {
    const sorted = [...filters].sort();
    if (isDeepStrictEqual(sorted, this.read())) return;
    writeFileSync(`${this.#file}.new`, JSON.stringify(sorted), { mode: 0o600 });
    renameOver(`${this.#file}.new`, this.#file);
  }
}
