import { join } from "node:path";
import { Queue } from "../../../gateway/queue/queue.ts";
import { serveParent } from "../base/child.ts";
import { site } from "../base/lines.ts";

// how long a gateway waits for its queue, in a process that has not opened it before
await serveParent<{ folder: string }, { openMs: number; last: number }>(async ({ folder }) => {
  const began = performance.now();
  const queue = await Queue.open({
    path: join(folder, "queue.sqlite"),
    site,
    onFailure: (error) => {
      throw error;
    },
  });
  const openMs = performance.now() - began;
  const { last } = await queue.position("telemetry");
  await queue.close();
  return { openMs, last };
});
