import { join } from "node:path";
import { Queue } from "../../../gateway/queue/queue.ts";
import { nowMs, serveParent } from "./child.ts";
import { sampleLine, site } from "./lines.ts";

export interface FillOptions {
  readonly folder: string;
  readonly first: number;
  readonly count: number;
}
export interface Filled {
  readonly seconds: number;
}

const perCommit = 1000;
const commitsAtOnce = 4;

// samples into a gateway's queue, by the gateway's own writer: every one is flushed when this ends
await serveParent<FillOptions, Filled>(async ({ folder, first, count }) => {
  const queue = await Queue.open({
    path: join(folder, "queue.sqlite"),
    site,
    onFailure: (error) => {
      throw error;
    },
  });
  const began = nowMs();
  const underWay = new Set<Promise<unknown>>();
  for (let at = first; at < first + count; at += perCommit) {
    const size = Math.min(perCommit, first + count - at);
    const messages = Array.from({ length: size }, (_, index) => ({ lane: "telemetry" as const, line: sampleLine(at + index) }));
    const commit = queue.commit({ messages }).finally(() => underWay.delete(commit));
    underWay.add(commit);
    if (underWay.size >= commitsAtOnce) await Promise.race(underWay);
  }
  await Promise.all(underWay);
  const seconds = (nowMs() - began) / 1000;
  await queue.close();
  return { seconds };
});
