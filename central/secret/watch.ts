import type { Clock } from "../../protocol/index.ts";
import type { Alarms } from "../alert/alarms.ts";
import type { Storage } from "../storage/storage.ts";
import type { Logger } from "../telemetry/logger.ts";
import type { Vault } from "./vault.ts";

export interface SecretWatchDeps {
  readonly storage: Storage;
  readonly vault: Vault;
  readonly alarms: Alarms;
  readonly clock: Clock;
  readonly log: Logger;
}

const lookEveryMs = 10 * 60_000;

/** Raises an alarm for each secret about which a person should do something, and ends it once that was done. */
export async function watchSecrets(deps: SecretWatchDeps, signal: AbortSignal): Promise<void> {
  const { clock, log } = deps;
  while (!signal.aborted) {
    await look(deps).catch((err: unknown) =>
      log.warn({ event: "secret.watch.failed", err }, "secrets could not be looked through"),
    );
    await clock.sleep(lookEveryMs, signal);
  }
}

async function look({ storage, vault, alarms }: SecretWatchDeps): Promise<void> {
  for (const { name, reasons } of await vault.due()) {
    const alarm = { site: "", kind: "secret-due", target: name } as const;
    if (reasons.length === 0) await alarms.end(storage, alarm);
    else alarms.log(await alarms.raiseOnce(storage, { ...alarm, count: 1, reason: `secret "${name}": ${reasons.join("; ")}` }));
  }
}
