import type { Book, Stream } from "./book.ts";

const at = "2026-11-24T08:00:00.000Z";
const lot = "L-2291-0417";

/** What a sender says in message n; about 300 bytes of business, 150 of a sample. */
export function payloadOf(stream: Stream, n: number): string {
  switch (stream.kind) {
    case "finished":
      return `{"txn":"${transactionOf(stream, n)}","order":"${orderOf(stream, n)}","item":"FG-HSG-0042","lot":"${lot}","good":"50","uom":"C62","final":false,"operator":"u17","terminal":"LINE-1-TERMINAL-3","note":"reported at the end of the shift by the line's terminal","at":"${at}"}`;
    case "shortage":
      return `{"txn":"${transactionOf(stream, n)}","order":"${orderOf(stream, n)}","sku":"RM-ALU-0815","short":"2.5","uom":"KGM","cause":"bin was empty when the picker came","at":"${at}"}`;
    case "sample":
      return `{"item":"temperature","value":${n},"unit":"CEL","at":"${at}"}`;
  }
}

/** The topic of message n, for the kinds that go over MQTT. */
export function topicOf(stream: Stream, n: number): string {
  return stream.kind === "sample" ? `floor/${stream.name}/d${n % stream.keys}/sample` : `floor/${stream.name}/finished`;
}

/** Which message of which stream an event is, and whether all that it says fits that; undefined: none of ours. */
export function identify(
  event: Record<string, unknown>,
  books: ReadonlyMap<string, Book>,
): { book: Book; n: number; fits: boolean } | undefined {
  const data = event.data as Record<string, unknown>;
  if (event.type === "mfg.equipment.sampled.v1") {
    const [name, device] = String(data.equipment).split("/");
    const book = books.get(name ?? "");
    if (!book || typeof data.value !== "number") return undefined;
    return { book, n: data.value, fits: device === `d${book.keyOf(data.value)}` && data.item === "temperature" };
  }
  const transaction = data.txnId ?? data.shortageId;
  if (typeof transaction !== "string") return undefined;
  const dash = transaction.lastIndexOf("-");
  const book = books.get(transaction.slice(0, dash));
  const n = Number(transaction.slice(dash + 1));
  if (!book || !Number.isInteger(n)) return undefined;
  return { book, n, fits: data.moId === orderOf(book.stream, n) && event.partitionkey === data.moId };
}

function transactionOf({ name }: Stream, n: number): string {
  return `${name}-${n}`;
}

function orderOf({ name, keys }: Stream, n: number): string {
  return `${name}-mo-${n % keys}`;
}
