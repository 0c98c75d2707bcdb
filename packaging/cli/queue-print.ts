import type { DeadLetter, Delivery, QueueDepth } from "../../gateway/queue/change.ts";
import type { QueuedHole, SetAsideRange } from "../../gateway/queue/read.ts";
import { table } from "./table.ts";

/** What `plantgate queue` prints: tables for people, JSON for programs. */

interface Message {
  readonly lane: string;
  readonly sequence: number;
  readonly event: Record<string, unknown>;
}

export function printDepth(depth: QueueDepth, json: boolean): void {
  if (json) return printJson(depth);
  const { deliveries, deadLetters } = depth;
  print(
    table(
      ["lane", "last", "acknowledged", "waiting", "bytes", "oldest"],
      depth.lanes.map((lane) => {
        const done = lane.lane === "inbound" ? lane.dispatched : lane.acknowledged;
        return [
          lane.lane,
          lane.last,
          done,
          lane.last - done,
          lane.waitingBytes,
          lane.oldestAt === null ? "" : instant(lane.oldestAt),
        ];
      }),
    ),
  );
  print(
    `deliveries waiting: ${deliveries.waiting}, unknown outcome: ${deliveries.unknown}, parked: ${deliveries.parked}; dead letters: ${deadLetters}`,
  );
}

export function printTally(by: string, counts: ReadonlyMap<string, number>, options: { limit: number; json?: boolean }): void {
  const rows = [...counts].slice(0, options.limit).map(([name, count]) => {
    const [lane = "", ...value] = name.split(" ");
    return { lane, [by]: value.join(" "), waiting: count };
  });
  if (options.json) return printJson(rows);
  print(
    table(
      ["lane", by, "waiting"],
      rows.map((row) => [row.lane, String(row[by as keyof typeof row]), row.waiting]),
    ),
  );
}

export function printHoles(holes: readonly QueuedHole[], json: boolean): void {
  if (json) return printJson(holes);
  print(
    table(
      ["lane", "first", "last", "messages", "why"],
      holes.map((h) => [h.lane, h.first, h.first + h.count - 1, h.count, h.reason]),
    ),
  );
}

export function printSetAside(ranges: readonly SetAsideRange[], json: boolean): void {
  if (json)
    return printJson(
      ranges.map(({ lines, ...range }) => ({ ...range, foundAt: instant(range.foundAt), ...(lines ? { lines } : {}) })),
    );
  print(
    table(
      ["lane", "first", "last", "messages", "bytes", "why", "found", "readable"],
      ranges.map((r) => [
        ...[r.lane, r.first, r.first + r.count - 1, r.count, r.bytes, r.reason, instant(r.foundAt)],
        r.lines ? "yes" : "no",
      ]),
    ),
  );
}

export function printMessages(messages: readonly Message[] | Message, json: boolean): void {
  if (!isList(messages)) return printJson(messages);
  if (json) return printJson(messages.map(({ sequence, event }) => ({ sequence, event })));
  print(
    table(
      ["sequence", "recorded", "type", "key", "idempotency key"],
      messages.map(({ sequence, event }) => [
        sequence,
        String(event.recordedtime),
        String(event.type),
        String(event.partitionkey),
        String(event.idempotencykey ?? ""),
      ]),
    ),
  );
}

export function printDeliveries(deliveries: readonly Delivery[], json: boolean): void {
  if (json) return printJson(deliveries);
  print(
    table(
      ["id", "connector", "flow", "key", "state", "attempts", "since", "reason"],
      deliveries.map((d) => [d.id, d.connector, d.flow, d.key, d.state, d.attempts, instant(d.createdAt), d.reason ?? ""]),
    ),
  );
}

export function printDeadLetters(letters: readonly DeadLetter[] | DeadLetter, json: boolean): void {
  if (!isList(letters)) return printJson(printable(letters));
  if (json) return printJson(letters.map(printable));
  print(
    table(
      ["id", "at", "way", "connector", "flow", "place", "code", "reason"],
      letters.map((l) => [l.id, instant(l.at), l.direction, l.connector, l.flow ?? "", l.place, l.code, l.reason]),
    ),
  );
}

function printable(letter: DeadLetter): Record<string, unknown> {
  const bytes = Buffer.from(letter.body);
  const text = bytes.toString("utf8");
  const readable = Buffer.from(text, "utf8").equals(bytes);
  return { ...letter, at: instant(letter.at), body: readable ? text : { base64: bytes.toString("base64") }, bytes: bytes.length };
}

function isList<Value>(value: readonly Value[] | Value): value is readonly Value[] {
  return Array.isArray(value);
}

function instant(at: number): string {
  return new Date(at).toISOString();
}

function print(text: string): void {
  process.stdout.write(`${text}\n`);
}
function printJson(value: unknown): void {
  print(JSON.stringify(value, null, 2));
}
