import { existsSync } from "node:fs";
import { type Command, InvalidArgumentError } from "commander";
import { judgeConfiguration } from "../../gateway/agent/judge.ts";
import type { QueueLane } from "../../gateway/queue/change.ts";
import type { DeadLetterQuery } from "../../gateway/queue/dead-letters.ts";
import { peekFormat, requireReadable } from "../../gateway/queue/format.ts";
import { recoverKeys } from "../../gateway/queue/keystore.ts";
import { QueueReader, queueFile } from "../../gateway/queue/read.ts";
import { formatVersion, laneNumbers } from "../../gateway/queue/schema.ts";
import { version } from "../../gateway/version.ts";
import { PlantgateError } from "../../protocol/index.ts";
import { parseLimit } from "./arguments.ts";
import { becomeOwner, dataOption, placeHere, settingsOf } from "./installed.ts";
import { loadModule } from "./module.ts";
import { type RefusedSettings, withoutNewer } from "./newer-settings.ts";
import {
  printDeadLetters,
  printDeliveries,
  printDepth,
  printHoles,
  printMessages,
  printSetAside,
  printTally,
} from "./queue-print.ts";
import { readText } from "./site.ts";

interface QueueOptions extends Omit<DeadLetterQuery, "limit"> {
  readonly data: string;
  readonly limit: number;
  readonly json?: boolean;
  readonly kept?: boolean;
  readonly by?: "type" | "key";
}

const lanes = Object.keys(laneNumbers) as QueueLane[];
const places = [...lanes, "dead", "deliveries", "undecided", "holes", "set-aside"];

/** Looks into a gateway's queue, running or not: a read-only handle, which never disturbs the writer. */
export function addQueueCommand(program: Command): void {
  const queue = program.command("queue").description("Look into a gateway's queue; the gateway may run meanwhile.");
  const withData = (command: Command): Command =>
    dataOption(command, "gateway", "the gateway's data folder").option("--json", "print JSON");

  withData(queue.command("depth").description("How much waits: lanes, deliveries, dead letters."))
    .option("--by <what>", "count what waits per type or per key, largest first", parseBy)
    .option("--limit <n>", "with --by: how many lines", parseLimit, 20)
    .action((options: QueueOptions) => {
      reading(options.data, (reader) => {
        if (options.by === undefined) printDepth(reader.depth(), options.json === true);
        else printTally(options.by, tally(reader, options.by), options);
      });
    });

  withData(queue.command("list").description("List messages of a lane, ranges without messages, dead letters or deliveries."))
    .argument("[what]", `one of ${places.join(", ")}`, parsePlace, "transaction")
    .option("--limit <n>", "how many at the most", parseLimit, 20)
    .option("--kept", "also messages that central has and that are kept until it cannot lose them any more")
    .option("--type <type>", "only of this type")
    .option("--key <key>", "only of this ordering key")
    .option("--flow <flow>", "dead letters, deliveries: only of this flow")
    .option("--connector <name>", "dead letters, deliveries: only of this connector")
    .option("--code <code>", "dead letters: only with this code")
    .option("--text <text>", "only what holds this text (dead letters: place, reason or body)")
    .addHelpText(
      "after",
      "\n  undecided   deliveries of unknown outcome or whose attempts are used up: a person decides\n  holes       ranges that were discarded, damaged or locked\n  set-aside   what lay in ranges that were damaged or locked; with --json their messages, where they can be read by now",
    )
    .action((what: string, options: QueueOptions) => {
      reading(options.data, (reader) => list(reader, what, options));
    });

  withData(queue.command("show").description("Show one message (lane and sequence) or one dead letter (its id), whole."))
    .argument("<what>", "a lane, or the id of a dead letter")
    .argument("[sequence]", "sequence in the lane")
    .action((what: string, sequence: string | undefined, options: QueueOptions) => {
      reading(options.data, (reader) => show(reader, what, sequence));
    });

  addJudge(queue);
  addRecoverKeys(queue);
}

/** What an upgrade asks of the version that it brings, while the one before runs. */
function addJudge(queue: Command): void {
  const judge = queue
    .command("judge")
    .description(
      "Whether this version can go on with a folder: its queue, the configuration that runs and, where it is installed, its settings. Nothing is changed.",
    );
  dataOption(judge, "gateway", "the gateway's data folder")
    .option("--json", "print JSON")
    .action(async ({ data, json }: { data: string; json?: boolean }) => {
      becomeOwner(data);
      await requireSettings(data);
      const found = peekFormat(queueFile(data));
      if (existsSync(queueFile(data)) && !found)
        throw new PlantgateError(
          "CONFIG_INVALID",
          `what format ${queueFile(data)} has cannot be read: it may be damaged, and its gateway finds out`,
        );
      if (found) requireReadable(found);
      const unknown = await judgeConfiguration(data, version);
      if (unknown !== undefined) throw new PlantgateError("CONFIG_INVALID", unknown);
      const said = found ? `format ${found.format}: this version (format ${formatVersion}) opens it` : "there is no queue yet";
      process.stdout.write(json ? `${JSON.stringify({ ...found, known: formatVersion, opens: true })}\n` : `${said}\n`);
    });
}

/** The service's user has to be able to read what is written there, and the version to take it. @throws PlantgateError CONFIG_INVALID */
async function requireSettings(data: string): Promise<void> {
  const here = placeHere("gateway", data);
  if (!here) return;
  const { refusedSettings } = (await loadModule("gateway/main")) as { refusedSettings: RefusedSettings };
  const settings = settingsOf("gateway", here.configFile, {});
  const refused = refusedSettings(withoutNewer("gateway", settings, refusedSettings(settings), () => {}));
  if (refused.length > 0) {
    const names = refused.map((name) => `"${name}"`).join(", ");
    throw new PlantgateError("CONFIG_INVALID", `${here.configFile}: this version does not take ${names}`);
  }
}

/** For a folder whose own key is lost; its gateway must not run meanwhile. */
function addRecoverKeys(queue: Command): void {
  const recover = queue
    .command("recover-keys")
    .description("Open the keys of a sealed queue with the recovery key, when the folder's own key is lost.");
  dataOption(recover, "gateway", "the gateway's data folder; its gateway is stopped")
    .requiredOption("--recovery-key <file>", "private half (PEM) of the key that lies in keystore/recovery.pem")
    .action((options: { data: string; recoveryKey: string }) => {
      const recoveryKey = readText(options.recoveryKey);
      becomeOwner(options.data);
      const keys = recoverKeys(options.data, recoveryKey);
      process.stdout.write(
        `${keys} ${keys === 1 ? "key" : "keys"} recovered. What was set aside as locked before: plantgate queue list set-aside --json\n`,
      );
    });
}

function list(reader: QueueReader, what: string, options: QueueOptions): void {
  const { limit, flow, connector, code, type, key, text } = options;
  const json = options.json === true;
  if (what === "dead")
    return printDeadLetters(reader.deadLetters.search({ limit, flow, connector, code, type, key, text }), json);
  if (what === "holes")
    return printHoles(
      lanes.flatMap((lane) => reader.holes(lane)),
      json,
    );
  if (what === "set-aside") return printSetAside([...reader.setAside().take(limit)], json);
  if (what === "deliveries" || what === "undecided") {
    const found = reader.deliveries
      .each()
      .filter(({ state }) => what === "deliveries" || state === "unknown" || state === "parked")
      .filter((each) => (flow ?? each.flow) === each.flow && (connector ?? each.connector) === each.connector)
      .filter((each) => (type ?? each.type) === each.type && (key ?? each.key) === each.key)
      .filter(({ line }) => text === undefined || line.includes(text));
    return printDeliveries([...found.take(limit)], json);
  }
  const lane = what as QueueLane;
  const found = messagesOf(reader, lane, options.kept === true)
    .filter(({ event, line }) => (text === undefined || line.includes(text)) && (type ?? event.type) === event.type)
    .filter(({ event }) => key === undefined || event.partitionkey === key);
  printMessages([...found.take(limit)], json);
}

function messagesOf(reader: QueueReader, lane: QueueLane, kept: boolean) {
  const known = reader.depth().lanes.find((each) => each.lane === lane);
  const done = (lane === "inbound" ? known?.dispatched : known?.acknowledged) ?? 0;
  return reader
    .messages(lane, kept ? 0 : done + 1)
    .map((message) => ({ ...message, event: JSON.parse(message.line) as Record<string, unknown> }));
}

/** How many messages wait per type or key, of every lane, largest first. */
function tally(reader: QueueReader, by: "type" | "key"): Map<string, number> {
  const counts = new Map<string, number>();
  for (const lane of lanes) {
    for (const { event } of messagesOf(reader, lane, false)) {
      const value = String(by === "type" ? event.type : event.partitionkey);
      const name = `${lane} ${value}`;
      counts.set(name, (counts.get(name) ?? 0) + 1);
    }
  }
  return new Map([...counts].toSorted(([, a], [, b]) => b - a));
}

function show(reader: QueueReader, what: string, sequence: string | undefined): void {
  if (sequence === undefined) {
    const letter = reader.deadLetters.find(what);
    if (!letter)
      throw new PlantgateError(
        "USAGE",
        `there is no dead letter "${what}"; "plantgate queue list dead" shows them. For a message give lane and sequence`,
      );
    return printDeadLetters(letter, true);
  }
  if (!lanes.includes(what as QueueLane))
    throw new PlantgateError("USAGE", `there is no lane "${what}"; the lanes are ${lanes.join(", ")}`);
  const lane = what as QueueLane;
  const wanted = Number(sequence);
  const message = Number.isSafeInteger(wanted) ? reader.messages(lane, wanted).next().value : undefined;
  if (message?.sequence === wanted)
    return printMessages({ lane: what, sequence: wanted, event: JSON.parse(message.line) as Record<string, unknown> }, true);
  const hole = reader.holes(lane).find(({ first, count }) => wanted >= first && wanted < first + count);
  const gone = hole
    ? `sequences ${hole.first} to ${hole.first + hole.count - 1} of it hold no messages any more: ${hole.reason}; "plantgate queue list set-aside" shows what is kept of such`
    : "what central has is deleted here";
  throw new PlantgateError("USAGE", `lane ${what} has no message ${sequence} on disk; ${gone}`);
}

function reading(folder: string, read: (reader: QueueReader) => void): void {
  becomeOwner(folder);
  const file = queueFile(folder);
  if (!existsSync(file))
    throw new PlantgateError("USAGE", `${folder} holds no queue: is it a gateway's data folder, and has the gateway run?`);
  using reader = new QueueReader(file);
  read(reader);
  if (reader.unread > 0)
    process.stderr.write(
      `${reader.unread} messages were left out: they cannot be read, as their key is missing ("plantgate queue recover-keys") or they are damaged.\n`,
    );
}

function parsePlace(value: string): string {
  if (!places.includes(value)) throw new InvalidArgumentError(`Give one of ${places.join(", ")}.`);
  return value;
}

function parseBy(value: string): string {
  if (value !== "type" && value !== "key") throw new InvalidArgumentError("Give type or key.");
  return value;
}
