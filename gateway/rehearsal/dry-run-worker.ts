import { parentPort, workerData } from "node:worker_threads";
import { type Bundle, type DryRunAnswer, describeError, PlantgateError, systemClock } from "../../protocol/index.ts";
import { openMapping } from "../flow/mapping.ts";
import { openLogger } from "../telemetry/logger.ts";
import { runDryRun } from "./dry-run.ts";
import { type RecordedShare, readStore } from "./store.ts";

/** What the thread of one dry run is given. */
export interface DryRunWork {
  readonly site: string;
  readonly active: Bundle;
  readonly candidate: Bundle;
  readonly messages: number;
  /** Where inputs lie on disk, or what there is of them in memory. */
  readonly from: { readonly file: string } | { readonly shares: readonly RecordedShare[] };
  readonly limitMs: number;
  /** The program of the threads in which its expressions run. */
  readonly program: string;
}

const port = parentPort;
if (!port) throw new PlantgateError("INVARIANT", "dry-run-worker runs as a worker thread only");
const work = workerData as DryRunWork;

port.postMessage(await answer());

/** Away from everything live: in a thread of its own, with expressions in one more. */
async function answer(): Promise<DryRunAnswer> {
  const log = openLogger({ level: "silent", site: work.site });
  const { active, candidate, limitMs } = work;
  const deps = {
    active,
    candidate,
    limitMs,
    clock: systemClock,
    openMapping: (clock: typeof systemClock) => openMapping({ site: work.site, clock, log, program: new URL(work.program) }),
  };
  try {
    const shares =
      "file" in work.from ? (readStore(work.from.file, (store) => [...store.newest(work.messages)]) ?? []) : work.from.shares;
    return { state: "done", result: await runDryRun(shares, deps) };
  } catch (error) {
    return { state: "failed", reason: describeError(error).slice(0, 4000) };
  }
}
