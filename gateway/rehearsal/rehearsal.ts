import { type Bundle, type Clock, type CloudEvent, describeError, type ShadowReport } from "../../protocol/index.ts";
import type { Origin } from "../connector/connector.ts";
import type { Mapping } from "../flow/mapping.ts";
import type { PreparedInput } from "../flow/prepared.ts";
import type { Logger } from "../telemetry/logger.ts";
import type { DryRunWork } from "./dry-run-worker.ts";
import { Recorder, type RecorderLimits } from "./recorder.ts";
import { Shadow } from "./shadow.ts";
import type { ShadowView } from "./shadow-flow.ts";
import { RehearsalStore, rehearsalFile, removeStore } from "./store.ts";
import { liveTakersOf } from "./way.ts";

export interface RehearsalDeps {
  readonly dataDir: string;
  readonly openMapping: () => Mapping;
  readonly clock: Clock;
  readonly log: Logger;
  readonly limits?: Partial<RecorderLimits>;
}

const writeEveryMs = 2000;

/**
 * What stands beside the live way and watches it: the recorder of inputs, and the flows in shadow. It is told of what was accepted after that is
 * flushed; whatever it does, or fails to do, is felt by nothing that is live. With encryption at rest on, nothing of it is written to the disk.
 */
export class Rehearsal {
  readonly #deps: RehearsalDeps;
  readonly #recorder: Recorder;
  readonly #shadow: Shadow;
  readonly #file: string;
  #store: RehearsalStore | undefined;
  #bundle: Bundle | undefined;
  #takers: ReadonlyMap<string, readonly string[]> = new Map();
  #savedShadow = "";
  /** States of flows in shadow lie on the disk. */
  #isOnDisk: boolean;
  #told = false;
  /** Flows were in shadow when the gateway ran last: central is told how it is now, also where none is any more. */
  readonly hadShadow: boolean;

  constructor(deps: RehearsalDeps) {
    this.#deps = deps;
    this.#file = rehearsalFile(deps.dataDir);
    this.#recorder = new Recorder(deps);
    this.#recorder.attempt(() => {
      this.#store = RehearsalStore.open(this.#file);
    });
    const states = this.#store?.shadowStates() ?? new Map<string, string>();
    this.hadShadow = states.size > 0;
    this.#isOnDisk = this.hadShadow;
    this.#shadow = new Shadow(deps, { states, cursors: this.#store?.cursors() ?? new Map() });
    this.#recorder.keepIn(this.#store);
  }

  async configure(bundle: Bundle): Promise<void> {
    const sealed = bundle.queue?.encryption.atRest === true;
    if (sealed && this.#store) this.#recorder.attempt(() => this.#store?.remove());
    if (sealed) {
      this.#store = undefined;
      this.#recorder.attempt(() => removeStore(this.#file));
    } else if (!this.#store)
      this.#recorder.attempt(() => {
        this.#store = RehearsalStore.open(this.#file);
      });
    this.#recorder.keepIn(this.#store);
    this.#savedShadow = "";
    this.#bundle = bundle;
    this.#takers = new Map();
    await this.#shadow.configure(bundle);
  }

  /** The configuration in effect. */
  get bundle(): Bundle | undefined {
    return this.#bundle;
  }

  /** Whether a flow in shadow takes it. */
  shadows(connector: string, origin: Origin): boolean {
    return this.#shadow.takes(connector, origin);
  }

  /** The cursor of a source that only flows in shadow read. */
  cursor(connector: string, name: string): string | undefined {
    return this.#shadow.cursor(connector, name);
  }

  /** These are accepted, and flushed: whatever goes wrong here, they stay so. */
  taken(connector: string, accepted: readonly PreparedInput[]): void {
    this.#aside(() => this.#taken(connector, accepted));
  }

  #taken(connector: string, accepted: readonly PreparedInput[]): void {
    for (const prepared of accepted) {
      if (this.#shadow.isOn) this.#shadow.taken(connector, prepared);
      const { input, flows, change, firstId } = prepared;
      const { origin, body, decoded, receivedAt, wholeBytes } = input;
      if (flows.length === 0 || origin.kind === "fact" || wholeBytes !== undefined || isSamples(prepared)) continue;
      if (!change.messages?.length && !change.deadLetters?.length) continue;
      this.#recorder.note(flows, {
        ...{ connector, origin, body, receivedAt },
        ...(decoded === undefined ? {} : { decoded }),
        ...(firstId === undefined ? {} : { messageId: firstId }),
      });
    }
  }

  /** Central handed it down, and its deliveries are flushed. */
  handedDown(event: CloudEvent, line: string): void {
    this.#aside(() => this.#handedDown(event, line));
  }

  #handedDown(event: CloudEvent, line: string): void {
    if (this.#shadow.isOn) this.#shadow.handedDown(event);
    const { type, id } = event;
    let flows = this.#takers.get(type);
    if (flows === undefined) {
      flows = this.#bundle ? liveTakersOf(this.#bundle, type) : [];
      this.#takers = new Map(this.#takers).set(type, flows);
    }
    if (flows.length === 0) return;
    const receivedAt = this.#deps.clock.now();
    this.#recorder.note(flows, {
      connector: "central",
      origin: { kind: "central", type },
      body: Buffer.from(line),
      receivedAt,
      messageId: id,
    });
  }

  /** Where the newest inputs lie, all that were noted until now among them. */
  async inputs(messages: number): Promise<DryRunWork["from"]> {
    await this.#recorder.write();
    return this.#store ? { file: this.#file } : { shares: this.#recorder.inMemory(messages) };
  }

  shadowViews(): ShadowView[] {
    return this.#shadow.views();
  }

  shadowReport(): ShadowReport {
    return this.#shadow.report();
  }

  /** Writes what there is to be kept, every few seconds, until the signal aborts. */
  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await this.#deps.clock.sleep(writeEveryMs, signal);
      await this.#recorder.write();
      this.#saveShadow();
    }
  }

  async stop(): Promise<void> {
    await this.#recorder.write();
    this.#saveShadow();
    await this.#shadow.stop();
    this.#store?.close();
    this.#store = undefined;
  }

  /** What fails here is told once, and felt by nobody. */
  #aside(work: () => void): void {
    try {
      work();
    } catch (error) {
      if (!this.#told)
        this.#deps.log.error(
          { event: "rehearsal.input.missed", reason: describeError(error) },
          "what was accepted could not be recorded or compared; the live way goes on",
        );
      this.#told = true;
    }
  }

  #saveShadow(): void {
    // before the first configuration nobody knows what is in shadow
    if (!this.#store || !this.#bundle) return;
    const states = this.#shadow.states();
    const { cursors } = this.#shadow;
    const text = JSON.stringify([[...states], [...cursors]]);
    if (text === this.#savedShadow || (states.size === 0 && !this.#isOnDisk)) return;
    this.#recorder.attempt(() => this.#store?.saveShadow(states, cursors));
    this.#savedShadow = text;
    this.#isOnDisk = states.size > 0;
  }
}

/** Samples are no business facts: a dry run says nothing of them. */
function isSamples({ change: { messages } }: PreparedInput): boolean {
  return messages !== undefined && messages.length > 0 && messages.every(({ lane }) => lane === "telemetry");
}
