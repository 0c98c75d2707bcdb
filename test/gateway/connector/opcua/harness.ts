import { randomUUID } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Connector, Inlet, Input, Outbound, Prepared } from "../../../../gateway/connector/connector.ts";
import type { Interruption } from "../../../../gateway/connector/opcua/continuity.ts";
import { opcuaKind } from "../../../../gateway/connector/opcua/kind.ts";
import type { Sample } from "../../../../gateway/connector/opcua/sample.ts";
import type { Logger } from "../../../../gateway/telemetry/logger.ts";
import { opcuaConnector } from "../../../../protocol/connector/opcua.ts";
import { type Clock, type ConnectorReport, PlantgateError, systemClock } from "../../../../protocol/index.ts";

/** What came through the inlet, in order, and the cursors that were flushed with it. */
export class Recorder implements Inlet {
  readonly calls: (readonly Input[])[] = [];
  readonly cursors = new Map<string, string>();
  full = false;

  async accept(inputs: readonly Input[]) {
    if (this.full) throw new PlantgateError("QUEUE_FULL", "full");
    this.calls.push(inputs);
    for (const { cursors } of inputs) for (const { name, value } of cursors ?? []) this.cursors.set(name, value);
    return { recorded: inputs.length, deadLetterIds: [], repeats: 0, id: randomUUID() };
  }

  prepare(input: Input): Prepared {
    return { input };
  }

  commit(prepared: readonly Prepared[]) {
    return this.accept(prepared.map(({ input }) => input));
  }

  async cursor(name: string) {
    return this.cursors.get(name);
  }

  async release() {}

  get inputs(): Input[] {
    return this.calls.flat();
  }

  samples(item: string): Sample[] {
    return this.inputs.flatMap(({ origin, decoded }) =>
      origin.kind === "items" && origin.item === item ? [decoded as Sample] : [],
    );
  }

  interruptions(item: string): Interruption[] {
    return this.inputs.flatMap(({ origin, decoded }) =>
      origin.kind === "fact" && (decoded as Interruption).item === item ? [decoded as Interruption] : [],
    );
  }
}

export const uri = "urn:plantgate:demo:press";
const node = (name: string) => `nsu=${uri};s=${name}`;
export const pressItems = {
  strokes: { node: node("Strokes"), sampling: "0ms" },
  temp: { node: node("Temp"), sampling: "0ms" },
  state: { node: node("State"), sampling: "0ms" },
  order: { node: node("CurrentOrder"), sampling: "0ms", access: "readWrite" },
  good: { node: node("GoodCount"), sampling: "0ms" },
  scrap: { node: node("ScrapCount"), sampling: "0ms" },
  nextOrder: { node: node("NextOrder"), access: "write" },
} as const;

export interface Harness extends AsyncDisposable {
  readonly recorder: Recorder;
  readonly connector: Connector;
  readonly folder: string;
  report(): ConnectorReport;
  write(item: string, value: string | number | boolean): Outbound;
}

export const quiet: Logger = { debug() {}, info() {}, warn() {}, error() {}, child: () => quiet };

/** A connector as the gateway starts it, its samples recorded in memory; `recorder` and `folder` may be those of an earlier one. */
export async function startConnector(
  endpoint: string,
  options: {
    config?: Record<string, unknown>;
    items?: readonly string[];
    recorder?: Recorder;
    folder?: string;
    clock?: Clock;
  } = {},
): Promise<Harness> {
  const folder = options.folder ?? (await mkdtemp(join(tmpdir(), "plantgate-opcua-")));
  const recorder = options.recorder ?? new Recorder();
  const config = opcuaConnector.parse({ type: "opcua", endpoint, publishing: "100ms", items: pressItems, ...options.config });
  const connector = opcuaKind.create({
    site: "lyon",
    name: "press.press-7",
    config,
    wiring: {
      topics: [],
      answers: [],
      webhooks: [],
      polls: [],
      items: [...(options.items ?? ["strokes", "temp", "state"])],
      sources: [],
    },
    inlet: recorder,
    secret: () => "secret",
    secrets: () => ["secret"],
    webhooks: { mount: () => () => {} },
    folder: () => folder,
    clock: options.clock ?? systemClock,
    log: quiet,
  });
  await connector.start(new AbortController().signal);
  return {
    recorder,
    connector,
    folder,
    report: () => connector.report(),
    write: (item, value) => ({
      kind: "write",
      item,
      value,
      key: item,
      attempt: 1,
      event: { id: randomUUID() } as Outbound["event"],
    }),
    [Symbol.asyncDispose]: async () => {
      await connector.stop();
      if (options.folder === undefined) await rm(folder, { recursive: true, force: true });
    },
  };
}

/** Waits for a condition of the world outside; the deadline only ends a test that would fail anyway. */
export async function until<T>(
  what: string,
  look: () => T | undefined | false | Promise<T | undefined | false>,
  deadlineMs = 120_000,
): Promise<T> {
  const deadline = performance.now() + deadlineMs;
  for (;;) {
    const seen = await look();
    if (seen !== undefined && seen !== false) return seen;
    if (performance.now() > deadline) throw new Error(`never came about: ${what}`);
    await systemClock.sleep(25);
  }
}
