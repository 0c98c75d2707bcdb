import { createHash } from "node:crypto";
import {
  type Bundle,
  type CloudEvent,
  type FlowConfig,
  findMessageType,
  type LocalDestination,
  parseJson,
  shortName,
} from "../../protocol/index.ts";
import type { Mapping, Rendered } from "../flow/mapping.ts";
import { Sources } from "../flow/sources.ts";
import type { Made, MadeMessage, Refusal } from "./compare.ts";
import type { RecordedInput } from "./recorded-input.ts";

const maxReadBytes = 256 * 1024;

/** What names an event and when it was recorded: two ways of doing the same agree on everything else. */
export type Stamp = Partial<Pick<CloudEvent, "id" | "time" | "recordedtime">>;

/** One configuration, and what it makes of inputs by the code that is live: nothing is written, nothing leaves. */
export class Way {
  readonly #bundle: Bundle;
  readonly #mapping: Mapping;
  readonly #sources = new Sources();

  /** @param mapping is configured with this bundle */
  constructor(bundle: Bundle, mapping: Mapping) {
    this.#bundle = bundle;
    this.#mapping = mapping;
    this.#sources.configure(bundle);
  }

  /** The live flows that take an input, or a message from central of its type. */
  flowsOf({ connector, origin }: Pick<RecordedInput, "connector" | "origin">): readonly string[] {
    return origin.kind === "central" ? liveTakersOf(this.#bundle, origin.type) : this.#sources.flowsOf(connector, origin);
  }

  /** What the flow makes of an input that comes in over one of its connectors. */
  async input(flow: string, input: RecordedInput, stamp?: (index: number) => Stamp): Promise<Made> {
    const { connector, origin, body, decoded, receivedAt } = input;
    if (origin.kind === "central") return this.handedDown([flow], parseJson(Buffer.from(body).toString("utf8")) as CloudEvent);
    const inputHash = createHash("sha256").update(body).digest("hex");
    const mapped = await this.#mapping.map({ flow, connector, origin, body, decoded, receivedAt, inputHash });
    if (mapped.kind === "failed") return { messages: [], refusals: [{ code: mapped.code, reason: mapped.reason }] };
    const events = mapped.messages.map(({ line }, index) => ({ ...(JSON.parse(line) as CloudEvent), ...stamp?.(index) }));
    const made = await this.events(flow, events);
    return mapped.cursor === undefined ? made : { ...made, cursor: mapped.cursor };
  }

  /** What becomes of messages that the flow made. */
  async events(flow: string, events: readonly CloudEvent[]): Promise<Made> {
    const messages: MadeMessage[] = [];
    const refusals: Refusal[] = [];
    for (const event of events) {
      const { type, partitionkey, idempotencykey, targetsite, data } = event;
      const value = {
        type: shortName(type),
        key: partitionkey,
        ...(idempotencykey === undefined ? {} : { idempotencyKey: idempotencykey }),
        ...(targetsite === undefined ? {} : { targetSite: targetsite }),
        data,
        ...(await this.#deliveries([flow], event, refusals)),
      };
      messages.push({ key: `${type}\n${idempotencykey ?? partitionkey}`, value });
    }
    return { messages, refusals };
  }

  /** What these flows do with a message from central. `only`: to these connectors. */
  async handedDown(flows: readonly string[], event: CloudEvent, only?: ReadonlySet<string>): Promise<Made> {
    const refusals: Refusal[] = [];
    const value = await this.#deliveries(flows, event, refusals, only);
    return { messages: "to" in value ? [{ key: event.id, value }] : [], refusals };
  }

  /** `to.wms.topic`, a second one of its kind `to.wms.topic#2`: how destinations are paired whatever they say. */
  async #deliveries(
    flows: readonly string[],
    event: CloudEvent,
    refusals: Refusal[],
    only?: ReadonlySet<string>,
  ): Promise<{ to?: Record<string, Record<string, unknown>> }> {
    const to: Record<string, Record<string, unknown>> = {};
    for (const flow of flows) {
      for (const [index, destination] of (this.#bundle.flows[flow]?.to ?? []).entries()) {
        if (!("connector" in destination) || only?.has(destination.connector) === false) continue;
        const rendered = await this.#mapping.render(flow, index, event);
        if (rendered.kind === "failed") refusals.push({ code: rendered.code, reason: rendered.reason });
        const own = to[destination.connector] ?? {};
        to[destination.connector] = own;
        own[freeName(own, kindOf(destination))] = said(rendered);
      }
    }
    return Object.keys(to).length === 0 ? {} : { to };
  }
}

/** The live flows that take this type from central. */
export function liveTakersOf(bundle: Bundle, type: string): string[] {
  return takersOf(bundle, type, "live");
}

export function takersOf({ flows }: Bundle, type: string, mode: FlowConfig["mode"]): string[] {
  return Object.entries(flows)
    .filter(([, flow]) => flow.mode === mode && centralTypesOf(flow).includes(type))
    .map(([name]) => name);
}

/** Full names of the types that a flow takes from central. */
export function centralTypesOf({ from }: FlowConfig): string[] {
  if (Array.isArray(from) || !("central" in from)) return [];
  return [from.central].flat().map((type) => findMessageType(type)?.type ?? type);
}

function kindOf(destination: LocalDestination): string {
  if ("topic" in destination) return "topic";
  if ("post" in destination) return "post";
  return "write" in destination ? "write" : "operation";
}

function freeName(taken: Readonly<Record<string, unknown>>, kind: string): string {
  let name = kind;
  for (let number = 2; Object.hasOwn(taken, name); number++) name = `${kind}#${number}`;
  return name;
}

function said(rendered: Rendered): Record<string, unknown> {
  if (rendered.kind === "failed") return { refused: rendered.code };
  const { kind: _, ...rest } = rendered;
  return "body" in rest ? { ...rest, body: readable(rest.body) } : rest;
}

/** As JSON where it is that; of what is too large to be looked through, its size and what tells it from others. */
function readable(body: Uint8Array): unknown {
  if (body.byteLength > maxReadBytes) return { bytes: body.byteLength, sha256: createHash("sha256").update(body).digest("hex") };
  const text = Buffer.from(body).toString("utf8");
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}
