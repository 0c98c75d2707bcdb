import { describeError, PlantgateError } from "../protocol/index.ts";
import { startCentral } from "./central.ts";
import { loadSettings, usage } from "./settings/load.ts";

/** Runs central until SIGTERM or SIGINT. Exit code 0 after an orderly stop, 2 for a wrong command line, 1 for anything else. */
async function main(): Promise<void> {
  const central = await startCentral(loadSettings(process.argv.slice(2)));
  process.stdout.write(`central listens on ${central.url}\n`);
  await new Promise<void>((resolve) => {
    process.once("SIGTERM", resolve);
    process.once("SIGINT", resolve);
  });
  await central.stop();
}

main().catch((error: unknown) => {
  const wrongUse = error instanceof PlantgateError && error.code === "USAGE";
  process.stderr.write(`${describeError(error)}\n${wrongUse ? `usage: ${usage}\n` : ""}`);
  process.exitCode = wrongUse ? 2 : 1;
});
