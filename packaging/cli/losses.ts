import { type Command, InvalidArgumentError } from "commander";
import { z } from "zod";
import { addConnectionOptions, CentralClient, type ConnectionOptions } from "./connection.ts";
import { addOutputOption, type OutputOptions, print } from "./output.ts";

const lost = z.looseObject({
  lanes: z.array(z.looseObject({ lane: z.string(), epoch: z.string(), summary: z.string() })),
  downlink: z.looseObject({ upTo: z.int(), at: z.string() }).nullable(),
});
const ended = z.looseObject({ connector: z.string(), outcome: z.string() });
const unreported = z.looseObject({ connector: z.string(), destination: z.string() });
const message = z.looseObject({
  sequence: z.int(),
  from: z.string(),
  message: z.looseObject({ id: z.string(), type: z.string(), key: z.string().nullable() }).nullable(),
  open: z.array(ended),
  ended: z.array(ended),
  unreported: z.array(unreported).nullable(),
});
const page = z.looseObject({ messages: z.array(message), next: z.int().nullable() });
const sent = z.looseObject({ sent: z.int() });

/** What went with a gateway's disk (packaging/docs/moving.md). */
export function addLossCommands(site: Command): void {
  const named = (name: string, description: string): Command =>
    addConnectionOptions(site.command(name).description(description).argument("<name>", "name of the site"));
  const path = (name: string, rest = ""): string => `/v1/sites/${encodeURIComponent(name)}/losses${rest}`;

  addOutputOption(
    named("losses", "What went with a disk of the site's gateway: of each lane a range, and deliveries that are open."),
  )
    .option("--before <sequence>", "look further back in the downlink, from there", parseSequence)
    .action(async (name: string, { before, output, ...connection }: ConnectionOptions & OutputOptions & { before?: number }) => {
      const client = new CentralClient(connection);
      const { lanes, downlink } = lost.parse(await client.call("GET", path(name)));
      const { messages, next } = page.parse(
        await client.call("GET", path(name, `/unconfirmed${before === undefined ? "" : `?before=${before}`}`)),
      );
      if (output !== "table") return print({ lanes, downlink, unconfirmed: messages, next }, output);
      for (const { lane, epoch, summary } of lanes) process.stdout.write(`${lane}, epoch ${epoch}: ${summary}\n`);
      if (lanes.length === 0) process.stdout.write("No lane lost anything with a disk.\n");
      if (!downlink) return;
      process.stdout.write(
        `\nOf what it had acknowledged, up to ${downlink.upTo}, not every delivery was reported to be over:\n`,
      );
      print(messages.map(toRow), "table", ["sequence", "from", "type", "key", "id", "reported"]);
      if (next !== null) process.stdout.write(`Further back: --before ${next}\n`);
    });

  named("send-again", "Hand messages to the site again that its lost gateway had acknowledged, marked as sent again.")
    .requiredOption("--sequence <numbers...>", "which of those that plantgate site losses shows", parseSequences)
    .option("--out-of-order", "also behind later messages of their key: you have looked into the receiving system")
    .action(async (name: string, options: ConnectionOptions & { sequence: number[]; outOfOrder?: boolean }) => {
      const body = { sequences: options.sequence, outOfOrder: options.outOfOrder ?? false };
      const answer = sent.parse(await new CentralClient(options).call("POST", path(name, "/send-again"), body));
      process.stdout.write(`${name}: ${answer.sent} ${answer.sent === 1 ? "message goes" : "messages go"} to the site again\n`);
    });
}

function toRow({ sequence, from, message: of, open, ended, unreported }: z.infer<typeof message>) {
  const reported = [...open, ...ended].map(({ connector, outcome }) => `${connector}: ${outcome}`);
  // where nothing at all was reported, it says so
  const missing =
    reported.length === 0 ? [] : (unreported ?? []).map(({ connector, destination }) => `${connector} ${destination}: nothing`);
  return {
    ...{ sequence, from, type: of?.type ?? "cannot be read", key: of?.key ?? null, id: of?.id ?? null },
    reported: reported.length === 0 ? "nothing" : [...reported, ...missing].join(", "),
  };
}

function parseSequence(value: string): number {
  const sequence = Number(value);
  if (!Number.isSafeInteger(sequence) || sequence < 1) throw new InvalidArgumentError("Give a whole number of 1 or more.");
  return sequence;
}

function parseSequences(value: string, before: number[] = []): number[] {
  return [...before, parseSequence(value)];
}
