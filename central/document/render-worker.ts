import { parentPort } from "node:worker_threads";
import { PlantgateError } from "../../protocol/index.ts";
import { type RenderJob, runRenderJob } from "./render-work.ts";

/** The thread in which documents are judged and rendered; whoever asks it ends it when it takes too long. */
const port = parentPort;
if (!port) throw new PlantgateError("INVARIANT", "render-worker runs as a worker thread only");

port.on("message", async (job: RenderJob) => {
  try {
    port.postMessage({ ok: true, result: await runRenderJob(job) });
  } catch (error) {
    port.postMessage({ ok: false, reason: error instanceof Error ? error.message : String(error) });
  }
});
