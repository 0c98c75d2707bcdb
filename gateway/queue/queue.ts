import { Worker } from "node:worker_threads";
import { type ErrorCode, type Lane, PlantgateError, type QueuePolicy } from "../../protocol/index.ts";
import { workerUrl } from "../worker-url.ts";
import type {
  Change,
  Committed,
  Delivery,
  DiskReport,
  LanePosition,
  NextFrames,
  QueueDepth,
  QueueLane,
  StoredFrame,
} from "./change.ts";
import type { ReadLimits } from "./frames.ts";
import { GroupPacker, type PackedGroup } from "./group.ts";
import type { LeftEpoch } from "./left-epochs.ts";
import type { EntryReply, QueueFailure, QueueNotice, QueueReply, QueueRequest } from "./worker.ts";

/** A request without its number; distributes over the union. */
type Ask = QueueRequest extends infer Request ? (Request extends QueueRequest ? Omit<Request, "id"> : never) : never;

interface Waiter {
  readonly resolve: (value: never) => void;
  readonly reject: (error: PlantgateError) => void;
}

/**
 * `open`: takes all. `closing`: takes no change more, and answers what is asked until all changes are flushed. `ending`: the worker was told to
 * close, and answers nothing behind that. Each goes on to the next one alone; `#failed` ends all of them.
 */
type Mode = "open" | "closing" | "ending";

/** Groups at the worker: one is flushed while the next is packed; what comes meanwhile makes the one after larger. */
const groupsAtWorker = 2;
/** Of full ones so many more, that the flush after takes all of them. */
const fullGroupsAtWorker = 16;

export interface QueueOptions {
  readonly path: string;
  readonly site: string;
  readonly onFailure: (error: PlantgateError) => void;
  /** A range was found unreadable and is a hole from now on. */
  readonly onNotice?: (notice: QueueNotice) => void;
  /** This version is on trial: a step of the format that the one before cannot live with waits. */
  readonly onTrial?: boolean;
}

/**
 * The store-and-forward queue, as the main thread sees it: one writer in a worker thread, commits in groups, each group one flush.
 * A failed write ends the worker and calls `onFailure`: the process has to end and open the file anew (rule 12).
 */
export class Queue {
  readonly #worker: Worker;
  readonly #options: QueueOptions;
  readonly #open = new Map<number, Waiter>();
  readonly #groups = new Map<number, PackedGroup>();
  readonly #listeners = new Map<QueueLane, Set<() => void>>();
  readonly #packer = new GroupPacker();
  #heldUp: ReadonlySet<string> = new Set();
  #nextId = 1;
  #failed: PlantgateError | undefined;
  #mode: Mode = "open";
  #scheduled = false;

  private constructor(worker: Worker, options: QueueOptions) {
    this.#worker = worker;
    this.#options = options;
    worker.on("message", (reply: QueueReply) => this.#settle(reply));
    worker.on("error", (cause) => this.#fail(new PlantgateError("DISK_FAILED", "the queue's worker failed", { cause })));
    worker.on("exit", () => this.#ended());
  }

  /**
   * Opens or makes the queue in `path`; resolves when its boot record is flushed.
   * @throws PlantgateError FORMAT_NEWER, CONFIG_INVALID (another site's folder), DISK_FAILED
   */
  static async open(options: QueueOptions): Promise<Queue> {
    const worker = new Worker(workerUrl("queue/worker"), {
      workerData: { path: options.path, site: options.site, onTrial: options.onTrial === true },
    });
    const queue = new Queue(worker, options);
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
  commit(change: Change): Promise<Committed> {
    if (this.#failed || this.#mode !== "open") return Promise.reject(this.#failed ?? closing());
    return new Promise<Committed>((resolve, reject) => {
      this.#packer.add({ change, resolve, reject });
      if (this.#packer.hasFull) this.#sendFull();
      // all else that is asked for in this turn of the loop goes over together
      if (this.#scheduled || this.#groups.size >= groupsAtWorker) return;
      this.#scheduled = true;
      queueMicrotask(() => {
        this.#scheduled = false;
        this.#send();
      });
    });
  }

  #send(): void {
    this.#sendFull();
    if (!this.#failed && this.#groups.size < groupsAtWorker) this.#post(this.#packer.take());
  }

  #sendFull(): void {
    while (!this.#failed && this.#packer.hasFull && this.#groups.size < fullGroupsAtWorker) this.#post(this.#packer.take());
  }

  #post(group: PackedGroup | undefined): void {
    if (!group) return;
    const id = this.#nextId++;
    this.#groups.set(id, group);
    const request: QueueRequest = { id, op: "commit", entries: group.entries, bytes: group.bytes };
    this.#worker.postMessage(request, group.transfer);
  }

  /** Frames from the one with the message after `after` on, in order, at least one if there is any. What cannot be read is a hole. */
  frames(lane: QueueLane, after: number, limits: ReadLimits): Promise<StoredFrame[]> {
    return this.#ask({ op: "frames", lane, after, limits });
  }

  position(lane: QueueLane): Promise<LanePosition> {
    return this.#ask({ op: "position", lane });
  }

  /** What goes to central behind `after`, in order; before it, what central lost and nobody has any more. */
  next(lane: Lane, after: number, limits: ReadLimits): Promise<NextFrames> {
    return this.#ask({ op: "next", lane, after, limits });
  }

  /** Epochs that lanes left after central had acknowledged them, the oldest first: a restored central may have less of them (rule 6). */
  leftEpochs(): Promise<readonly LeftEpoch[]> {
    return this.#ask({ op: "leftEpochs" });
  }

  /** As `next`, of an epoch that the lane left; no frames where none of it can be sent. */
  nextLeft(lane: Lane, epoch: string, after: number, limits: ReadLimits): Promise<NextFrames> {
    return this.#ask({ op: "nextLeft", lane, epoch, after, limits });
  }

  /** An epoch that was left cannot be sent again. */
  forgetLeft(lane: Lane, epoch: string): Promise<void> {
    return this.#ask({ op: "forgetLeft", lane, epoch });
  }

  depth(): Promise<QueueDepth> {
    return this.#ask({ op: "depth" });
  }

  disk(): Promise<DiskReport> {
    return this.#ask({ op: "disk" });
  }

  /** The first delivery of each key that waits for this connector, without those in `skipped`. */
  deliveryHeads(connector: string, limit: number, skipped: readonly number[] = []): Promise<Delivery[]> {
    return this.#ask({ op: "heads", connector, limit, skipped });
  }

  /** Connectors that deliveries wait for, whether the configuration has them or not. */
  receivers(): Promise<string[]> {
    return this.#ask({ op: "receivers" });
  }

  delivery(id: number): Promise<Delivery | undefined> {
    return this.#ask({ op: "delivery", deliveryId: id });
  }

  /** Deliveries of this connector that await their receiver's answer. */
  sentDeliveries(connector: string): Promise<Delivery[]> {
    return this.#ask({ op: "sent", connector });
  }

  /** The newest delivery of the same type, key and place behind this one. */
  newerDelivery(delivery: Delivery): Promise<{ readonly messageId: string } | undefined> {
    return this.#ask({ op: "newer", delivery });
  }

  cursor(name: string): Promise<string | undefined> {
    return this.#ask({ op: "cursor", name });
  }

  /** Connectors for which more waits than their budget, as of the last flush: nothing more is taken that feeds them. */
  get heldUp(): ReadonlySet<string> {
    return this.#heldUp;
  }

  /** Frames up to it are on their way to central: they are not discarded meanwhile (rule 7). */
  pin(lane: QueueLane, upTo: number): Promise<void> {
    return this.#ask({ op: "pin", lane, upTo });
  }

  /** Budgets and sealing from now on. */
  configure(policy: QueuePolicy): Promise<void> {
    return this.#ask({ op: "configure", policy });
  }

  /** A session begins with a central that may lose for so long what it acknowledged (rule 6). */
  keepAcknowledged(recoveryPointMs: number): Promise<void> {
    return this.#ask({ op: "keepAcknowledged", recoveryPointMs });
  }

  openEpoch(lane: Lane): Promise<void> {
    return this.#ask({ op: "openEpoch", lane });
  }

  /** What central has of a lane, at the beginning of a session: what it has less than it acknowledged once waits again (rule 6). */
  confirm(lane: Lane, watermark: number): Promise<void> {
    return this.#ask({ op: "confirm", lane, watermark });
  }

  /** Calls `listener` after each flush that appended to the lane; returns the way to stop. */
  onAppended(lane: QueueLane, listener: () => void): () => void {
    const listeners = this.#listeners.get(lane) ?? new Set();
    this.#listeners.set(lane, listeners.add(listener));
    return () => listeners.delete(listener);
  }

  /** Flushes what was asked for before, closes the file and ends the worker. */
  async close(): Promise<void> {
    if (this.#failed || this.#mode !== "open") return;
    this.#mode = "closing";
    while (!this.#packer.isEmpty || this.#groups.size > 0) await this.#ask({ op: "disk" });
    const closed = this.#ask({ op: "close" });
    this.#mode = "ending";
    await closed;
    this.#end(new PlantgateError("STOPPED", "the queue is closed"));
    await this.#worker.terminate();
  }

  #ask<Value>(ask: Ask): Promise<Value> {
    if (this.#failed || this.#mode === "ending") return Promise.reject(this.#failed ?? closing());
    // what was committed before is seen by what is asked after it
    this.#sendAll();
    const id = this.#nextId++;
    return new Promise<Value>((resolve, reject) => {
      this.#open.set(id, { resolve, reject });
      this.#worker.postMessage({ id, ...ask });
    });
  }

  #sendAll(): void {
    while (!this.#packer.isEmpty) this.#post(this.#packer.take());
  }

  #settle(reply: QueueReply): void {
    if ("notice" in reply) {
      if (reply.notice.kind === "heldUp") this.#heldUp = new Set(reply.notice.connectors);
      return this.#options.onNotice?.(reply.notice);
    }
    if ("entries" in reply) return this.#settleGroup(reply.id, reply.entries);
    if ("value" in reply) {
      const waiter = this.#open.get(reply.id);
      this.#open.delete(reply.id);
      return waiter?.resolve(reply.value as never);
    }
    const error = toError(reply.error);
    this.#open.get(reply.id)?.reject(error);
    this.#open.delete(reply.id);
    this.#groups.get(reply.id)?.fail(error);
    if (this.#groups.delete(reply.id)) this.#send();
    if (reply.id !== 0 && error.disposition === "crash") this.#fail(error);
  }

  #settleGroup(id: number, entries: readonly EntryReply[] | "plain"): void {
    const group = this.#groups.get(id);
    this.#groups.delete(id);
    // the next group leaves before this one's callers go on
    this.#send();
    const lanes = group?.settle(entries, toError) ?? [];
    for (const lane of lanes) for (const listener of this.#listeners.get(lane) ?? []) listener();
  }

  #fail(error: PlantgateError): void {
    if (this.#failed) return;
    this.#end(error);
    void this.#worker.terminate();
    this.#options.onFailure(error);
  }

  /** As it should once it has answered all, the close last of all. */
  #ended(): void {
    if (this.#mode === "ending" && this.#open.size === 0) return;
    this.#fail(new PlantgateError("DISK_FAILED", "the queue's worker ended"));
  }

  /** Nothing is answered any more: all that wait are told why. */
  #end(error: PlantgateError): void {
    this.#failed = error;
    for (const waiter of this.#open.values()) waiter.reject(error);
    for (const group of this.#groups.values()) group.fail(error);
    for (let group = this.#packer.take(); group; group = this.#packer.take()) group.fail(error);
    this.#open.clear();
    this.#groups.clear();
  }
}

function closing(): PlantgateError {
  return new PlantgateError("STOPPED", "the queue is closing");
}

function toError({ code, message }: QueueFailure): PlantgateError {
  return new PlantgateError(code satisfies ErrorCode, message);
}
