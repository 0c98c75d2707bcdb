import { PlantgateError } from "../protocol/index.ts";
import { startCentral } from "./central.ts";
import { centralSettings } from "./settings/schema.ts";

/** Runs central until SIGINT or SIGTERM; resolves with the exit code. @throws PlantgateError USAGE with every problem of the settings */
export async function runCentral(raw: unknown): Promise<number> {
  const settings = centralSettings.safeParse(raw);
  if (!settings.success) {
    throw new PlantgateError(
      "USAGE",
      settings.error.issues.map((issue) => `${issue.path.join(".")}: ${issue.message}`).join("; "),
    );
  }
  const central = await startCentral(Object.freeze(settings.data));
  await new Promise<void>((resolve) => {
    process.once("SIGTERM", resolve);
    process.once("SIGINT", resolve);
  });
  await central.stop();
  return 0;
}
