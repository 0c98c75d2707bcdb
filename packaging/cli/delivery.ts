import { readFileSync } from "node:fs";
import { userInfo } from "node:os";
import type { Command } from "commander";
import { z } from "zod";
import { localAccessFile } from "../../gateway/http/local-routes.ts";
import { PlantgateError, problem } from "../../protocol/index.ts";
import { dataOption } from "./installed.ts";

const decisions = {
  retry: "Send it: it did not arrive.",
  done: "Take it for delivered: it did arrive.",
  discard: "Let go of it: it is kept as a dead letter, and the key's later messages go on.",
} as const;

const localAccess = z.strictObject({ url: z.url(), token: z.string() });

/** What a person decides about deliveries of unknown outcome and parked ones, at the running gateway of a data folder. */
export function addDeliveryCommand(program: Command): void {
  const delivery = program
    .command("delivery")
    .description('Decide about a delivery that waits for a person ("plantgate queue list undecided" shows them).');
  for (const [name, description] of Object.entries(decisions)) {
    const command = delivery.command(name).description(description).argument("<id>", "number of the delivery");
    dataOption(command, "gateway", "data folder of the gateway, which runs")
      .requiredOption("--reason <text>", "why; it is recorded")
      .option("--by <name>", "who decides; default: the user of this machine", userInfo().username)
      .action(async (id: string, options: { data: string; reason: string; by: string }) => {
        await decide(id, name, options);
        process.stdout.write(`delivery ${id}: ${name}\n`);
      });
  }
}

async function decide(id: string, decision: string, options: { data: string; reason: string; by: string }): Promise<void> {
  const { url, token } = readAccess(options.data);
  let response: Response;
  try {
    response = await fetch(new URL(`/local/v1/deliveries/${encodeURIComponent(id)}/decision`, url), {
      method: "POST",
      headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
      body: JSON.stringify({ decision, by: options.by, reason: options.reason }),
      signal: AbortSignal.timeout(30_000),
    });
  } catch (cause) {
    throw new PlantgateError("PEER_UNREACHABLE", `is the gateway running? Nothing answers at ${url}`, { cause });
  }
  if (response.ok) return;
  const told = problem.safeParse(await response.json().catch(() => undefined));
  throw new PlantgateError(
    "PEER_REFUSED",
    told.success ? (told.data.detail ?? told.data.title) : `${url} answered ${response.status}`,
  );
}

/** How a command on this machine reaches the gateway of a data folder. */
export function readAccess(dataDir: string): z.infer<typeof localAccess> {
  const file = localAccessFile(dataDir);
  let text: string;
  try {
    text = readFileSync(file, "utf8");
  } catch (cause) {
    throw new PlantgateError("USAGE", `${file} cannot be read: is it a gateway's data folder, and has the gateway run?`, {
      cause,
    });
  }
  return localAccess.parse(JSON.parse(text));
}
