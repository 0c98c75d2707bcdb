import {
  type Bundle,
  type Clock,
  type CloudEvent,
  type CompiledFlow,
  compileBundle,
  maxInputBytes,
  PlantgateError,
  runSync,
} from "../../protocol/index.ts";
import { type ExpressionJob, type ExpressionResult, failedMap, runJob, runsAtOnce } from "./expression-jobs.ts";
import { ExpressionThread, type ExpressionThreadDeps } from "./expression-thread.ts";
import type { Answer, MapJob, Mapping, MapResult, Rendered } from "./mapping-contract.ts";

export interface MappingDeps extends ExpressionThreadDeps {
  readonly clock: Clock;
}

/** The mapper; its thread starts with the first job that needs it: a plant whose flows use paths alone spares its memory. */
export function openMapping(deps: MappingDeps): Mapping {
  return new MappingRunner(deps);
}

class MappingRunner implements Mapping {
  readonly #clock: Clock;
  readonly #thread: ExpressionThread;
  #flows: ReadonlyMap<string, CompiledFlow> = new Map();
  #stopped = false;

  constructor({ clock, ...deps }: MappingDeps) {
    this.#clock = clock;
    this.#thread = new ExpressionThread(deps);
  }

  check(bundle: Bundle): void {
    compiled(bundle);
  }

  async configure(bundle: Bundle): Promise<void> {
    const flows = compiled(bundle);
    await this.#thread.configure(bundle);
    this.#flows = flows;
  }

  map(job: MapJob): MapResult | Promise<MapResult> {
    if (job.body.byteLength > maxInputBytes) {
      return {
        kind: "failed",
        code: "INPUT_TOO_LARGE",
        reason: `the input has ${job.body.byteLength} bytes, more than ${maxInputBytes}`,
      };
    }
    const result = this.#run({ kind: "map", job, recordedAt: this.#clock.now() });
    return result instanceof Promise ? result.then(toMapResult) : toMapResult(result);
  }

  async render(flow: string, destination: number, event: CloudEvent): Promise<Rendered> {
    const result = await this.#run({ kind: "render", flow, destination, event });
    if (result.kind === "error") return { kind: "failed", code: result.code, reason: result.reason };
    if (result.kind !== "rendered") throw new PlantgateError("INVARIANT", `rendering ended as ${result.kind}`);
    return result.rendered;
  }

  async expected(flow: string, destination: number, event: CloudEvent): Promise<string> {
    const result = await this.#run({ kind: "expected", flow, destination, event });
    if (result.kind === "error") throw new PlantgateError(result.code, result.reason, { context: { flow, destination } });
    if (result.kind !== "expected") throw new PlantgateError("INVARIANT", `the expected answer ended as ${result.kind}`);
    return result.value;
  }

  async answer(flow: string, destination: number, body: Uint8Array): Promise<Answer> {
    const result = await this.#run({ kind: "answer", flow, destination, body });
    if (result.kind === "error") return { kind: "failed", reason: result.reason };
    if (result.kind !== "answer") throw new PlantgateError("INVARIANT", `an answer ended as ${result.kind}`);
    return result.answer;
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#thread.stop();
  }

  /** At once where nothing in it can run without end, else in the thread. */
  #run(job: ExpressionJob): ExpressionResult | Promise<ExpressionResult> {
    if (!this.#stopped && runsAtOnce(this.#flows, job)) return runJob(this.#flows, job, runSync);
    return this.#thread.run(job);
  }
}

/** @throws PlantgateError CONFIG_INVALID */
function compiled(bundle: Bundle): ReadonlyMap<string, CompiledFlow> {
  const { flows, problems } = compileBundle(bundle);
  if (problems.length === 0) return flows;
  const said = problems.map(({ path, message }) => `${path.join(".")}: ${message}`);
  throw new PlantgateError("CONFIG_INVALID", said.slice(0, 20).join("; "), { context: { problems: said } });
}

function toMapResult(result: ExpressionResult): MapResult {
  if (result.kind === "error") return failedMap(result);
  if (result.kind !== "messages") throw new PlantgateError("INVARIANT", `a mapping ended as ${result.kind}`);
  return result;
}
