import { describeError, keepAlive, PlantgateError, settingsProblems, systemClock, unsupervised } from "../protocol/index.ts";
import { startCentral } from "./central.ts";
import { centralSettings } from "./settings/schema.ts";

export { refusedSettings } from "./settings/refused.ts";

export { lastStep as schemaStep } from "./storage/migrations.ts";

/**
 * Runs central until SIGINT or SIGTERM; resolves with the exit code. 70: its ledger was replaced while it ran, and it has to be started
 * again by its supervisor.
 * @throws PlantgateError USAGE with every problem of the settings; whatever it could not start with
 */
export async function runCentral(raw: unknown, supervisor = unsupervised, version?: string): Promise<number> {
  const settings = centralSettings.safeParse(raw);
  if (!settings.success) {
    throw new PlantgateError("USAGE", settingsProblems(settings.error));
  }
  const asked = Promise.withResolvers<void>();
  // not before it is up: a start that takes long ends at once when it is to
  const beforeUp = (): void => {
    process.once("SIGTERM", () => asked.resolve());
    process.once("SIGINT", () => asked.resolve());
  };
  const central = await startCentral(Object.freeze(settings.data), { version, beforeUp });
  supervisor.ready();
  const ending = new AbortController();
  // a database that is away is no reason to start again: what has to answer is this process
  void keepAlive(supervisor, async () => {}, systemClock, ending.signal);
  try {
    await Promise.race([asked.promise, central.failed]);
  } catch (error) {
    process.stderr.write(`plantgate central: ${describeError(error)}\n`);
    // nothing that it knows of its ledger holds any more: end at once, whatever else still runs
    return 70;
  }
  supervisor.stopping();
  ending.abort();
  await central.stop();
  return 0;
}
