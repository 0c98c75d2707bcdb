import { join } from "node:path";
import { QueueReader } from "../../gateway/queue/read.ts";
import type { CloudEvent } from "../../protocol/index.ts";

interface Folder {
  readonly dataDir: string;
}

/** Reads a gateway's queue from its file, beside the gateway, as another process does. */
export function onDisk<Value>({ dataDir }: Folder, read: (reader: QueueReader) => Value): Value {
  using reader = new QueueReader(join(dataDir, "queue.sqlite"));
  return read(reader);
}

/** Deliveries that are not over yet. */
export const deliveries = (folder: Folder) => onDisk(folder, (reader) => [...reader.deliveries.each()]);

export const deadLetters = (folder: Folder) => onDisk(folder, (reader) => reader.deadLetters.search({ limit: 100 }));

/** What the transaction lane holds, in order. */
export const recorded = (folder: Folder): CloudEvent[] =>
  onDisk(folder, (reader) => [...reader.messages("transaction")].map(({ line }) => JSON.parse(line) as CloudEvent));
