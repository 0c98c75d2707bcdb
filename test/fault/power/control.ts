import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import type { Random } from "../random.ts";
import type { CuttableDisk } from "./cuttable-disk.ts";

const child = fileURLToPath(new URL("./writer-child.ts", import.meta.url));
const writesForMs = 700;

/**
 * Cuts the power of a small writer that acknowledges after COMMIT, `cuts` times; resolves with the acknowledged rows that were gone.
 * With `synchronous = NORMAL` there have to be some: otherwise the cut proves nothing about anything else.
 */
export async function cutWriter(
  disk: CuttableDisk,
  random: Random,
  options: { synchronous: "NORMAL" | "FULL"; cuts: number },
): Promise<{ acknowledged: number; lost: number }> {
  const file = join(disk.path, `control-${options.synchronous}.db`);
  let acknowledged = 0;
  let lost = 0;
  for (let cut = 0; cut < options.cuts; cut++) {
    const writer = spawn(process.execPath, [child, file, options.synchronous], { stdio: ["ignore", "pipe", "inherit"] });
    let last = 0;
    let rest = "";
    const begun = once(writer.stdout, "data");
    writer.stdout.setEncoding("utf8").on("data", (text: string) => {
      const lines = (rest + text).split("\n");
      rest = lines.pop() ?? "";
      last = Number(lines.at(-1) ?? last);
    });
    const ended = once(writer, "close");
    // it may take its time to start; what ends without a word is seen by its silence
    await Promise.race([begun, ended]);
    await sleep(writesForMs + random.integer(0, 300));
    let counted = 0;
    const machine = {
      gone: () => {
        counted = last;
      },
      kill: async () => {
        writer.kill("SIGKILL");
        await ended;
      },
    };
    // a writer that hardly ever flushes is to be met anywhere but there
    await disk.cut(random, machine, options.synchronous === "NORMAL" ? "any" : undefined);
    const survived = lastOf(file);
    acknowledged = Math.max(acknowledged, counted);
    lost += Math.max(0, counted - survived);
  }
  return { acknowledged, lost };
}

/** The last row that is there; 0 as well where even the table is gone, which nobody flushed. */
function lastOf(file: string): number {
  using db = new DatabaseSync(file);
  if (!db.prepare("SELECT 1 FROM sqlite_schema WHERE name = 'rows'").get()) return 0;
  return Number(db.prepare("SELECT COALESCE(MAX(n), 0) AS last FROM rows").get()?.last);
}
