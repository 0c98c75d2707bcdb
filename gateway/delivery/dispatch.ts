import { randomUUID } from "node:crypto";
import {
  type Bundle,
  type Clock,
  type CloudEvent,
  type FlowConfig,
  findMessageType,
  type LocalDestination,
} from "../../protocol/index.ts";
import type { Mapping } from "../flow/mapping.ts";
import type { DeadLetter, NewDelivery, QueueLane } from "../queue/change.ts";
import { decodeLines } from "../queue/frame.ts";
import type { Queue } from "../queue/queue.ts";
import { Wake } from "./wake.ts";

/** Lanes whose messages may have local destinations. Samples have none: they go to central. */
const dispatchedLanes = ["inbound", "transaction", "bulk"] as const satisfies readonly QueueLane[];

export interface DispatchDeps {
  readonly queue: Queue;
  readonly mapping: Mapping;
  readonly clock: Clock;
  /** New deliveries are flushed for these connectors. */
  readonly onDeliveries: (connectors: ReadonlySet<string>) => void;
}

interface Target {
  readonly flow: string;
  readonly destination: number;
  readonly to: LocalDestination;
  readonly connectors: readonly string[];
}

/**
 * Turns what lies in the lanes into deliveries, one row per message and destination, in the transaction that moves the lane's cursor:
 * a destination that is away keeps its rows and never holds the lane, the uplink or another destination (rule 7).
 */
export class Dispatcher {
  readonly #deps: DispatchDeps;
  #byFlow = new Map<string, readonly Target[]>();
  #byType = new Map<string, readonly Target[]>();
  readonly #configured = Promise.withResolvers<void>();

  constructor(deps: DispatchDeps) {
    this.#deps = deps;
  }

  configure(bundle: Bundle): void {
    const byFlow = new Map<string, Target[]>();
    const byType = new Map<string, Target[]>();
    for (const [flow, config] of Object.entries(bundle.flows)) {
      const targets = localTargets(flow, config, bundle);
      if (targets.length === 0) continue;
      const types = centralTypes(config);
      if (types.length === 0) byFlow.set(flow, targets);
      for (const type of types) byType.set(type, [...(byType.get(type) ?? []), ...targets]);
    }
    this.#byFlow = byFlow;
    this.#byType = byType;
    this.#configured.resolve();
  }

  /**
   * Runs until the signal aborts. Before the first configuration nobody can tell where a message goes, so no cursor passes one.
   */
  async run(signal: AbortSignal): Promise<void> {
    const ended = Promise.withResolvers<void>();
    signal.addEventListener("abort", () => ended.resolve(), { once: true });
    if (signal.aborted) return;
    await Promise.race([this.#configured.promise, ended.promise]);
    await Promise.all(dispatchedLanes.map((lane) => this.#runLane(lane, signal)));
  }

  async #runLane(lane: (typeof dispatchedLanes)[number], signal: AbortSignal): Promise<void> {
    const { queue } = this.#deps;
    const wake = new Wake();
    const stopListening = queue.onAppended(lane, () => wake.ring());
    try {
      let cursor = (await queue.depth()).lanes.find((entry) => entry.lane === lane)?.dispatched ?? 0;
      while (!signal.aborted) {
        const frames = await queue.frames(lane, cursor, { frames: 16, bytes: 1024 * 1024 });
        if (frames.length === 0) {
          await wake.wait(signal);
          continue;
        }
        const deliveries: NewDelivery[] = [];
        const deadLetters: DeadLetter[] = [];
        for (const frame of frames) {
          // a cursor in the middle of a frame does not happen: both move by whole frames
          cursor = frame.first + frame.count - 1;
          if (lane !== "inbound" && this.#byFlow.size === 0) continue;
          for (const line of decodeLines(frame.events, frame.count)) {
            const made = await this.#deliveriesOf(lane, line);
            deliveries.push(...made);
            if (lane === "inbound" && made.length === 0) deadLetters.push(this.#unclaimed(line));
          }
        }
        await queue.commit({ dispatched: { lane, upTo: cursor }, newDeliveries: deliveries, deadLetters });
        if (deliveries.length > 0) this.#deps.onDeliveries(new Set(deliveries.map((delivery) => delivery.connector)));
      }
    } finally {
      stopListening();
    }
  }

  async #deliveriesOf(lane: QueueLane, line: string): Promise<NewDelivery[]> {
    const event = JSON.parse(line) as CloudEvent;
    const targets = lane === "inbound" ? this.#byType.get(event.type) : this.#byFlow.get(event.flow ?? "");
    const deliveries: NewDelivery[] = [];
    for (const { flow, destination, to, connectors } of targets ?? []) {
      const key =
        "serialize" in to && to.serialize !== undefined ? await this.#serializeKey(flow, destination, event) : event.partitionkey;
      for (const connector of connectors)
        deliveries.push({ connector, flow, destination, key, line, createdAt: this.#deps.clock.now() });
    }
    return deliveries;
  }

  /** Central sent it for a flow that this configuration does not have any more. */
  #unclaimed(line: string): DeadLetter {
    return {
      id: randomUUID(),
      at: this.#deps.clock.now(),
      direction: "out",
      connector: "central",
      place: "downlink",
      code: "DESTINATION_INVALID",
      reason: "no flow of this site's configuration takes this type from central",
      body: Buffer.from(line),
      attempts: 0,
    };
  }

  /** A message whose key cannot be told becomes a dead letter when it is delivered, under its own ordering key. */
  async #serializeKey(flow: string, destination: number, event: CloudEvent): Promise<string> {
    const rendered = await this.#deps.mapping.render(flow, destination, event);
    return rendered.kind === "failed" ? event.partitionkey : rendered.key;
  }
}

function localTargets(flow: string, config: FlowConfig, bundle: Bundle): Target[] {
  return config.to.flatMap((to, destination) => {
    if (!("connector" in to)) return [];
    const connectors = Object.entries(bundle.connectors).flatMap(([name, { group }]) =>
      name === to.connector || group === to.connector ? [name] : [],
    );
    return [{ flow, destination, to, connectors }];
  });
}

function centralTypes(config: FlowConfig): string[] {
  if (Array.isArray(config.from) || !("central" in config.from)) return [];
  return [config.from.central].flat().map((type) => findMessageType(type)?.type ?? type);
}
