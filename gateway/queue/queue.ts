import { readFileSync } from "node:fs";
import { Worker } from "node:worker_threads";
import { type ErrorCode, type Lane, PlantgateError } from "../../protocol/index.ts";
import { workerUrl } from "../worker-url.ts";
import type { Change, Committed, Delivery, LanePosition, QueueDepth, QueueLane, StoredFrame } from "./change.ts";
import type { QueueReply, QueueRequest } from "./worker.ts";

/** A request without its number; distributes over the union. */
type Ask = QueueRequest extends infer Request ? (Request extends QueueRequest ? Omit<Request, "id"> : never) : never;

/**
 * The store-and-forward queue, as the main thread sees it: one writer in a worker thread, commits in groups, each group one flush.
 * A failed write ends the worker and calls `onFailure`: the process has to end and open the file anew (rule 12).
 */
export class Queue {
  readonly #worker: Worker;
  readonly #onFailure: (error: PlantgateError) => void;
  readonly #open = new Map<number, { resolve: (value: never) => void; reject: (error: PlantgateError) => void }>();
  readonly #listeners = new Map<QueueLane, Set<() => void>>();
  #nextId = 1;
  #failed: PlantgateError | undefined;
  #closing = false;

  private constructor(worker: Worker, onFailure: (error: PlantgateError) => void) {
    this.#worker = worker;
    this.#onFailure = onFailure;
    worker.on("message", (reply: QueueReply) => this.#settle(reply));
    worker.on("error", (cause) => this.#fail(new PlantgateError("DISK_FAILED", "the queue's worker failed", { cause })));
    worker.on("exit", () => this.#closing || this.#fail(new PlantgateError("DISK_FAILED", "the queue's worker ended")));
  }

  /**
   * Opens or makes the queue in `path`; resolves when its boot record is flushed.
   * @throws PlantgateError FORMAT_NEWER, CONFIG_INVALID (another site's folder), DISK_FAILED
   */
  static async open(options: { path: string; site: string; onFailure: (error: PlantgateError) => void }): Promise<Queue> {
    const worker = new Worker(workerUrl("queue/worker"), {
      workerData: { path: options.path, site: options.site, kernelBoot: kernelBootId() },
    });
    const queue = new Queue(worker, options.onFailure);
    try {
      await new Promise<void>((resolve, reject) => queue.#open.set(0, { resolve, reject }));
    } catch (error) {
      queue.#failed = error as PlantgateError;
      await worker.terminate();
      throw error;
    }
    return queue;
  }

  /**
   * Writes a change; resolves once it is flushed. Changes are applied in the order of the calls.
   * @throws PlantgateError QUEUE_FULL: nothing was written; DISK_FAILED: nothing more will be
   */
  async commit(change: Change): Promise<Committed> {
    const committed: Committed = await this.#ask({ op: "commit", change });
    if (committed.appended > 0)
      for (const lane of new Set(change.messages?.map((message) => message.lane)))
        for (const listener of this.#listeners.get(lane) ?? []) listener();
    return committed;
  }

  frames(lane: QueueLane, after: number, limits: { frames: number; bytes: number }): Promise<StoredFrame[]> {
    return this.#ask({ op: "frames", lane, after, limits });
  }

  position(lane: QueueLane): Promise<LanePosition> {
    return this.#ask({ op: "position", lane });
  }

  depth(): Promise<QueueDepth> {
    return this.#ask({ op: "depth" });
  }

  /** The first delivery of each key that waits for this connector. */
  deliveryHeads(connector: string, limit: number): Promise<Delivery[]> {
    return this.#ask({ op: "heads", connector, limit });
  }

  /** Deliveries of this connector that await their receiver's answer. */
  sentDeliveries(connector: string): Promise<Delivery[]> {
    return this.#ask({ op: "sent", connector });
  }

  cursor(name: string): Promise<string | undefined> {
    return this.#ask({ op: "cursor", name });
  }

  openEpoch(lane: Lane): Promise<void> {
    return this.#ask({ op: "openEpoch", lane });
  }

  /** Calls `listener` after each flush that appended to the lane; returns the way to stop. */
  onAppended(lane: QueueLane, listener: () => void): () => void {
    const listeners = this.#listeners.get(lane) ?? new Set();
    this.#listeners.set(lane, listeners.add(listener));
    return () => listeners.delete(listener);
  }

  /** Flushes what was asked for before, closes the file and ends the worker. */
  async close(): Promise<void> {
    if (this.#failed || this.#closing) return;
    this.#closing = true;
    await this.#ask({ op: "close" });
    this.#failed = new PlantgateError("STOPPED", "the queue is closed");
    await this.#worker.terminate();
  }

  #ask<Value>(ask: Ask): Promise<Value> {
    if (this.#failed) return Promise.reject(this.#failed);
    const id = this.#nextId++;
    return new Promise<Value>((resolve, reject) => {
      this.#open.set(id, { resolve, reject });
      this.#worker.postMessage({ id, ...ask });
    });
  }

  #settle(reply: QueueReply): void {
    const waiter = this.#open.get(reply.id);
    this.#open.delete(reply.id);
    if (!("error" in reply)) return waiter?.resolve(reply.value as never);
    const error = new PlantgateError(reply.error.code satisfies ErrorCode, reply.error.message);
    waiter?.reject(error);
    if (reply.id !== 0 && error.disposition === "crash") this.#fail(error);
  }

  #fail(error: PlantgateError): void {
    if (this.#failed) return;
    this.#failed = error;
    for (const waiter of this.#open.values()) waiter.reject(error);
    this.#open.clear();
    void this.#worker.terminate();
    this.#onFailure(error);
  }
}

/** Names one run of the kernel: monotonic time is comparable within it (rule 10). */
function kernelBootId(): string {
  try {
    return readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim();
  } catch {
    return "unknown";
  }
}
