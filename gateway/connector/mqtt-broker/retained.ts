import type { AedesPublishPacket } from "aedes";
import { FilterTrie } from "./filter-trie.ts";
import { ownCopy } from "./own-copy.ts";

/** What is kept for later subscribers, in memory. */
const limits = { topics: 10_000, bytes: 32 * 1024 * 1024 };

type Kept = Pick<AedesPublishPacket, "cmd" | "topic" | "qos" | "retain"> & { readonly payload: Buffer };

/** The last retained message of each topic. */
export class Retained {
  readonly #kept = new Map<string, Kept>();
  #bytes = 0;

  hasRoom(topic: string, sizeBytes: number): boolean {
    const own = this.#kept.get(topic);
    const bytes = this.#bytes - (own ? sizeOf(own) : 0) + topic.length + sizeBytes;
    return bytes <= limits.bytes && (own !== undefined || this.#kept.size < limits.topics);
  }

  /** False: there is no room, and what was kept of this topic, now out of date, is gone. An empty payload takes away (MQTT 3.1.1, 3.3.1.3). */
  store({ topic, payload, qos }: Pick<AedesPublishPacket, "topic" | "payload" | "qos">): boolean {
    const fits = payload.length === 0 || this.hasRoom(topic, payload.length);
    const before = this.#kept.get(topic);
    if (before) this.#bytes -= sizeOf(before);
    this.#kept.delete(topic);
    if (payload.length === 0 || !fits) return fits;
    const kept: Kept = { cmd: "publish", topic, payload: ownCopy(payload), qos, retain: true };
    this.#kept.set(topic, kept);
    this.#bytes += sizeOf(kept);
    return true;
  }

  /** Each once, whatever filters match it. */
  *matching(filters: readonly string[]): Generator<Kept> {
    const trie = new FilterTrie<true>();
    for (const filter of filters) trie.add(filter, true);
    for (const [topic, kept] of this.#kept) if (trie.matches(topic)) yield kept;
  }
}

function sizeOf({ topic, payload }: Kept): number {
  return topic.length + payload.length;
}
