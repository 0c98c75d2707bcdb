import { createHash, randomUUID } from "node:crypto";
import {
  type Bundle,
  type Clock,
  type FlowConfig,
  hasDisposition,
  type LocalSource,
  makeEvent,
  messageTypeOf,
  PlantgateError,
  topicMatches,
} from "../../protocol/index.ts";
import type { Inlet, Input, Origin, Receipt } from "../connector/connector.ts";
import type { Change, Committed, DeadLetter, NewMessage } from "../queue/change.ts";
import type { Queue } from "../queue/queue.ts";
import type { Logger } from "../telemetry/logger.ts";
import type { MappedMessage, Mapping } from "./mapping.ts";

/** Receivers' answers to deliveries come in over the same topics as everything else. */
export interface AnswerSink {
  /** Whether deliveries over this connector are answered on this topic. */
  expects(connector: string, topic: string): boolean;
  /** Resolves when what the answer decides is flushed. */
  take(connector: string, topic: string, body: Uint8Array): Promise<void>;
}

export interface IntakeDeps {
  readonly site: string;
  readonly queue: Queue;
  readonly mapping: Mapping;
  readonly answers: AnswerSink;
  readonly clock: Clock;
  readonly log: Logger;
}

interface Entry {
  readonly flow: string;
  readonly source: LocalSource;
}

/** An input with what it became, not yet written. */
interface Prepared {
  readonly change: Change;
  readonly firstId: string | undefined;
}

const fullDiskMs = 1000;
const nothing: Committed = { appended: 0, repeats: 0, conflicts: [] };

/**
 * The way of every input: match flows → map and validate → queue (flush) → acknowledge. What the inputs of one call become, dead letters
 * and cursors included, is one transaction. What cannot succeed is a dead letter, and acknowledged: it is on disk.
 */
export class Intake {
  readonly #deps: IntakeDeps;
  #entries = new Map<string, readonly Entry[]>();
  /** Per connector: changes are given to the queue in the order in which the inputs came, however long each took to map. */
  readonly #tails = new Map<string, Promise<void>>();
  #stopped = false;
  #repeats = 0;

  constructor(deps: IntakeDeps) {
    this.#deps = deps;
  }

  /** Sources by connector, from the flows of a bundle; a flow `from` a group takes from each of its connectors. */
  configure(bundle: Bundle): void {
    const entries = new Map<string, Entry[]>();
    for (const [flow, config] of Object.entries(bundle.flows)) {
      for (const source of localSources(config)) {
        for (const [connector, { group }] of Object.entries(bundle.connectors)) {
          if (connector === source.connector || group === source.connector)
            entries.set(connector, [...(entries.get(connector) ?? []), { flow, source }]);
        }
      }
    }
    this.#entries = entries;
  }

  /** The plant's own repeats since the start, acknowledged and not recorded again. */
  get repeats(): number {
    return this.#repeats;
  }

  /** Nothing is acknowledged from here on. */
  stop(): void {
    this.#stopped = true;
  }

  inlet(connector: string): Inlet {
    return {
      accept: (inputs) => this.#accept(connector, inputs),
      cursor: (name) => this.#deps.queue.cursor(`${connector}/${name}`),
      release: async (client, packetId) => {
        await this.#deps.queue.commit({ releaseMarker: { client: `${connector}/${client}`, packetId } });
      },
    };
  }

  async #accept(connector: string, inputs: readonly Input[]): Promise<Receipt> {
    const prepared = Promise.all(inputs.map((input) => this.#prepare(connector, input)));
    const before = this.#tails.get(connector) ?? Promise.resolve();
    // only the call waits for its turn, never the flush: the group commit takes all that is under way
    const turn = before.then(async () => {
      const all = await prepared;
      if (this.#stopped) throw new PlantgateError("STOPPED", "the gateway is stopping");
      return { all, flushed: this.#write(all) };
    });
    this.#tails.set(connector, turn.then(ignore, ignore));
    const { all, flushed } = await turn;
    const committed = await flushed;
    // what is flushed stays accepted: an answer that cannot be noted now is offered again by itself, the sender waits for it
    for (const input of inputs) await this.#offerAnswer(connector, input);
    this.#repeats += committed.repeats;
    const deadLetterIds = [
      ...all.flatMap(({ change }) => change.deadLetters ?? []).map((letter) => letter.id),
      ...committed.conflicts,
    ];
    const id = all.find(({ firstId }) => firstId !== undefined)?.firstId ?? deadLetterIds[0] ?? randomUUID();
    return { recorded: committed.appended, deadLetterIds, repeats: committed.repeats, id };
  }

  /** Maps one input through each flow that takes it; never throws for what the input holds. */
  async #prepare(connector: string, input: Input): Promise<Prepared> {
    if (input.origin.kind === "fact") return this.#prepareFact(connector, input, input.origin);
    const inputHash = createHash("sha256").update(input.body).digest("hex");
    const entries = (this.#entries.get(connector) ?? []).filter((entry) => takes(entry, input.origin));
    const flows = [...new Set(entries.map((entry) => entry.flow))];
    if (flows.length === 0) return { change: this.#unclaimed(connector, input), firstId: undefined };
    const { origin, body, decoded, receivedAt } = input;
    const results = await Promise.all(
      flows.map((flow) => this.#deps.mapping.map({ flow, connector, origin, body, decoded, receivedAt, inputHash })),
    );
    const messages: NewMessage[] = [];
    const deadLetters: DeadLetter[] = [];
    const cursors = (input.cursors ?? []).map(({ name, value }) => ({ name: `${connector}/${name}`, value }));
    let firstId: string | undefined;
    for (const [index, result] of results.entries()) {
      const flow = flows[index] ?? "";
      if (result.kind === "failed") {
        deadLetters.push(this.#letter(connector, flow, input, result.code, result.reason));
        continue;
      }
      firstId ??= result.messages[0]?.event.id;
      messages.push(...result.messages.map((message) => toNewMessage(flow, inputHash, message)));
      if (result.cursor !== undefined) cursors.push({ name: `${connector}/poll/${flow}`, value: result.cursor });
    }
    const marker = input.exactlyOnce && {
      client: `${connector}/${input.exactlyOnce.client}`,
      packetId: input.exactlyOnce.packetId,
    };
    const from = { connector, flow: flows[0], place: placeOf(origin), receivedAt };
    return { change: { messages, inputs: [body], deadLetters, cursors, from, marker }, firstId };
  }

  #prepareFact(connector: string, input: Input, origin: Extract<Origin, { kind: "fact" }>): Prepared {
    const event = makeEvent(origin.type, input.decoded, {
      id: randomUUID(),
      site: this.#deps.site,
      connector,
      recordedAt: input.receivedAt,
    });
    return { change: { messages: [{ lane: messageTypeOf(event.type).lane, line: JSON.stringify(event) }] }, firstId: event.id };
  }

  /** Retained input that no flow wants, and answers, are nobody's loss; anything else is kept. */
  #unclaimed(connector: string, input: Input): Change {
    if (input.origin.kind === "topic" && (input.origin.retained || this.#deps.answers.expects(connector, input.origin.topic)))
      return {};
    const reason = "no flow takes what comes in here; change a flow's source or the sender";
    return { deadLetters: [this.#letter(connector, undefined, input, "DESTINATION_INVALID", reason)] };
  }

  #write(prepared: readonly Prepared[]): Promise<Committed> {
    const change = mergeChanges(prepared.map((entry) => entry.change));
    return isEmpty(change) ? Promise.resolve(nothing) : this.#deps.queue.commit(change);
  }

  async #offerAnswer(connector: string, input: Input): Promise<void> {
    if (input.origin.kind !== "topic" || !this.#deps.answers.expects(connector, input.origin.topic)) return;
    for (;;) {
      try {
        return await this.#deps.answers.take(connector, input.origin.topic, input.body);
      } catch (error) {
        if (this.#stopped || !hasDisposition(error, "shed")) throw error;
        await this.#deps.clock.sleep(fullDiskMs);
      }
    }
  }

  #letter(connector: string, flow: string | undefined, input: Input, code: DeadLetter["code"], reason: string): DeadLetter {
    const letter = {
      id: randomUUID(),
      at: input.receivedAt,
      direction: "in",
      connector,
      flow,
      place: placeOf(input.origin),
      code,
      reason,
      body: input.body,
      attempts: 0,
    } as const;
    this.#deps.log.warn(
      { event: "intake.input.deadLettered", connector, flow, place: letter.place, code, reason, id: letter.id },
      "input cannot be used, kept as a dead letter",
    );
    return letter;
  }
}

function ignore(): void {}

function localSources(flow: FlowConfig): LocalSource[] {
  const from = Array.isArray(flow.from) ? flow.from : [flow.from];
  return from.filter((source): source is LocalSource => "connector" in source);
}

function takes({ flow, source }: Entry, origin: Origin): boolean {
  switch (origin.kind) {
    case "topic":
      // a retained message is the last value, not a new fact (rule 3)
      return "topic" in source && topicMatches(source.topic, origin.topic) && (!origin.retained || source.retained === "state");
    case "webhook":
      return "webhook" in source && source.webhook === origin.path;
    case "poll":
      return "poll" in source && flow === origin.flow;
    case "items":
      return "items" in source && source.items.includes(origin.item);
    case "source":
      return "source" in source && flow === origin.flow;
    case "fact":
      return false;
  }
}

function placeOf(origin: Origin): string {
  switch (origin.kind) {
    case "topic":
      return origin.topic;
    case "webhook":
      return `webhook ${origin.path}`;
    case "poll":
    case "source":
      return `${origin.kind} of ${origin.flow}`;
    case "items":
      return origin.item;
    case "fact":
      return origin.type;
  }
}

function toNewMessage(flow: string, inputHash: string, { lane, event, line }: MappedMessage): NewMessage {
  const repeat =
    lane === "transaction" && event.idempotencykey !== undefined
      ? { key: `${flow}\n${event.type}\n${event.idempotencykey}`, hash: inputHash }
      : undefined;
  return { lane, line, input: 0, repeat };
}

/** Several inputs as one change; an exactly-once input stands alone, because its marker decides over the whole change. */
function mergeChanges(changes: readonly Change[]): Change {
  const [only] = changes;
  if (only && changes.length === 1) return only;
  if (changes.some((change) => change.marker))
    throw new PlantgateError("INVARIANT", "an exactly-once input came together with others");
  const inputs: Uint8Array[] = [];
  const messages: NewMessage[] = [];
  for (const change of changes) {
    for (const message of change.messages ?? [])
      messages.push(message.input === undefined ? message : { ...message, input: message.input + inputs.length });
    inputs.push(...(change.inputs ?? []));
  }
  return {
    messages,
    inputs,
    deadLetters: changes.flatMap((change) => change.deadLetters ?? []),
    cursors: changes.flatMap((change) => change.cursors ?? []),
    from: changes.find((change) => change.from)?.from,
  };
}

function isEmpty(change: Change): boolean {
  return !change.messages?.length && !change.deadLetters?.length && !change.cursors?.length && !change.marker;
}
