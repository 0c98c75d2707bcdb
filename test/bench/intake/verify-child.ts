import { join } from "node:path";
import { zstdDecompressSync } from "node:zlib";
import { Queue } from "../../../gateway/queue/queue.ts";
import { serveParent } from "../base/child.ts";
import { ordinalOf, pickOrdinalOf, site } from "../base/lines.ts";
import { Seen, type Tally } from "../base/seen.ts";

const page = { frames: 200, bytes: 8 * 1024 * 1024 };

// whether each message that a gateway acknowledged lies in its queue, once
await serveParent<{ folder: string; expected: number }, Tally & { deadLetters: number }>(async ({ folder, expected }) => {
  const queue = await Queue.open({
    path: join(folder, "queue.sqlite"),
    site,
    onFailure: (error) => {
      throw error;
    },
  });
  const seen = new Seen(0, expected);
  for (const lane of ["telemetry", "transaction"] as const) {
    const ordinal = lane === "telemetry" ? ordinalOf : pickOrdinalOf;
    for (let after = 0; ; ) {
      const frames = await queue.frames(lane, after, page);
      const last = frames.at(-1);
      if (!last) break;
      after = last.first + last.count - 1;
      for (const frame of frames) {
        const lines = zstdDecompressSync(frame.events).toString("latin1").split("\n");
        for (const line of lines) if (line !== "") seen.note(ordinal(line));
      }
    }
  }
  const { deadLetters } = await queue.depth();
  await queue.close();
  return { ...seen.tally(), deadLetters };
});
