import { parentPort, workerData } from "node:worker_threads";
import { type CompiledFlow, compileBundle, PlantgateError, runSteps } from "../../protocol/index.ts";
import { type ExpressionResult, type FromWorker, runJob, type ToWorker } from "./expression-jobs.ts";

/**
 * The thread in which expressions run. It notes the job in hand in shared memory, so that the gateway can see, while this thread is
 * busy, which job keeps it busy, and end the thread.
 */
const current = new Int32Array((workerData as { readonly current: SharedArrayBuffer }).current);
const port = parentPort;
if (!port) throw new PlantgateError("INVARIANT", "expression-worker runs as a worker thread only");

let flows: ReadonlyMap<string, CompiledFlow> = new Map();
let last: Promise<void> = Promise.resolve();

port.on("message", (message: ToWorker) => {
  // one message after the other: an expression waits in between, and results keep the order of the jobs
  last = last.then(async () => port.postMessage(await answer(message)));
});

async function answer(message: ToWorker): Promise<FromWorker> {
  if (message.kind === "configure") {
    flows = compileBundle(message.bundle).flows;
    return { results: [{ id: message.id, result: { kind: "configured" } }] };
  }
  const results: { id: number; result: ExpressionResult }[] = [];
  for (const { id, job } of message.jobs) {
    Atomics.store(current, 0, id);
    results.push({ id, result: await runJob(flows, job, runSteps) });
    Atomics.store(current, 0, 0);
  }
  return { results };
}
