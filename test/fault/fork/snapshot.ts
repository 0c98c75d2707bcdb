import { createHash } from "node:crypto";
import type { Recorded } from "../judge/judge.ts";
import type { CentralNode } from "../plant/central-node.ts";

/** What was recorded under each name for ever (lane, epoch, sequence), as a hash of its content. */
export type Snapshot = ReadonlyMap<string, string>;

export async function takeSnapshot(central: CentralNode): Promise<Snapshot> {
  const snapshot = new Map<string, string>();
  let after: number | null = 0;
  while (after !== null) {
    const page: { messages: Recorded[]; next: number | null } = await central.get(`/v1/messages?after=${after}&limit=5000`);
    for (const { site, lane, epoch, sequence, event } of page.messages)
      snapshot.set(`${site} ${lane} ${epoch} ${sequence}`, createHash("sha1").update(JSON.stringify(event)).digest("base64"));
    after = page.next;
  }
  return snapshot;
}

/** Names that stand for another content now. */
export function overwritten(before: Snapshot, now: Snapshot): string[] {
  return [...before].filter(([name, hash]) => now.has(name) && now.get(name) !== hash).map(([name]) => name);
}
