import { Worker } from "node:worker_threads";
import { type Bundle, type ErrorCode, PlantgateError } from "../../protocol/index.ts";
import type { Logger } from "../telemetry/logger.ts";
import { workerUrl } from "../worker-url.ts";
import type { ExpressionJob, ExpressionResult, FromWorker, ToWorker } from "./expression-jobs.ts";

export interface ExpressionThreadDeps {
  readonly site: string;
  readonly log: Logger;
  /** How much processor time one input may take in the thread; 100 where nothing is said. */
  readonly timeoutMs?: number;
  /** The thread's program; for who is a thread itself, and lies elsewhere once built. */
  readonly program?: URL;
  /** The thread was replaced; `flow` was in hand. */
  readonly onRestart?: (flow: string | undefined, code: ErrorCode) => void;
}

/** The job that was seen in hand: how often, and what the thread had spent when it was seen again. */
interface Sighting {
  readonly id: number;
  times: number;
  asking: boolean;
  spentBeforeMs?: number;
}

type WorkerResult = FromWorker["results"][number]["result"];
interface Task {
  readonly id: number;
  readonly request: { readonly kind: "configure"; readonly bundle: Bundle } | ExpressionJob;
  settle(result: WorkerResult): void;
  fail(error: unknown): void;
}

const batchJobs = 64;
/** Batches at the thread: one in hand and one waiting, so that it never idles and little is redone when it is replaced. */
const batchesAtThread = 2;
const observationsPerTimeout = 5;
/** A job that gets no processor is left in hand for so many times its own time. */
const starvedTimeouts = 100;
/** A thread that ends again and again without a job in hand is not the fault of an expression. */
const maxFruitlessStarts = 3;

/**
 * Expressions in a thread of their own, where one that does not end can be ended. The thread starts with the first job, and a successor takes over what
 * the one before had not done.
 */
export class ExpressionThread {
  readonly #deps: ExpressionThreadDeps;
  readonly #timeoutMs: number;
  /** Not yet at the thread. */
  readonly #waiting: Task[] = [];
  /** At the thread, oldest first; sent again, in this order, to its successor. */
  #sent: Task[] = [];
  #batches = 0;
  #nextId = 1;
  #worker: Worker | undefined;
  #current = new Int32Array(new SharedArrayBuffer(4));
  #bundle: Bundle | undefined;
  #watch: NodeJS.Timeout | undefined;
  #seen: Sighting = { id: 0, times: 0, asking: false };
  #fruitlessStarts = 0;
  #stopped = false;
  #flushing = false;

  constructor(deps: ExpressionThreadDeps) {
    this.#deps = deps;
    this.#timeoutMs = deps.timeoutMs ?? 100;
  }

  /** Jobs asked for before run with the flows before, those after with these. */
  async configure(bundle: Bundle): Promise<void> {
    if (this.#worker || this.#waiting.length > 0) await this.#ask({ kind: "configure", bundle });
    else this.#bundle = bundle;
  }

  async run(job: ExpressionJob): Promise<ExpressionResult> {
    const result = await this.#ask(ownBytes(job));
    if (result.kind === "configured") throw new PlantgateError("INVARIANT", "a job was answered as a configuration");
    return result;
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    const error = stopping();
    for (const task of [...this.#sent.splice(0), ...this.#waiting.splice(0)]) task.fail(error);
    await this.#endWorker();
  }

  #ask(request: Task["request"]): Promise<WorkerResult> {
    if (this.#stopped) return Promise.reject(stopping());
    return new Promise((settle, fail) => {
      this.#waiting.push({ id: this.#nextId++, request, settle, fail });
      if (this.#nextId > 0x7fff_fff0) this.#nextId = 1;
      // whatever is asked in this turn of the loop goes over in one message
      if (!this.#flushing) {
        this.#flushing = true;
        queueMicrotask(() => {
          this.#flushing = false;
          this.#flush();
        });
      }
    });
  }

  #flush(): void {
    if (this.#stopped || this.#waiting.length === 0) return;
    if (!this.#worker) this.#startWorker();
    while (this.#batches < batchesAtThread && this.#waiting.length > 0) {
      const tasks = this.#takeBatch(this.#waiting);
      this.#sent.push(...tasks);
      this.#post(tasks);
    }
  }

  /** A configuration goes alone: jobs before it run with the old flows, jobs after it with the new ones. */
  #takeBatch(from: Task[]): Task[] {
    const configuration = from.findIndex(({ request }) => request.kind === "configure");
    return from.splice(0, configuration === 0 ? 1 : configuration > 0 ? Math.min(configuration, batchJobs) : batchJobs);
  }

  #post(tasks: readonly Task[]): void {
    this.#batches += 1;
    const [first] = tasks;
    if (first?.request.kind === "configure")
      this.#worker?.postMessage({ kind: "configure", id: first.id, bundle: first.request.bundle } satisfies ToWorker);
    else
      this.#worker?.postMessage({
        kind: "jobs",
        jobs: tasks.map(({ id, request }) => ({ id, job: request as ExpressionJob })),
      } satisfies ToWorker);
    this.#watch ??= setInterval(() => this.#observe(), Math.ceil(this.#timeoutMs / observationsPerTimeout));
  }

  #startWorker(): void {
    this.#current = new Int32Array(new SharedArrayBuffer(4));
    this.#seen = { id: 0, times: 0, asking: false };
    this.#batches = 0;
    const worker = new Worker(this.#deps.program ?? workerUrl("flow/expression-worker"), {
      workerData: { current: this.#current.buffer },
      execArgv: [],
      resourceLimits: { maxOldGenerationSizeMb: 256 },
    });
    worker.on("message", (message: FromWorker) => {
      if (worker === this.#worker) this.#receive(message);
    });
    worker.on("error", (error: unknown) => {
      if (worker === this.#worker)
        this.#replace(
          "MAPPING_FAILED",
          `the expression ended its thread: ${error instanceof Error ? error.message : "unknown cause"}`,
        );
    });
    worker.on("exit", () => {
      if (worker === this.#worker) this.#replace("MAPPING_FAILED", "the thread of the expression ended");
    });
    this.#worker = worker;
    if (!this.#bundle) return;
    worker.postMessage({ kind: "configure", id: 0, bundle: this.#bundle } satisfies ToWorker);
    this.#batches += 1;
  }

  #receive({ results }: FromWorker): void {
    this.#batches -= 1;
    for (const { id, result } of results) {
      const task = this.#sent[0];
      // the answer to a configuration that was sent to a successor on our own behalf
      if (task?.id !== id) continue;
      this.#sent.shift();
      this.#fruitlessStarts = 0;
      if (task.request.kind === "configure") this.#bundle = task.request.bundle;
      task.settle(result);
    }
    this.#flush();
    if (this.#sent.length === 0) this.#endWatch();
  }

  /**
   * Ends a thread that spends more than its time on one job. Time is the thread's own on a processor: on a busy server, or after the
   * whole machine stood still, an innocent job would look as if it had run for long. Sightings bound it where the thread makes no headway.
   */
  #observe(): void {
    const id = Atomics.load(this.#current, 0);
    if (id === 0 || id !== this.#seen.id) {
      this.#seen = { id, times: 0, asking: false };
      return;
    }
    const seen = this.#seen;
    const worker = this.#worker;
    if (++seen.times >= observationsPerTimeout * starvedTimeouts) this.#endJob();
    else if (worker && !seen.asking) {
      seen.asking = true;
      void spentMs(worker).then((spent) => {
        seen.asking = false;
        if (spent === undefined || this.#seen !== seen || worker !== this.#worker || Atomics.load(this.#current, 0) !== seen.id)
          return;
        seen.spentBeforeMs ??= spent;
        if (spent - seen.spentBeforeMs >= this.#timeoutMs) this.#endJob();
      });
    }
  }

  #endJob(): void {
    this.#replace("MAPPING_TIMEOUT", `the expression ran longer than ${this.#timeoutMs} ms`);
  }

  /** A new thread; the job in hand fails, all others are redone in their order. */
  #replace(code: ErrorCode, reason: string): void {
    const id = Atomics.load(this.#current, 0);
    void this.#endWorker();
    if (this.#stopped) return;
    const culprit = id === 0 ? undefined : this.#sent.find((task) => task.id === id);
    const request = culprit?.request;
    const flow =
      request === undefined || request.kind === "configure"
        ? undefined
        : request.kind === "map"
          ? request.job.flow
          : request.flow;
    this.#deps.log.warn(
      { event: "mapping.worker.replaced", site: this.#deps.site, flow, code, reason },
      "the thread of the expressions was replaced",
    );
    this.#deps.onRestart?.(flow, code);
    if (culprit) {
      this.#sent = this.#sent.filter((task) => task !== culprit);
      culprit.settle({ kind: "error", code, reason });
    } else if (++this.#fruitlessStarts >= maxFruitlessStarts) {
      const error = new PlantgateError("INVARIANT", `the thread of the expressions does not stay up: ${reason}`);
      for (const task of [...this.#sent.splice(0), ...this.#waiting.splice(0)]) task.fail(error);
      return;
    }
    this.#startWorker();
    const again = [...this.#sent];
    while (again.length > 0) this.#post(this.#takeBatch(again));
    this.#flush();
  }

  async #endWorker(): Promise<void> {
    this.#endWatch();
    const worker = this.#worker;
    this.#worker = undefined;
    await worker?.terminate();
  }

  #endWatch(): void {
    clearInterval(this.#watch);
    this.#watch = undefined;
  }
}

function stopping(): PlantgateError {
  return new PlantgateError("STOPPED", "the mapper is stopping");
}

/** Processor time of a thread; undefined when it has ended. */
async function spentMs(worker: Worker): Promise<number | undefined> {
  try {
    const { user, system } = await worker.cpuUsage();
    return (user + system) / 1000;
  } catch {
    return undefined;
  }
}

/** A view of a larger buffer would be copied with all of it. */
function ownBytes(job: ExpressionJob): ExpressionJob {
  if (job.kind === "answer") return { ...job, body: new Uint8Array(job.body) };
  if (job.kind !== "map") return job;
  const { origin, decoded, ...rest } = job.job;
  return {
    ...job,
    job: {
      ...rest,
      origin,
      ...(decoded === undefined ? {} : { decoded }),
      body: decoded === undefined ? new Uint8Array(job.job.body) : new Uint8Array(),
    },
  };
}
