import { hash, randomUUID } from "node:crypto";
import { type Bundle, type Clock, hasDisposition, makeEvent, messageTypeOf, PlantgateError } from "../../protocol/index.ts";
import type { Inlet, Input, Origin, Prepared, Receipt } from "../connector/connector.ts";
import type { Change, Committed, DeadLetter, NewMessage, Sender } from "../queue/change.ts";
import type { Queue } from "../queue/queue.ts";
import type { Logger } from "../telemetry/logger.ts";
import type { Changeover } from "./changeover.ts";
import type { MappedMessage, Mapping, MapResult } from "./mapping.ts";
import { isEmpty, mergeChanges, PreparedInput, withOwnBytes } from "./prepared.ts";
import { feedsOf, placeOf, Sources } from "./sources.ts";
import { Tallies, type Tally } from "./tallies.ts";

/** Receivers' answers to deliveries come in over the same topics as everything else. */
export interface AnswerSink {
  /** Whether deliveries over this connector are answered on this topic. */
  expects(connector: string, topic: string): boolean;
  /** Resolves when what the answer decides is flushed. */
  take(connector: string, topic: string, body: Uint8Array): Promise<void>;
}

/** Watches from beside; what it does never delays or fails what is accepted. */
export interface Observer {
  /** These are accepted, and flushed. */
  taken(connector: string, accepted: readonly PreparedInput[]): void;
  /** Whether a flow in shadow takes what comes in there. */
  shadows(connector: string, origin: Origin): boolean;
  /** The cursor of a source that only flows in shadow read. */
  cursor(connector: string, name: string): string | undefined;
}

export interface IntakeDeps {
  readonly site: string;
  readonly queue: Queue;
  readonly mapping: Mapping;
  readonly answers: AnswerSink;
  readonly changeover: Changeover;
  readonly observer?: Observer;
  readonly clock: Clock;
  readonly log: Logger;
}

/** The way in of one connector; `ending`: of its end, which what waits for a configuration does not hold up. */
interface Entrance {
  readonly connector: string;
  readonly ending: AbortSignal | undefined;
}

/** An input that is mapped, by which configuration and for which of its flows. */
interface Made {
  readonly connector: string;
  readonly input: Input;
  readonly generation: number;
  readonly flows: readonly string[];
  readonly inputHash: string;
}

const fullDiskMs = 1000;
const nothing: Committed = { appended: 0, repeats: 0, conflicts: [] };

/**
 * The way of every input: match flows → map and validate → queue (flush) → acknowledge. What the inputs of one call become, dead letters
 * and cursors included, is one transaction. What cannot succeed is a dead letter, and acknowledged: it is on disk.
 */
export class Intake {
  readonly #deps: IntakeDeps;
  readonly #sources = new Sources();
  /** Per connector: what `accept` gives to the queue keeps the order in which the inputs came, however long each took to map. */
  readonly #tails = new Map<string, Promise<void>>();
  /** Flow → connectors that its messages are delivered over. */
  #feeds: ReadonlyMap<string, readonly string[]> = new Map();
  /** Of the configuration: what an earlier one made of an input names flows that may be gone. */
  #generation = 0;
  readonly #tallies = new Tallies();
  #stopped = false;
  #repeats = 0;

  constructor(deps: IntakeDeps) {
    this.#deps = deps;
  }

  configure(bundle: Bundle): void {
    this.#sources.configure(bundle);
    this.#feeds = feedsOf(bundle);
    this.#generation += 1;
  }

  /** The plant's own repeats since the start, acknowledged and not recorded again. */
  get repeats(): number {
    return this.#repeats;
  }

  /** What became of the inputs of each flow. */
  get tallies(): readonly Tally[] {
    return this.#tallies.all;
  }

  /** Nothing is acknowledged from here on. */
  stop(): void {
    this.#stopped = true;
  }

  inlet(connector: string, ending?: AbortSignal): Inlet {
    const entrance = { connector, ending };
    return {
      accept: (inputs) => this.#accept(entrance, inputs),
      prepare: (input) => this.#prepare(entrance, input),
      commit: async (prepared) => {
        const made = prepared.map(ownPrepared);
        const all = this.#isCurrent(made) ? made : await this.#current(entrance, made);
        return this.#finish(entrance, all, await this.#write(all));
      },
      cursor: async (name) => this.#deps.observer?.cursor(connector, name) ?? this.#deps.queue.cursor(`${connector}/${name}`),
      release: async (client, packetId) => {
        await this.#deps.queue.commit({ releaseMarker: { client: `${connector}/${client}`, packetId } });
      },
    };
  }

  async #accept(entrance: Entrance, inputs: readonly Input[]): Promise<Receipt> {
    const { connector } = entrance;
    const prepared = Promise.all(inputs.map((input) => this.#prepare(entrance, input)));
    // it may fail before its turn comes, when nobody asks for it yet
    prepared.catch(ignore);
    const before = this.#tails.get(connector) ?? Promise.resolve();
    // only the call waits for its turn, never the flush: the group commit takes all that is under way
    const turn = before.then(async () => {
      const made = await prepared;
      const all = this.#isCurrent(made) ? made : await this.#current(entrance, made);
      return { all, flushed: this.#write(all) };
    });
    this.#tails.set(connector, turn.then(ignore, ignore));
    const { all, flushed } = await turn;
    return this.#finish(entrance, all, await flushed);
  }

  #isCurrent(made: readonly PreparedInput[]): boolean {
    return !this.#deps.changeover.isUnderWay && made.every(({ generation }) => generation === this.#generation);
  }

  /** What was made by an earlier configuration, and is not written yet, is made anew by the one that is in effect. */
  async #current(entrance: Entrance, made: readonly PreparedInput[]): Promise<readonly PreparedInput[]> {
    let all = made;
    while (!this.#isCurrent(all)) {
      await this.#deps.changeover.ended(entrance.ending);
      all = await Promise.all(
        all.map((each) => (each.generation === this.#generation ? each : this.#prepare(entrance, each.input))),
      );
    }
    return all;
  }

  /** What is flushed stays accepted: an answer that cannot be noted now is offered again by itself, the sender waits for it. */
  async #finish(entrance: Entrance, all: readonly PreparedInput[], committed: Committed): Promise<Receipt> {
    // given on in the order of arrival, and settled with the flushes of each other
    const answers = all.filter(({ input }) => this.#isAnswer(entrance.connector, input));
    if (answers.length > 0) await Promise.all(answers.map(({ input }) => this.#offerAnswer(entrance, input)));
    this.#repeats += committed.repeats;
    for (const each of all) this.#count(each);
    if (committed.conflicts.length > 0) {
      // each was counted as recorded; of whose inputs they are is not told, and calls have inputs of one flow, but for rare ones
      const [flow] = all[0]?.flows ?? [];
      this.#tallies.add(inputsOf(flow), -committed.conflicts.length, committed.conflicts.length);
    }
    this.#deps.observer?.taken(entrance.connector, all);
    const deadLetterIds = [
      ...all.flatMap(({ change }) => change.deadLetters ?? []).map((letter) => letter.id),
      ...committed.conflicts,
    ];
    const id = all.find(({ firstId }) => firstId !== undefined)?.firstId ?? deadLetterIds[0] ?? randomUUID();
    return { recorded: committed.appended, deadLetterIds, repeats: committed.repeats, id };
  }

  #count({ flows, change }: PreparedInput): void {
    const dead = change.deadLetters ?? [];
    for (const flow of flows) {
      const failed = dead.some((letter) => letter.flow === flow) ? 1 : 0;
      this.#tallies.add(inputsOf(flow), 1 - failed, failed);
    }
    if (flows.length === 0 && dead.length > 0) this.#tallies.add(inputsOf(undefined), 0, dead.length);
  }

  /** Maps one input through each flow that takes it; never fails for what the input holds. */
  #prepare(entrance: Entrance, input: Input): PreparedInput | Promise<PreparedInput> {
    const wait = this.#deps.changeover.ended(entrance.ending);
    if (wait) return wait.then(() => this.#prepare(entrance, input));
    const { connector } = entrance;
    const generation = this.#generation;
    const { origin, body, decoded, receivedAt } = input;
    if (origin.kind === "fact") return this.#prepareFact(connector, input, origin);
    const flows = this.#sources.flowsOf(connector, origin);
    if (flows.length === 0) return new PreparedInput(input, generation, this.#unclaimed(connector, input));
    const inputHash = hash("sha256", body, "hex");
    const cut = tooLarge(input);
    const made = { connector, input, generation, flows, inputHash };
    if (cut) return this.#prepared(made, Array(flows.length).fill(cut));
    const results = flows.map((flow) =>
      this.#deps.mapping.map({ flow, connector, origin, body, decoded, receivedAt, inputHash }),
    );
    const finish = (mapped: readonly MapResult[]): PreparedInput => this.#prepared(made, mapped);
    return results.every(isHere) ? finish(results) : Promise.all(results).then(finish);
  }

  #prepared({ connector, input, generation, flows, inputHash }: Made, results: readonly MapResult[]): PreparedInput {
    const messages: NewMessage[] = [];
    const inputs: Uint8Array[] = [];
    const senders: Sender[] = [];
    const deadLetters: DeadLetter[] = [];
    const cursors = (input.cursors ?? []).map(({ name, value }) => ({ name: `${connector}/${name}`, value }));
    const place = placeOf(input.origin);
    let firstId: string | undefined;
    for (const [index, result] of results.entries()) {
      const flow = flows[index] ?? "";
      if (result.kind === "failed") {
        deadLetters.push(this.#letter(connector, flow, input, result.code, result.reason));
        continue;
      }
      firstId ??= result.messages[0]?.id;
      for (const message of result.messages) messages.push(toNewMessage(flow, inputHash, message, inputs.length));
      if (messages.at(-1)?.input === inputs.length) {
        inputs.push(input.body);
        senders.push({ connector, flow, place, receivedAt: input.receivedAt });
      }
      if (result.cursor !== undefined) cursors.push({ name: `${connector}/poll/${flow}`, value: result.cursor });
    }
    const marker = input.exactlyOnce && {
      client: `${connector}/${input.exactlyOnce.client}`,
      packetId: input.exactlyOnce.packetId,
      content: input.exactlyOnce.content,
    };
    const change = { messages, inputs, senders, deadLetters, cursors, from: senders[0], marker };
    return new PreparedInput(input, generation, change, firstId, flows);
  }

  #prepareFact(connector: string, input: Input, origin: Extract<Origin, { kind: "fact" }>): PreparedInput {
    if (this.#isOfShadow(connector, input.decoded)) return new PreparedInput(input, this.#generation, {});
    const event = makeEvent(origin.type, input.decoded, {
      id: randomUUID(),
      site: this.#deps.site,
      connector,
      recordedAt: input.receivedAt,
    });
    const messages = [{ lane: messageTypeOf(event.type).lane, line: JSON.stringify(event) }];
    return new PreparedInput(input, this.#generation, { messages }, event.id);
  }

  /** A fact about an item that only flows in shadow read. */
  #isOfShadow(connector: string, fact: unknown): boolean {
    if (typeof fact !== "object" || fact === null || !("item" in fact) || !this.#deps.observer) return false;
    const origin = { kind: "items", item: String(fact.item) } as const;
    return this.#deps.observer.shadows(connector, origin) && this.#sources.flowsOf(connector, origin).length === 0;
  }

  /** Retained input that no flow wants, answers, and what only flows in shadow take, are nobody's loss; anything else is kept. */
  #unclaimed(connector: string, input: Input): Change {
    const { origin } = input;
    if ((origin.kind === "topic" && origin.retained) || this.#isAnswer(connector, input)) return {};
    // nobody was promised that it is kept: a flow in shadow only looks at it (ADR 0098)
    if (this.#deps.observer?.shadows(connector, origin)) return {};
    const reason = "no flow takes what comes in here; change a flow's source or the sender";
    const { code, reason: said } = tooLarge(input) ?? { code: "DESTINATION_INVALID", reason };
    return { deadLetters: [this.#letter(connector, undefined, input, code, said)] };
  }

  async #write(all: readonly PreparedInput[]): Promise<Committed> {
    if (this.#stopped) throw new PlantgateError("STOPPED", "the gateway is stopping");
    const { heldUp } = this.#deps.queue;
    if (heldUp.size > 0) for (const each of all) this.#refuseWhatFeeds(heldUp, each);
    const change = mergeChanges(all.map((entry) => entry.change));
    return isEmpty(change) ? nothing : this.#deps.queue.commit(withOwnBytes(change));
  }

  /** A system that is away for so long that its budget is used up holds up what is meant for it, and nothing else (rule 7). */
  #refuseWhatFeeds(heldUp: ReadonlySet<string>, { change, flows }: PreparedInput): void {
    // samples go to central alone
    if (!change.messages?.some(({ lane }) => lane !== "telemetry")) return;
    for (const flow of flows) {
      const connector = this.#feeds.get(flow)?.find((each) => heldUp.has(each));
      if (connector === undefined) continue;
      const context = { connector, flow };
      throw new PlantgateError("QUEUE_FULL", `more waits for "${connector}" than its budget`, { context });
    }
  }

  /** The beginning of an answer tells nothing. */
  #isAnswer(connector: string, { origin, wholeBytes }: Input): boolean {
    return origin.kind === "topic" && wholeBytes === undefined && this.#deps.answers.expects(connector, origin.topic);
  }

  async #offerAnswer({ connector, ending }: Entrance, { origin, body }: Input): Promise<void> {
    if (origin.kind !== "topic") return;
    const { answers, changeover } = this.#deps;
    for (;;) {
      try {
        return await changeover.undisturbed(() => answers.take(connector, origin.topic, body), ending);
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

function inputsOf(flow: string | undefined): string {
  return flow === undefined ? "in" : `in ${flow}`;
}

function isHere(result: MapResult | Promise<MapResult>): result is MapResult {
  return !(result instanceof Promise);
}

/** What stands against an input that has come in part only. */
function tooLarge({ body, wholeBytes }: Input): Extract<MapResult, { kind: "failed" }> | undefined {
  if (wholeBytes === undefined) return undefined;
  const reason = `the input has ${wholeBytes} bytes, more than can be kept; these are its first ${body.byteLength}`;
  return { kind: "failed", code: "INPUT_TOO_LARGE", reason };
}

function ownPrepared(prepared: Prepared): PreparedInput {
  if (prepared instanceof PreparedInput) return prepared;
  throw new PlantgateError("INVARIANT", "an input was prepared by another inlet");
}

/** Only the transaction lane keeps its input, and only there can a repeat be one. */
function toNewMessage(
  flow: string,
  inputHash: string,
  { lane, type, idempotencyKey, line }: MappedMessage,
  input: number,
): NewMessage {
  if (lane !== "transaction") return { lane, line };
  if (idempotencyKey === undefined) return { lane, line, input };
  return { lane, line, input, repeat: { key: `${flow}\n${type}\n${idempotencyKey}`, hash: inputHash } };
}
