import { describeError, PlantgateError } from "../protocol/index.ts";
import { startCentral } from "./central.ts";
import { centralSettings } from "./settings/schema.ts";

/**
 * Runs central until SIGINT or SIGTERM; resolves with the exit code. 70: its ledger was replaced while it ran, and it has to be started
 * again by its supervisor.
 * @throws PlantgateError USAGE with every problem of the settings; whatever it could not start with
 */
export async function runCentral(raw: unknown): Promise<number> {
  const settings = centralSettings.safeParse(raw);
  if (!settings.success) {
    throw new PlantgateError(
      "USAGE",
      settings.error.issues.map((issue) => `${issue.path.join(".")}: ${issue.message}`).join("; "),
    );
  }
  const central = await startCentral(Object.freeze(settings.data));
  const asked = Promise.withResolvers<void>();
  process.once("SIGTERM", () => asked.resolve());
  process.once("SIGINT", () => asked.resolve());
  try {
    await Promise.race([asked.promise, central.failed]);
  } catch (error) {
    process.stderr.write(`plantgate central: ${describeError(error)}\n`);
    // nothing that it knows of its ledger holds any more: end at once, whatever else still runs
    return 70;
  }
  await central.stop();
  return 0;
}
