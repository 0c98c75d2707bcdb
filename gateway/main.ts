import { z } from "zod";
import { describeError, keepAlive, PlantgateError, settingsProblems, systemClock, unsupervised } from "../protocol/index.ts";
import { startGateway } from "./gateway.ts";
import { gatewaySettings } from "./settings/schema.ts";
import { readStored } from "./settings/stored.ts";

export { refusedSettings } from "./settings/refused.ts";

/**
 * Runs a gateway until SIGINT or SIGTERM; resolves with the exit code. 1: it could not start. 70: it failed while it ran and has to be
 * started again by its supervisor (rule 12).
 */
export async function runGateway(raw: unknown, supervisor = unsupervised): Promise<number> {
  const given = z.looseObject({ dataDir: z.string().min(1) }).safeParse(raw).data;
  const said = Object.fromEntries(Object.entries(given ?? {}).filter(([, value]) => value !== undefined));
  const stored = given && readStored(given.dataDir);
  if (given && !stored && (said.site === undefined || said.centralUrl === undefined)) {
    const enroll = "enroll it (plantgate enroll), or give it --site, --central and --central-key";
    throw new PlantgateError("USAGE", `the gateway in ${given.dataDir} does not know its site and its central: ${enroll}`);
  }
  // what was enrolled, unless it is said otherwise
  const parsed = gatewaySettings.safeParse(given ? { ...stored, ...said } : raw);
  if (!parsed.success) {
    throw new PlantgateError("USAGE", settingsProblems(parsed.error));
  }
  const gateway = await startGateway(parsed.data);
  supervisor.ready();
  const ending = new AbortController();
  void keepAlive(supervisor, () => gateway.alive(), systemClock, ending.signal);
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
  supervisor.stopping();
  ending.abort();
  await gateway.stop();
  return 0;
}
