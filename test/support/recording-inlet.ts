import { randomUUID } from "node:crypto";
import type { Inlet, Input, Prepared, Receipt } from "../../gateway/connector/connector.ts";
import { type ErrorCode, PlantgateError } from "../../protocol/index.ts";

/** An inlet in memory: what it has accepted counts as flushed. It can refuse, wait and remember cursors. */
export class RecordingInlet implements Inlet {
  /** Accepted, in order, without the repeats of exactly-once inputs. */
  readonly accepted: Input[] = [];
  /** Every call of `accept`, also of those that failed or still wait. */
  readonly calls: (readonly Input[])[] = [];
  readonly released: string[] = [];
  readonly markers = new Map<string, string>();
  readonly cursors = new Map<string, string>();
  /** Set: calls fail with it, nothing is accepted. */
  failure: ErrorCode | undefined;
  /** What the queue has no room for: a call with one of these fails with QUEUE_FULL. */
  full: ((input: Input) => boolean) | undefined;
  /** Awaited before the n-th call (from 1) is judged. */
  before: ((call: number) => Promise<void> | void) | undefined;
  /** Called with what was accepted, as a flow's cursor expression would. */
  onAccepted: ((inputs: readonly Input[]) => Partial<Receipt> | undefined) | undefined;
  #gate: Promise<void> | undefined;

  /** Calls wait from now on until the returned function is called. */
  close(): () => void {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#gate = promise;
    return () => {
      this.#gate = undefined;
      resolve();
    };
  }

  async accept(inputs: readonly Input[]): Promise<Receipt> {
    const call = this.calls.push(inputs);
    await this.before?.(call);
    await this.#gate;
    if (this.failure) throw new PlantgateError(this.failure, "said by the test");
    if (this.full && inputs.some(this.full)) throw new PlantgateError("QUEUE_FULL", "said by the test");
    let repeats = 0;
    for (const input of inputs) {
      const marker = input.exactlyOnce && `${input.exactlyOnce.client}:${input.exactlyOnce.packetId}`;
      const content = input.exactlyOnce?.content ?? "";
      if (marker !== undefined && this.markers.get(marker) === content) repeats += 1;
      else {
        if (marker !== undefined) this.markers.set(marker, content);
        this.accepted.push(input);
      }
    }
    const changed = this.onAccepted?.(inputs) ?? {};
    return { recorded: inputs.length - repeats, deadLetterIds: [], repeats, id: randomUUID(), ...changed };
  }

  prepare(input: Input): Prepared {
    return { input };
  }

  commit(prepared: readonly Prepared[]): Promise<Receipt> {
    return this.accept(prepared.map(({ input }) => input));
  }

  async cursor(name: string): Promise<string | undefined> {
    return this.cursors.get(name);
  }

  async release(client: string, packetId?: number): Promise<void> {
    if (this.failure) throw new PlantgateError(this.failure, "said by the test");
    for (const marker of [...this.markers.keys()])
      if (packetId === undefined ? marker.startsWith(`${client}:`) : marker === `${client}:${packetId}`)
        this.markers.delete(marker);
    if (packetId !== undefined) this.released.push(`${client}:${packetId}`);
  }

  get bodies(): string[] {
    return this.accepted.map(({ body }) => Buffer.from(body).toString());
  }
}
