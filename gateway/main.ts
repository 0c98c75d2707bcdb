import { describeError, PlantgateError } from "../protocol/index.ts";
import { startGateway } from "./gateway.ts";
import { gatewaySettings } from "./settings/schema.ts";

/**
 * Runs a gateway until SIGINT or SIGTERM; resolves with the exit code. 1: it could not start. 70: it failed while it ran and has to be
 * started again by its supervisor (rule 12).
 */
export async function runGateway(raw: unknown): Promise<number> {
  const parsed = gatewaySettings.safeParse(raw);
  if (!parsed.success) {
    throw new PlantgateError("USAGE", parsed.error.issues.map((issue) => `${issue.path.join(".")}: ${issue.message}`).join("; "));
  }
  const gateway = await startGateway(parsed.data);
  const asked = Promise.withResolvers<void>();
  process.once("SIGINT", () => asked.resolve());
  process.once("SIGTERM", () => asked.resolve());
  try {
    await Promise.race([asked.promise, gateway.failed]);
  } catch (error) {
    process.stderr.write(`plantgate gateway: ${describeError(error)}\n`);
    // the queue's handle is not to be used again: end at once, whatever else still runs
    return 70;
  }
  await gateway.stop();
  return 0;
}
