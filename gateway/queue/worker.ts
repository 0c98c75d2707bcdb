import { parentPort, workerData } from "node:worker_threads";
import { type ErrorCode, type Lane, PlantgateError } from "../../protocol/index.ts";
import type { Change, QueueLane } from "./change.ts";
import { readDeliveryHeads, readDepth, readSentDeliveries } from "./read.ts";
import { QueueStore } from "./store.ts";

/** What the main thread asks; answered in order, commits of one turn by one flush. */
export type QueueRequest =
  | { readonly id: number; readonly op: "commit"; readonly change: Change }
  | {
      readonly id: number;
      readonly op: "frames";
      readonly lane: QueueLane;
      readonly after: number;
      readonly limits: { frames: number; bytes: number };
    }
  | { readonly id: number; readonly op: "position"; readonly lane: QueueLane }
  | { readonly id: number; readonly op: "depth" }
  | { readonly id: number; readonly op: "heads"; readonly connector: string; readonly limit: number }
  | { readonly id: number; readonly op: "sent"; readonly connector: string }
  | { readonly id: number; readonly op: "cursor"; readonly name: string }
  | { readonly id: number; readonly op: "openEpoch"; readonly lane: Lane }
  | { readonly id: number; readonly op: "close" };

export type QueueReply =
  | { readonly id: number; readonly value: unknown }
  | { readonly id: number; readonly error: { readonly code: ErrorCode; readonly message: string } };

/** More than this in one flush would make the first wait for the last. */
const maxChangesPerFlush = 2000;

const port = parentPort;
if (!port) throw new Error("the queue's worker runs as a worker thread only");
const { path, site, kernelBoot } = workerData as { path: string; site: string; kernelBoot: string };

const waiting: { id: number; change: Change }[] = [];
let scheduled = false;

function reply(message: QueueReply): void {
  port?.postMessage(message);
}

function replyError(id: number, error: unknown): void {
  const known = error instanceof PlantgateError ? error : new PlantgateError("DISK_FAILED", "the queue failed", { cause: error });
  const cause = known.cause instanceof Error ? `: ${known.cause.message}` : "";
  reply({ id, error: { code: known.code, message: known.message + cause } });
}

function flush(store: QueueStore): void {
  scheduled = false;
  while (waiting.length > 0) {
    const group = waiting.splice(0, maxChangesPerFlush);
    try {
      const results = store.commit(group.map((entry) => entry.change));
      for (const [index, entry] of group.entries()) reply({ id: entry.id, value: results[index] });
    } catch (error) {
      // never a second try on this handle (rule 12): the main thread ends the process on anything but a full disk
      for (const entry of group) replyError(entry.id, error);
    }
  }
}

function answer(store: QueueStore, request: Exclude<QueueRequest, { op: "commit" }>): unknown {
  switch (request.op) {
    case "frames":
      return store.frames(request.lane, request.after, request.limits);
    case "position":
      return store.position(request.lane);
    case "depth":
      return readDepth(store.database);
    case "heads":
      return readDeliveryHeads(store.database, request.connector, request.limit);
    case "sent":
      return readSentDeliveries(store.database, request.connector);
    case "cursor":
      return store.cursor(request.name);
    case "openEpoch":
      return store.openEpoch(request.lane);
    case "close":
      return store.close();
  }
}

try {
  const store = new QueueStore({ path, site, kernelBoot, now: () => Date.now() });
  port.on("message", (request: QueueRequest) => {
    if (request.op === "commit") {
      waiting.push(request);
      if (!scheduled) {
        scheduled = true;
        // all that has arrived by the end of this turn of the loop shares the flush
        setImmediate(flush, store);
      }
      return;
    }
    try {
      // what was asked after a commit sees it
      flush(store);
      reply({ id: request.id, value: answer(store, request) });
    } catch (error) {
      replyError(request.id, error);
    }
    if (request.op === "close") port?.close();
  });
  reply({ id: 0, value: "open" });
} catch (error) {
  replyError(0, error);
}
