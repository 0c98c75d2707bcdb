import { createHash } from "node:crypto";
import {
  type Bundle,
  type Clock,
  type CloudEvent,
  compileBundle,
  describeError,
  type ShadowReport,
} from "../../protocol/index.ts";
import type { Origin } from "../connector/connector.ts";
import type { Mapping } from "../flow/mapping.ts";
import type { PreparedInput } from "../flow/prepared.ts";
import { Sources } from "../flow/sources.ts";
import type { Logger } from "../telemetry/logger.ts";
import type { Made, Refusal } from "./compare.ts";
import type { RecordedInput, RecordedOrigin } from "./recorded-input.ts";
import { ShadowedFlow, type ShadowView } from "./shadow-flow.ts";
import { centralTypesOf, type Stamp, Way } from "./way.ts";

export interface ShadowDeps {
  /** A mapper of its own: what a flow in shadow does to its thread is not felt by a live one. */
  readonly openMapping: () => Mapping;
  readonly clock: Clock;
  readonly log: Logger;
}

/** Inputs that wait for the flows in shadow; what comes beyond that they do not see, and it is counted. */
const maxWaiting = 1000;
const maxWaitingBytes = 16 * 1024 * 1024;

interface Task {
  readonly flows: readonly ShadowedFlow[];
  readonly bytes: number;
  readonly run: (way: Way) => Promise<void>;
}

/** What there is while flows are in shadow. */
interface Running {
  readonly way: Way;
  readonly sources: Sources;
  readonly flows: ReadonlyMap<string, ShadowedFlow>;
  /** Live flow → those in shadow that are compared with it. */
  readonly comparedWith: ReadonlyMap<string, readonly ShadowedFlow[]>;
  readonly byType: ReadonlyMap<string, readonly ShadowedFlow[]>;
  /** Polls in shadow, by their flows, and connectors all of whose sources are in shadow: their cursors are kept here. */
  readonly polls: ReadonlySet<string>;
  readonly sourceConnectors: ReadonlySet<string>;
}

/**
 * Flows in shadow: what live flows took is mapped again by them, behind what is live and never in its way, and compared. They write nothing to the
 * queue, send nothing, and their polls have cursors of their own. Modes: none in shadow (`#running` is undefined, and nothing costs anything); some are.
 */
export class Shadow {
  readonly #deps: ShadowDeps;
  #mapping: Mapping | undefined;
  #running: Running | undefined;
  #waiting: Task[] = [];
  #waitingBytes = 0;
  #pumping: Promise<void> | undefined;
  #cursors: Map<string, string>;
  #stored: ReadonlyMap<string, string>;
  #stopped = false;

  /** @param stored states and cursors of an earlier start */
  constructor(deps: ShadowDeps, stored: { states: ReadonlyMap<string, string>; cursors: ReadonlyMap<string, string> }) {
    this.#deps = deps;
    this.#stored = stored.states;
    this.#cursors = new Map(stored.cursors);
  }

  async configure(bundle: Bundle): Promise<void> {
    const { clock, openMapping } = this.#deps;
    const names = Object.keys(bundle.flows).filter((flow) => bundle.flows[flow]?.mode === "shadow");
    // what waits was meant for the flows as they were
    for (const task of this.#waiting.splice(0)) for (const flow of task.flows) flow.skip();
    this.#waitingBytes = 0;
    this.#stored = new Map([...this.#stored, ...this.states()]);
    this.#running = undefined;
    await this.#pumping;
    if (names.length === 0) {
      this.#cursors.clear();
      await this.#endMapping();
      return;
    }
    this.#mapping ??= openMapping();
    await this.#mapping.configure(bundle);
    const compiled = compileBundle(bundle).flows;
    const flows = new Map(names.map((name) => [name, new ShadowedFlow(name, bundle, compiled, clock, this.#stored.get(name))]));
    this.#stored = new Map([...this.#stored].filter(([name]) => flows.has(name)));
    const sources = new Sources();
    sources.configure(bundle, "shadow");
    const all = [...flows.values()];
    this.#running = {
      way: new Way(bundle, this.#mapping),
      sources,
      flows,
      comparedWith: grouped(all, ({ against, kind }) => (kind === "central" ? [] : against)),
      byType: grouped(all, ({ name }) => centralTypesOf(bundle.flows[name] as Bundle["flows"][string])),
      ...ownCursors(bundle),
    };
    for (const name of this.#cursors.keys()) if (!this.#keepsCursor(name)) this.#cursors.delete(name);
  }

  get isOn(): boolean {
    return this.#running !== undefined;
  }

  takes(connector: string, origin: Origin): boolean {
    return this.#running !== undefined && this.#running.sources.flowsOf(connector, origin).length > 0;
  }

  /** A cursor of a flow in shadow, as far as there is one yet: until then it begins where the live one stands. */
  cursor(connector: string, name: string): string | undefined {
    return this.#running && this.#cursors.get(`${connector}/${name}`);
  }

  /** What was accepted, and what is flushed of it. */
  taken(connector: string, { input, flows: live, change }: PreparedInput): void {
    const running = this.#running;
    const { origin } = input;
    if (!running || origin.kind === "fact") return;
    const takers = running.sources.flowsOf(connector, origin).flatMap((name) => running.flows.get(name) ?? []);
    if (input.wholeBytes !== undefined) {
      const reason = `the input has ${input.wholeBytes} bytes, more than can be kept`;
      for (const flow of takers) flow.compare(nothing, { messages: [], refusals: [{ code: "INPUT_TOO_LARGE", reason }] });
      return;
    }
    const flows = [...new Set([...takers, ...live.flatMap((flow) => running.comparedWith.get(flow) ?? [])])];
    if (flows.length === 0) return;
    if (takers.length > 0 && origin.kind === "source" && running.sourceConnectors.has(connector))
      for (const { name, value } of input.cursors ?? []) this.#cursors.set(`${connector}/${name}`, value);
    const { messages = [], deadLetters = [] } = change;
    const lines = messages.map(({ line }) => line);
    const recorded = { connector, origin, body: Buffer.from(input.body), decoded: input.decoded, receivedAt: input.receivedAt };
    const refusals = deadLetters.map(({ flow = "", code, reason }) => ({ flow, code, reason }));
    this.#offer({
      flows,
      bytes: recorded.body.byteLength + lines.reduce((sum, line) => sum + line.length, 0),
      run: (way) => this.#compareInput(way, flows, new Set(takers), recorded, { flows: live, lines, refusals }),
    });
  }

  /** What central handed down, and what is flushed of it. */
  handedDown(event: CloudEvent): void {
    const flows = this.#running?.byType.get(event.type) ?? [];
    if (flows.length === 0) return;
    const run = async (way: Way): Promise<void> => {
      for (const flow of flows) {
        const live = await way.handedDown(flow.against, event, flow.targets);
        flow.compare(live, await way.handedDown([flow.name], event));
      }
    };
    this.#offer({ flows, bytes: JSON.stringify(event.data).length, run });
  }

  views(): ShadowView[] {
    return [...(this.#running?.flows.values() ?? [])].map((flow) => flow.view);
  }

  report(): ShadowReport {
    return { flows: this.views().map(({ recent: _, ...flow }) => flow) };
  }

  states(): Map<string, string> {
    return new Map([...(this.#running?.flows ?? [])].map(([name, flow]) => [name, flow.state]));
  }

  get cursors(): ReadonlyMap<string, string> {
    return this.#cursors;
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    this.#waiting = [];
    await this.#endMapping();
    await this.#pumping;
  }

  async #endMapping(): Promise<void> {
    const mapping = this.#mapping;
    this.#mapping = undefined;
    await mapping?.stop();
  }

  #offer(task: Task): void {
    if (this.#stopped) return;
    if (this.#waiting.length >= maxWaiting || this.#waitingBytes + task.bytes > maxWaitingBytes) {
      for (const flow of task.flows) flow.skip();
      return;
    }
    this.#waiting.push(task);
    this.#waitingBytes += task.bytes;
    this.#start();
  }

  #start(): void {
    this.#pumping ??= this.#pump().finally(() => {
      this.#pumping = undefined;
      // offered while it came to its end
      if (this.#waiting.length > 0 && this.#running) this.#start();
    });
  }

  /** One after the other, and whatever else there is to do goes on in between. */
  async #pump(): Promise<void> {
    for (;;) {
      await new Promise((resolve) => setImmediate(resolve));
      const task = this.#waiting.shift();
      const way = this.#running?.way;
      if (!task || !way) return;
      this.#waitingBytes -= task.bytes;
      try {
        await task.run(way);
      } catch (error) {
        for (const flow of task.flows) flow.skip();
        if (this.#stopped) return;
        this.#deps.log.debug(
          { event: "rehearsal.shadow.skipped", reason: describeError(error) },
          "a flow in shadow could not be compared",
        );
      }
    }
  }

  async #compareInput(
    way: Way,
    flows: readonly ShadowedFlow[],
    takers: ReadonlySet<ShadowedFlow>,
    input: RecordedInput & { readonly origin: RecordedOrigin },
    done: { flows: readonly string[]; lines: readonly string[]; refusals: readonly (Refusal & { flow: string })[] },
  ): Promise<void> {
    const events = done.lines.map((line) => JSON.parse(line) as CloudEvent);
    for (const flow of flows) {
      const against = done.flows.filter((name) => flow.against.includes(name));
      const live = await liveMade(way, against, events, done.refusals);
      const own = events.filter((event) => event.flow !== undefined && against.includes(event.flow));
      const made = takers.has(flow) ? await way.input(flow.name, input, (index) => stampOf(own[index])) : nothing;
      if (flow.kind === "window") {
        const inputHash = createHash("sha256").update(input.body).digest("hex");
        flow.meet("before", live, inputHash);
        flow.meet("after", made, inputHash);
      } else flow.compare(live, made);
      // by whatever configuration runs by now
      if (made.cursor !== undefined && this.#running?.flows.get(flow.name) === flow)
        this.#cursors.set(`${input.connector}/poll/${flow.name}`, made.cursor);
    }
  }

  #keepsCursor(name: string): boolean {
    const [connector = "", rest = ""] = [name.slice(0, name.indexOf("/")), name.slice(name.indexOf("/") + 1)];
    const { polls, sourceConnectors } = this.#running ?? { polls: new Set(), sourceConnectors: new Set() };
    return rest.startsWith("poll/") ? polls.has(rest.slice("poll/".length)) : sourceConnectors.has(connector);
  }
}

const nothing: Made = { messages: [], refusals: [] };

/** What the live flows made of the input, as it lies in the queue, with what goes to their destinations. */
async function liveMade(
  way: Way,
  flows: readonly string[],
  events: readonly CloudEvent[],
  refusals: readonly (Refusal & { flow: string })[],
): Promise<Made> {
  const all = await Promise.all(
    flows.map((flow) =>
      way.events(
        flow,
        events.filter((event) => event.flow === flow),
      ),
    ),
  );
  const refused = refusals.filter(({ flow }) => flows.includes(flow));
  return { messages: all.flatMap(({ messages }) => messages), refusals: [...refused, ...all.flatMap((made) => made.refusals)] };
}

/** The live message's own, as nothing else names a message. */
function stampOf(live: CloudEvent | undefined): Stamp {
  if (!live) return {};
  const { id, time, recordedtime } = live;
  return { id, recordedtime, ...(time === recordedtime ? { time } : {}) };
}

function grouped(flows: readonly ShadowedFlow[], keysOf: (flow: ShadowedFlow) => readonly string[]): Map<string, ShadowedFlow[]> {
  const groups = new Map<string, ShadowedFlow[]>();
  for (const flow of flows) for (const key of keysOf(flow)) groups.set(key, [...(groups.get(key) ?? []), flow]);
  return groups;
}

function ownCursors({ flows }: Bundle): Pick<Running, "polls" | "sourceConnectors"> {
  const polls = new Set<string>();
  const modes = new Map<string, Set<string>>();
  for (const [name, { from, mode }] of Object.entries(flows)) {
    for (const source of [from].flat()) {
      if ("poll" in source && mode === "shadow") polls.add(name);
      if ("source" in source && mode !== "off") modes.set(source.connector, (modes.get(source.connector) ?? new Set()).add(mode));
    }
  }
  return { polls, sourceConnectors: new Set([...modes].filter(([, has]) => !has.has("live")).map(([connector]) => connector)) };
}
