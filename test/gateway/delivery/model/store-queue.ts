import type { Change, Committed, QueueLane } from "../../../../gateway/queue/change.ts";
import type { Queue } from "../../../../gateway/queue/queue.ts";
import type { QueueStore } from "../../../../gateway/queue/store.ts";

/** How long what is asked is on its way to the store, and how long the answer is on its way back: a process may die in either. */
const wayMs = 1;

/**
 * What a gateway's parts see of its queue, on a store of the same thread. Everything takes its time, in order; `die` ends it as the process
 * would: what is on its way is never done, what is done is never answered.
 */
export class StoreQueue {
  readonly heldUp: ReadonlySet<string> = new Set();
  readonly #store: QueueStore;
  readonly #listeners = new Map<QueueLane, Set<() => void>>();
  #dead = false;

  constructor(store: QueueStore) {
    this.#store = store;
  }

  /** As the parts are handed it. */
  get asQueue(): Queue {
    return this as unknown as Queue;
  }

  die(): void {
    this.#dead = true;
  }
  get isDead(): boolean {
    return this.#dead;
  }

  async commit(change: Change): Promise<Committed> {
    const committed = await this.#ask((store) => store.commit([change])[0]!);
    for (const lane of new Set(change.messages?.map((message) => message.lane)))
      for (const listener of this.#listeners.get(lane) ?? []) listener();
    return committed;
  }

  onAppended(lane: QueueLane, listener: () => void): () => void {
    const listeners = this.#listeners.get(lane) ?? new Set();
    this.#listeners.set(lane, listeners.add(listener));
    return () => listeners.delete(listener);
  }

  frames(...args: Parameters<QueueStore["frames"]>) {
    return this.#ask((store) => store.frames(...args));
  }
  position(lane: QueueLane) {
    return this.#ask((store) => store.position(lane));
  }
  deliveryHeads(...args: Parameters<QueueStore["deliveryHeads"]>) {
    return this.#ask((store) => store.deliveryHeads(...args));
  }
  receivers() {
    return this.#ask((store) => store.receivers());
  }
  sentDeliveries(connector: string) {
    return this.#ask((store) => store.sentDeliveries(connector));
  }
  newerDelivery(...args: Parameters<QueueStore["newerDelivery"]>) {
    return this.#ask((store) => store.newerDelivery(...args));
  }
  delivery(id: number) {
    return this.#ask((store) => store.delivery(id));
  }
  cursor(name: string) {
    return this.#ask((store) => store.cursor(name));
  }

  #ask<Value>(work: (store: QueueStore) => Value): Promise<Value> {
    return new Promise((resolve, reject) => {
      setTimeout(() => {
        if (this.#dead) return;
        let settle: () => void;
        try {
          const value = work(this.#store);
          settle = () => resolve(value);
        } catch (error) {
          settle = () => reject(error as Error);
        }
        setTimeout(() => this.#dead || settle(), wayMs);
      }, wayMs);
    });
  }
}
