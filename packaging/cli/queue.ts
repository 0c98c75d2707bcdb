import { existsSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { type Command, InvalidArgumentError } from "commander";
import type { QueueLane } from "../../gateway/queue/change.ts";
import { readDeadLetter, readDeadLetters, readDeliveries, readDepth, readMessages } from "../../gateway/queue/read.ts";
import { laneNumbers } from "../../gateway/queue/schema.ts";
import { PlantgateError } from "../../protocol/index.ts";
import { parseLimit } from "./arguments.ts";
import { table } from "./table.ts";

interface QueueOptions {
  readonly data: string;
  readonly limit: number;
  readonly json?: boolean;
}

const places = [...Object.keys(laneNumbers), "dead", "deliveries"];

/** Looks into a gateway's queue, running or not: a read-only handle, which never disturbs the writer. */
export function addQueueCommand(program: Command): void {
  const queue = program.command("queue").description("Look into a gateway's queue; the gateway may run meanwhile.");
  const withData = (command: Command): Command =>
    command.requiredOption("--data <folder>", "the gateway's data folder").option("--json", "print JSON");

  withData(queue.command("depth").description("How much waits: lanes, deliveries, dead letters.")).action(
    (options: QueueOptions) => {
      reading(options.data, (db) => {
        const depth = readDepth(db);
        if (options.json) return printJson(depth);
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
                lane.oldestAt === null ? "" : new Date(lane.oldestAt).toISOString(),
              ];
            }),
          ),
        );
        print(
          `deliveries waiting: ${depth.deliveries.waiting}, unknown outcome: ${depth.deliveries.unknown}; dead letters: ${depth.deadLetters}`,
        );
      });
    },
  );

  withData(queue.command("list").description("List messages of a lane, dead letters or deliveries."))
    .argument("[what]", `one of ${places.join(", ")}`, parsePlace, "transaction")
    .option("--limit <n>", "how many at the most", parseLimit, 20)
    .action((what: string, options: QueueOptions) => {
      reading(options.data, (db) => list(db, what, options));
    });

  withData(queue.command("show").description("Show one message (lane and sequence) or one dead letter (its id), whole."))
    .argument("<what>", "a lane, or the id of a dead letter")
    .argument("[sequence]", "sequence in the lane")
    .action((what: string, sequence: string | undefined, options: QueueOptions) => {
      reading(options.data, (db) => show(db, what, sequence));
    });
}

function list(db: DatabaseSync, what: string, options: QueueOptions): void {
  if (what === "dead") {
    const letters = readDeadLetters(db, options.limit);
    if (options.json) return printJson(letters.map(printableLetter));
    return print(
      table(
        ["id", "at", "way", "connector", "flow", "place", "code", "reason"],
        letters.map((l) => [
          l.id,
          new Date(l.at).toISOString(),
          l.direction,
          l.connector,
          l.flow ?? "",
          l.place,
          l.code,
          l.reason,
        ]),
      ),
    );
  }
  if (what === "deliveries") {
    const deliveries = readDeliveries(db, options.limit);
    if (options.json) return printJson(deliveries);
    return print(
      table(
        ["id", "connector", "flow", "key", "state", "attempts", "since", "reason"],
        deliveries.map((d) => [
          d.id,
          d.connector,
          d.flow,
          d.key,
          d.state,
          d.attempts,
          new Date(d.createdAt).toISOString(),
          d.reason ?? "",
        ]),
      ),
    );
  }
  const messages = [...readMessages(db, what as QueueLane).take(options.limit)].map((message) => ({
    ...message,
    event: JSON.parse(message.line) as Record<string, unknown>,
  }));
  if (options.json) return printJson(messages.map(({ sequence, event }) => ({ sequence, event })));
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

function show(db: DatabaseSync, what: string, sequence: string | undefined): void {
  if (sequence === undefined) {
    const letter = readDeadLetter(db, what);
    if (!letter)
      throw new PlantgateError(
        "USAGE",
        `there is no dead letter "${what}"; "plantgate queue list dead" shows them. For a message give lane and sequence`,
      );
    return printJson(printableLetter(letter));
  }
  const lanes = Object.keys(laneNumbers);
  if (!lanes.includes(what)) throw new PlantgateError("USAGE", `there is no lane "${what}"; the lanes are ${lanes.join(", ")}`);
  const wanted = Number(sequence);
  const message = Number.isSafeInteger(wanted) ? readMessages(db, what as QueueLane, wanted).next().value : undefined;
  if (message?.sequence !== wanted)
    throw new PlantgateError("USAGE", `lane ${what} has no message ${sequence} on disk; what central has is deleted here`);
  printJson({ lane: what, sequence: wanted, event: JSON.parse(message.line) });
}

function printableLetter(letter: ReturnType<typeof readDeadLetters>[number]): Record<string, unknown> {
  const bytes = Buffer.from(letter.body);
  const text = bytes.toString("utf8");
  const readable = Buffer.from(text, "utf8").equals(bytes);
  return {
    ...letter,
    at: new Date(letter.at).toISOString(),
    body: readable ? text : { base64: bytes.toString("base64") },
    bytes: bytes.length,
  };
}

function reading(folder: string, read: (db: DatabaseSync) => void): void {
  const file = join(folder, "queue.sqlite");
  if (!existsSync(file))
    throw new PlantgateError("USAGE", `${folder} holds no queue: is it a gateway's data folder, and has the gateway run?`);
  const db = new DatabaseSync(file, { readOnly: true });
  try {
    read(db);
  } finally {
    db.close();
  }
}

function parsePlace(value: string): string {
  if (!places.includes(value)) throw new InvalidArgumentError(`Give one of ${places.join(", ")}.`);
  return value;
}

function print(text: string): void {
  process.stdout.write(`${text}\n`);
}
function printJson(value: unknown): void {
  print(JSON.stringify(value, null, 2));
}
