import { randomUUID } from "node:crypto";
import {
  type Bundle,
  type CloudEvent,
  type CompiledDestination,
  type CompiledFlow,
  expectedAnswer,
  type FlowInput,
  type MappedLine,
  mapInput,
  PlantgateError,
  readAnswer,
  renderDelivery,
} from "../../protocol/index.ts";
import type { Answer, MapJob, MappedMessage, MapResult, Rendered } from "./mapping-contract.ts";

/** What the mapper is asked; the same on both sides of the thread. */
export type ExpressionJob =
  | { readonly kind: "map"; readonly job: MapJob; readonly recordedAt: number }
  | { readonly kind: "render"; readonly flow: string; readonly destination: number; readonly event: CloudEvent }
  | { readonly kind: "expected"; readonly flow: string; readonly destination: number; readonly event: CloudEvent }
  | { readonly kind: "answer"; readonly flow: string; readonly destination: number; readonly body: Uint8Array };

/** What it answers. Messages cross the thread as their lines: cheaper than objects, and the very bytes that will lie on disk. */
export type ExpressionResult =
  | Extract<MapResult, { kind: "messages" }>
  | { readonly kind: "rendered"; readonly rendered: Rendered }
  | { readonly kind: "expected"; readonly value: string }
  | { readonly kind: "answer"; readonly answer: Answer }
  | { readonly kind: "error"; readonly code: PlantgateError["code"]; readonly reason: string };

export type ToWorker =
  | { readonly kind: "configure"; readonly id: number; readonly bundle: Bundle }
  | { readonly kind: "jobs"; readonly jobs: readonly { readonly id: number; readonly job: ExpressionJob }[] };
export type FromWorker = {
  readonly results: readonly { readonly id: number; readonly result: ExpressionResult | { readonly kind: "configured" } }[];
};

type Runner = <Result>(steps: Generator<unknown, Result, unknown>) => Result | Promise<Result>;

/** Runs one job with compiled flows; what it throws becomes a result. `run` decides whether expressions may wait. */
export function runJob(
  flows: ReadonlyMap<string, CompiledFlow>,
  job: ExpressionJob,
  run: Runner,
): ExpressionResult | Promise<ExpressionResult> {
  try {
    const result = run(steps(flows, job));
    return result instanceof Promise ? result.catch(toResult) : result;
  } catch (error) {
    return toResult(error);
  }
}

function* steps(flows: ReadonlyMap<string, CompiledFlow>, job: ExpressionJob): Generator<unknown, ExpressionResult, unknown> {
  if (job.kind === "map") {
    const mapped = yield* mapInput(flowOf(flows, job.job.flow), toFlowInput(job.job, job.recordedAt));
    const messages = mapped.messages.map(toMessage);
    return mapped.cursor === undefined ? { kind: "messages", messages } : { kind: "messages", messages, cursor: mapped.cursor };
  }
  const destination = destinationOf(flows, job.flow, job.destination);
  switch (job.kind) {
    case "render":
      return { kind: "rendered", rendered: yield* renderDelivery(destination, job.event) };
    case "expected":
      return { kind: "expected", value: yield* expectedAnswer(destination, job.event) };
    case "answer":
      return { kind: "answer", answer: { kind: "answer", ...(yield* readAnswer(destination, job.body)) } };
  }
}

function toMessage({ lane, event: { id, type, idempotencykey }, line }: MappedLine): MappedMessage {
  return idempotencykey === undefined ? { lane, id, type, line } : { lane, id, type, idempotencyKey: idempotencykey, line };
}

export function toFlowInput(job: MapJob, recordedAt: number): FlowInput {
  return {
    connector: job.connector,
    ...(job.origin.kind === "topic" ? { topic: job.origin.topic } : {}),
    body: job.body,
    ...(job.decoded === undefined ? {} : { decoded: job.decoded }),
    inputHash: job.inputHash,
    recordedAt,
    newId: randomUUID,
  };
}

/** Whether a job needs no evaluator that could run without end: then it runs where it was asked. */
export function runsAtOnce(flows: ReadonlyMap<string, CompiledFlow>, job: ExpressionJob): boolean {
  if (job.kind === "map") return flows.get(job.job.flow)?.fast ?? true;
  const destination = flows.get(job.flow)?.destinations.find(({ index }) => index === job.destination);
  if (!destination || job.kind === "answer") return !destination;
  const { body, value, serialize, accepted } = destination;
  const used = job.kind === "render" ? [body, value, serialize] : (accepted?.equals?.parts ?? []);
  return used.every((expression) => expression === undefined || expression.sync !== undefined);
}

function toResult(error: unknown): ExpressionResult {
  if (error instanceof PlantgateError) return { kind: "error", code: error.code, reason: error.message };
  return { kind: "error", code: "MAPPING_FAILED", reason: error instanceof Error ? error.message : "the expression failed" };
}

function flowOf(flows: ReadonlyMap<string, CompiledFlow>, name: string): CompiledFlow {
  const flow = flows.get(name);
  if (!flow)
    throw new PlantgateError("MAPPING_FAILED", `there is no flow "${name}" in the active configuration`, {
      context: { flow: name },
    });
  return flow;
}

function destinationOf(flows: ReadonlyMap<string, CompiledFlow>, name: string, index: number): CompiledDestination {
  const destination = flowOf(flows, name).destinations.find((each) => each.index === index);
  if (!destination) {
    throw new PlantgateError(
      "DESTINATION_INVALID",
      `flow "${name}" has no local destination ${index} in the active configuration`,
      { context: { flow: name, destination: index } },
    );
  }
  return destination;
}

/** The result that the `Mapping` interface promises for a job that failed. */
export function failedMap(result: Extract<ExpressionResult, { kind: "error" }>): MapResult {
  return { kind: "failed", code: result.code, reason: result.reason };
}
