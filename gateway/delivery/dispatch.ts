import { randomUUID } from "node:crypto";
import {
  type Bundle,
  type Clock,
  type CloudEvent,
  describeDestination,
  type ErrorCode,
  type FlowConfig,
  findMessageType,
  hasDisposition,
  type LocalDestination,
  PlantgateError,
} from "../../protocol/index.ts";
import type { Mapping } from "../flow/mapping.ts";
import { type HandedDown, justNow, parseHandedDown } from "../link/handed-down.ts";
import type { DeadLetter, NewDelivery, QueueLane, StoredFrame } from "../queue/change.ts";
import { decodeInputs, decodeLines } from "../queue/frame.ts";
import type { Queue } from "../queue/queue.ts";
import type { Logger } from "../telemetry/logger.ts";
import { Wake } from "./wake.ts";

/** Lanes whose messages may have local destinations. Samples have none: they go to central. */
const dispatchedLanes = ["inbound", "transaction", "bulk"] as const satisfies readonly QueueLane[];

export interface DispatchDeps {
  readonly queue: Queue;
  readonly mapping: Mapping;
  readonly clock: Clock;
  readonly log: Logger;
  /** Resolves when the desired configuration is in effect or refused, or after a bounded while. */
  readonly configurationSettled: (signal: AbortSignal) => Promise<void>;
  /** Told of what central handed down, once its deliveries are flushed. */
  readonly observer?: { handedDown(event: CloudEvent, line: string): void };
  /** New deliveries are flushed for these connectors. */
  readonly onDeliveries: (connectors: ReadonlySet<string>) => void;
}

const fullDiskMs = 1000;

/** Where messages go by one configuration: by the flow that recorded them, and by their type what came from central. */
interface Routes {
  readonly byFlow: ReadonlyMap<string, readonly Target[]>;
  readonly byType: ReadonlyMap<string, readonly Target[]>;
  /** Types that only flows take from central that are not live, and how they stand. */
  readonly idle: ReadonlyMap<string, "off" | "shadow">;
}

interface Target {
  readonly flow: string;
  /** Its place in the flow's `to`, for this configuration. */
  readonly index: number;
  readonly to: LocalDestination;
  readonly connectors: readonly string[];
  /** Each message stands alone (P4). */
  readonly unordered: boolean;
}

/**
 * Turns what lies in the lanes into deliveries, one row per message and destination, in the transaction that moves the lane's cursor:
 * a destination that is away keeps its rows and never holds the lane, the uplink or another destination (rule 7).
 */
export class Dispatcher {
  readonly #deps: DispatchDeps;
  #routes: Routes = { byFlow: new Map(), byType: new Map(), idle: new Map() };
  /** Of every flow that took from here since the start, as its last configuration had it: who knows of one that is gone knows what it was for. */
  readonly #known = new Map<string, readonly Target[]>();
  #configured = Promise.withResolvers<void>();
  readonly #caughtUp = Promise.withResolvers<void>();
  #suspended = true;

  constructor(deps: DispatchDeps) {
    this.#deps = deps;
  }

  configure(bundle: Bundle): void {
    const byFlow = new Map<string, Target[]>();
    const byType = new Map<string, Target[]>();
    const idle = new Map<string, "off" | "shadow">();
    for (const [flow, config] of Object.entries(bundle.flows)) {
      const targets = localTargets(flow, config, bundle);
      const types = centralTypes(config);
      // whatever its mode is by now: what it accepted is delivered
      if (types.length === 0) byFlow.set(flow, targets);
      else if (config.mode !== "live") {
        for (const type of types) if (idle.get(type) !== "shadow") idle.set(type, config.mode);
        continue;
      }
      if (targets.length === 0) continue;
      for (const type of types) byType.set(type, [...(byType.get(type) ?? []), ...targets]);
    }
    for (const [flow, targets] of byFlow) this.#known.set(flow, targets);
    for (const type of byType.keys()) idle.delete(type);
    this.#routes = { byFlow, byType, idle };
    this.#suspended = false;
    this.#configured.resolve();
  }

  /** Until the next `configure` nobody can tell where a message goes, so no cursor passes one; as before the first. */
  suspend(): void {
    if (this.#suspended) return;
    this.#suspended = true;
    this.#configured = Promise.withResolvers();
  }

  /**
   * Resolves when all that was dispatched before, and has lost its deliveries with a damaged file, is dispatched again. What is delivered
   * before that may pass earlier messages of its key (P4).
   */
  get caughtUp(): Promise<void> {
    return this.#caughtUp.promise;
  }

  async run(signal: AbortSignal): Promise<void> {
    const ended = Promise.withResolvers<void>();
    signal.addEventListener("abort", () => ended.resolve(), { once: true });
    if (signal.aborted) return;
    const behind = new Set<QueueLane>(dispatchedLanes);
    const caughtUp = (lane: QueueLane): void => {
      behind.delete(lane);
      if (behind.size === 0) this.#caughtUp.resolve();
    };
    await Promise.all(dispatchedLanes.map((lane) => this.#runLane(lane, ended.promise, signal, caughtUp)));
  }

  async #runLane(
    lane: (typeof dispatchedLanes)[number],
    ended: Promise<void>,
    signal: AbortSignal,
    caughtUp: (lane: QueueLane) => void,
  ): Promise<void> {
    const { queue } = this.#deps;
    const wake = new Wake();
    const stopListening = queue.onAppended(lane, () => wake.ring());
    try {
      const { dispatched, againUpTo, last: earlier } = await queue.position(lane);
      const again = Math.min(againUpTo, earlier);
      let cursor = dispatched;
      while (!signal.aborted) {
        if (cursor >= again) caughtUp(lane);
        if (this.#suspended) {
          await Promise.race([this.#configured.promise, ended]);
          continue;
        }
        try {
          const frames = await queue.frames(lane, cursor, { frames: 16, bytes: 1024 * 1024, inputs: lane === "inbound" });
          if (frames.length === 0) await wake.wait(signal);
          else cursor = (await this.#dispatch({ lane, earlier }, frames, signal)) ?? cursor;
        } catch (error) {
          if (signal.aborted) return;
          // a full disk: nothing was written, the cursor stays
          if (!hasDisposition(error, "shed")) throw error;
          await this.#deps.clock.sleep(fullDiskMs, signal);
        }
      }
    } finally {
      stopListening();
    }
  }

  /**
   * Writes the deliveries of these frames and moves the cursor behind them; both move by whole frames.
   * @returns where it is now; undefined: nothing was written, as the configuration changes or changed meanwhile
   */
  async #dispatch({ lane, earlier }: LaneRun, frames: readonly StoredFrame[], signal: AbortSignal): Promise<number | undefined> {
    const routes = this.#routes;
    const deliveries: NewDelivery[] = [];
    const deadLetters: DeadLetter[] = [];
    const handedDownNow: [CloudEvent, string][] = [];
    let upTo = 0;
    for (const frame of frames) {
      upTo = frame.first + frame.count - 1;
      // what a hole held goes nowhere: its range was reported when it became one
      if (frame.hole !== undefined) continue;
      if (lane !== "inbound" && frame.first > earlier && this.#isForCentralAlone) continue;
      let lines: string[];
      try {
        lines = decodeLines(frame.events, frame.count);
      } catch (error) {
        if (!hasDisposition(error, "quarantine")) throw error;
        // one damaged frame must not stop the plant: it is set aside whole, with its range
        const place = `lane ${lane}, ${frame.first} to ${upTo}`;
        deadLetters.push(this.#letter(place, "FRAME_CORRUPT", "the frame is damaged on disk; it was set aside", frame.events));
        continue;
      }
      const handed = handedDown(frame);
      for (const [index, line] of lines.entries()) {
        const event = parsed(line);
        if (!event) {
          deadLetters.push(this.#letter(`lane ${lane}`, "FRAME_CORRUPT", "what lies on disk is no event", Buffer.from(line)));
          continue;
        }
        // central routes by the configuration that it wants: what takes this type may be on its way
        if (lane === "inbound" && !inboundTargets(event, routes)) await this.#deps.configurationSettled(signal);
        const targets = lane === "inbound" ? inboundTargets(event, routes) : this.#targetsOf(event, routes);
        if (targets && lane === "inbound" && this.#deps.observer) handedDownNow.push([event, line]);
        if (!targets) deadLetters.push(this.#unrouted(lane, event, line, routes));
        else deliveries.push(...(await this.#deliveriesOf(targets, event, line, aged(handed[index] ?? justNow, frame))));
      }
    }
    if (signal.aborted) throw new PlantgateError("STOPPED", "the gateway is stopping");
    if (this.#suspended || this.#routes !== routes) return undefined;
    await this.#deps.queue.commit({ dispatched: { lane, upTo }, newDeliveries: deliveries, deadLetters });
    for (const [event, line] of handedDownNow) this.#deps.observer?.handedDown(event, line);
    if (deliveries.length > 0) this.#deps.onDeliveries(new Set(deliveries.map((delivery) => delivery.connector)));
    return upTo;
  }

  /** Nothing that was recorded since the start is meant for a local system, by no configuration that there was. */
  get #isForCentralAlone(): boolean {
    return [...this.#known.values()].every((targets) => targets.length === 0);
  }

  /** Where what was recorded here goes; undefined: a flow recorded it that is gone, and which may have had local destinations. */
  #targetsOf({ flow }: CloudEvent, { byFlow }: Routes): readonly Target[] | undefined {
    if (flow === undefined) return [];
    const targets = byFlow.get(flow);
    return targets ?? (this.#known.get(flow)?.length === 0 ? [] : undefined);
  }

  #unrouted(lane: QueueLane, { flow, type, partitionkey: key }: CloudEvent, line: string, { idle }: Routes): DeadLetter {
    const body = Buffer.from(line);
    if (lane === "inbound") {
      const reason =
        idle.get(type) === "off"
          ? "the flow of this site's configuration that takes this type from central is switched off"
          : "no flow of this site's configuration takes this type from central";
      return this.#letter("downlink", "DESTINATION_INVALID", reason, body);
    }
    const reason = `the flow "${flow}" that recorded it is not in the configuration any more, so nobody can tell which local systems it was for`;
    return { ...this.#letter(`flow ${flow}`, "DESTINATION_INVALID", reason, body), flow, type, key };
  }

  async #deliveriesOf(
    targets: readonly Target[],
    event: CloudEvent,
    line: string,
    { waitedMs, again, centralAt, restarted }: Aged,
  ): Promise<NewDelivery[]> {
    const deliveries: NewDelivery[] = [];
    const { id: messageId, type } = event;
    const since = centralAt === undefined ? {} : { centralAt };
    const times = { createdAt: this.#deps.clock.now(), waitedMs, restarted, again, ...since };
    const stateKey = findMessageType(type)?.state ? event.partitionkey : undefined;
    for (const { flow, index, to, connectors, unordered } of targets) {
      const target = describeDestination(to);
      const ordered =
        "serialize" in to && to.serialize !== undefined ? await this.#serializeKey(flow, index, event) : event.partitionkey;
      const key = unordered ? `${ordered}#${messageId}` : ordered;
      for (const connector of connectors)
        deliveries.push({ connector, flow, target, key, line, type, messageId, stateKey, ...times });
    }
    return deliveries;
  }

  #letter(place: string, code: ErrorCode, reason: string, body: Uint8Array): DeadLetter {
    this.#deps.log.warn(
      { event: "dispatch.message.deadLettered", place, code, reason },
      "what lies in the queue cannot be delivered, kept as a dead letter",
    );
    return {
      id: randomUUID(),
      at: this.#deps.clock.now(),
      direction: "out",
      connector: "central",
      place,
      code,
      reason,
      body,
      attempts: 0,
    };
  }

  /** A message whose key cannot be told becomes a dead letter when it is delivered, under its own ordering key. */
  async #serializeKey(flow: string, index: number, event: CloudEvent): Promise<string> {
    const rendered = await this.#deps.mapping.render(flow, index, event);
    return rendered.kind === "failed" ? event.partitionkey : rendered.key;
  }
}

/** Where what central handed down goes; nowhere where only a flow in shadow takes it, which reports it (ADR 0098). Undefined: nobody takes it. */
function inboundTargets({ type }: CloudEvent, { byType, idle }: Routes): readonly Target[] | undefined {
  return byType.get(type) ?? (idle.get(type) === "shadow" ? [] : undefined);
}

interface LaneRun {
  readonly lane: QueueLane;
  /** What was recorded up to here was recorded before the dispatcher ran, by a configuration that may not be known. */
  readonly earlier: number;
}

/** What central said of each message beside it. What cannot be read of that is the worst that it could have been. */
function handedDown({ inputs, count }: StoredFrame): HandedDown[] {
  if (inputs === undefined) return [];
  try {
    return decodeInputs(inputs).map(parseHandedDown);
  } catch (error) {
    if (!hasDisposition(error, "quarantine")) throw error;
    return new Array<HandedDown>(count).fill({ waitedMs: undefined, again: true });
  }
}

/** What it waited before it lay here, and in its lane; `restarted`: how long it lay there only central's clock can tell. */
interface Aged extends HandedDown {
  readonly restarted: boolean;
}

function aged({ waitedMs, again, centralAt }: HandedDown, { ageMs, again: setBack }: StoredFrame): Aged {
  const restarted = ageMs === undefined;
  const here = ageMs ?? 0;
  return {
    waitedMs: waitedMs === undefined ? undefined : waitedMs + here,
    restarted,
    again: again || setBack === true,
    ...(centralAt === undefined ? {} : { centralAt: centralAt + here }),
  };
}

function parsed(line: string): CloudEvent | undefined {
  try {
    return JSON.parse(line) as CloudEvent;
  } catch {
    return undefined;
  }
}

function localTargets(flow: string, config: FlowConfig, bundle: Bundle): Target[] {
  return config.to.flatMap((to, index) => {
    if (!("connector" in to)) return [];
    const connectors = Object.entries(bundle.connectors).flatMap(([name, { group }]) =>
      name === to.connector || group === to.connector ? [name] : [],
    );
    return [{ flow, index, to, connectors, unordered: config.order === "none" }];
  });
}

function centralTypes(config: FlowConfig): string[] {
  if (Array.isArray(config.from) || !("central" in config.from)) return [];
  return [config.from.central].flat().map((type) => findMessageType(type)?.type ?? type);
}
