import { Worker } from "node:worker_threads";
import { type Clock, PlantgateError } from "../../protocol/index.ts";
import { workerUrl } from "../worker-url.ts";
import type { RenderJob, RenderResults } from "./render-work.ts";

type Answer = { readonly ok: true; readonly result: unknown } | { readonly ok: false; readonly reason: string };
type Failure = "too long" | "ended";

export interface RendererDeps {
  readonly clock: Clock;
  /** How long one job may take. */
  readonly limitMs?: number;
}

/** Long enough for two hundred sites of a large template; an expression that never ends is ended. */
const defaultLimitMs = 30_000;
const maxWaiting = 32;
/** What a thread may hold; a document that wants more ends it, and not central. */
const maxHeapMb = 512;

/**
 * Judges and renders documents in a thread of its own, one job after the other: whatever an author wrote, central's own thread goes on. The
 * thread is begun when it is needed, and anew after it was ended.
 */
export class Renderer {
  readonly #deps: RendererDeps;
  readonly #stopped = new AbortController();
  #worker: Worker | undefined;
  #turn: Promise<unknown> = Promise.resolve();
  #waiting = 0;

  constructor(deps: RendererDeps) {
    this.#deps = deps;
  }

  /**
   * @throws PlantgateError INPUT_INVALID for documents that take too long or too much memory; PEER_BUSY when too much waits; STOPPED
   */
  async run<Kind extends RenderJob["kind"]>(job: Extract<RenderJob, { kind: Kind }>): Promise<RenderResults[Kind]> {
    if (this.#waiting >= maxWaiting)
      throw new PlantgateError("PEER_BUSY", "too many documents wait to be judged; try again in a moment");
    this.#waiting++;
    const before = this.#turn;
    const turn = before.then(() => this.#run(job));
    this.#turn = turn.catch(() => {});
    try {
      return (await turn) as RenderResults[Kind];
    } finally {
      this.#waiting--;
    }
  }

  async stop(): Promise<void> {
    this.#stopped.abort();
    await this.#end();
  }

  async #run(job: RenderJob): Promise<unknown> {
    if (this.#stopped.signal.aborted) throw new PlantgateError("STOPPED", "central stops");
    const worker = this.#worker ?? this.#begin();
    const over = new AbortController();
    const limitMs = this.#deps.limitMs ?? defaultLimitMs;
    const settled = Promise.withResolvers<Answer | Failure>();
    const answered = (given: Answer): void => settled.resolve(given);
    const ended = (): void => settled.resolve("ended");
    worker.on("message", answered).on("error", ended).on("exit", ended);
    void this.#deps.clock.sleep(limitMs, over.signal).then(() => settled.resolve("too long"));
    worker.postMessage(job);
    const answer = await settled.promise;
    over.abort();
    worker.off("message", answered).off("error", ended).off("exit", ended);
    if (this.#stopped.signal.aborted) throw new PlantgateError("STOPPED", "central stops");
    if (typeof answer === "string") {
      await this.#end();
      const why = answer === "too long" ? `took longer than ${limitMs / 1000} s` : `took more memory than ${maxHeapMb} MB`;
      throw new PlantgateError(
        "INPUT_INVALID",
        `judging the documents ${why}: look for an expression or an example that does too much`,
      );
    }
    if (!answer.ok) throw new PlantgateError("INVARIANT", `the documents could not be judged: ${answer.reason}`);
    return answer.result;
  }

  async #end(): Promise<void> {
    const worker = this.#worker;
    this.#worker = undefined;
    await worker?.terminate();
  }

  #begin(): Worker {
    const worker = new Worker(workerUrl("document/render-worker"), { resourceLimits: { maxOldGenerationSizeMb: maxHeapMb } });
    worker.on("error", () => {});
    worker.on("exit", () => {
      if (this.#worker === worker) this.#worker = undefined;
    });
    // an idle thread keeps no process alive
    worker.unref();
    this.#worker = worker;
    return worker;
  }
}
