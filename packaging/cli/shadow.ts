import type { Command } from "commander";
import { z } from "zod";
import type { ShadowView } from "../../gateway/rehearsal/shadow-flow.ts";
import { readStore, rehearsalFile } from "../../gateway/rehearsal/store.ts";
import { PlantgateError } from "../../protocol/index.ts";
import { readAccess } from "./delivery.ts";
import { fieldTable } from "./dry-run.ts";
import { becomeOwner, dataOption } from "./installed.ts";
import { addOutputOption, type OutputOptions, print, toText } from "./output.ts";

const answer = z.object({ flows: z.array(z.custom<ShadowView>((value) => typeof value === "object" && value !== null)) });

/** What flows in shadow would have done, asked of the gateway; where it does not run, as it stood last. Reads only. */
export function addShadowCommand(program: Command): void {
  const command = program
    .command("shadow")
    .description("Show what a gateway's flows in shadow would have done otherwise than the live ones; reads only.")
    .argument("[flow]", "only this flow, with its last messages");
  addOutputOption(dataOption(command, "gateway", "the gateway's data folder")).action(
    async (name: string | undefined, options: OutputOptions & { data: string }) => {
      becomeOwner(options.data);
      const flows = (await asked(options.data)) ?? stored(options.data);
      if (name === undefined) {
        const shown = ["flow", "against", "same", "different", "onlyShadow", "onlyLive", "refused", "skipped", "since"];
        return print(
          options.output === "table" ? flows : { flows },
          options.output,
          options.output === "table" ? shown : undefined,
        );
      }
      const flow = flows.find((each) => each.flow === name);
      if (!flow) throw new PlantgateError("USAGE", `no flow "${name}" is in shadow; without a name all are listed`);
      if (options.output !== "table") return print(flow, options.output);
      const { fields, reasons, recent, ...counts } = flow;
      const parts = [toText(counts, "table"), fieldTable(fields)];
      if (reasons.length > 0) parts.push(toText(reasons, "table", ["code", "count", "message"]));
      parts.push(toText(recent.slice(0, 20), "table", ["at", "verdict", "key", "would"]));
      process.stdout.write(`${parts.join("\n\n")}\n`);
    },
  );
}

/** Undefined: nothing answers. */
async function asked(folder: string): Promise<readonly ShadowView[] | undefined> {
  const { url, token } = readAccess(folder);
  let response: Response;
  try {
    response = await fetch(new URL("/local/v1/shadow", url), {
      headers: { authorization: `Bearer ${token}` },
      signal: AbortSignal.timeout(10_000),
    });
  } catch {
    return undefined;
  }
  const parsed = answer.safeParse(await response.json().catch(() => undefined));
  // something else has the port by now
  return response.ok && parsed.success ? parsed.data.flows : undefined;
}

function stored(folder: string): readonly ShadowView[] {
  const states = readStore(rehearsalFile(folder), (store) => [...store.shadowStates().values()]) ?? [];
  return states.map((state) => (JSON.parse(state) as { view: ShadowView }).view);
}
