import { existsSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { type Clock, parseJson } from "../../protocol/index.ts";
import type { Logger } from "../telemetry/logger.ts";
import { isNoRoom, writeFlushed } from "../write-flushed.ts";
import { type Condition, whatIsMissing } from "./well.ts";

/** What the updater notes of a version on trial: root's file, which a gateway only reads. */
const trialNote = z.object({
  version: z.string(),
  begun: z.string(),
  watchMs: z.int().positive(),
  before: z.object({ online: z.boolean(), up: z.array(z.string()) }),
});
export type OwnTrial = Readonly<z.infer<typeof trialNote>>;

const decision = z.object({ begun: z.string(), outcome: z.string() });
const lookEveryMs = 1000;

/**
 * Whether this program is on trial: the version that the updater put in place and has not decided to keep.
 * @param installedDir where a package put the program, `/opt/plantgate/gateway`; undefined: none did
 */
export function ownTrial(installedDir: string | undefined, version: string): OwnTrial | undefined {
  if (installedDir === undefined) return undefined;
  const noted = trialNote.safeParse(read(join(installedDir, "trial.json"))).data;
  if (noted?.version !== version) return undefined;
  const decided = decision.safeParse(read(join(installedDir, "last-upgrade.json"))).data;
  // one that is being taken back is on trial to its end: its last start must not close the way back
  return decided?.begun === noted.begun && decided.outcome === "kept" ? undefined : noted;
}

function read(file: string): unknown {
  try {
    return existsSync(file) ? parseJson(readFileSync(file, "utf8")) : undefined;
  } catch {
    // the updater's files never keep a gateway from its work
    return undefined;
  }
}

export interface TrialDeps {
  readonly dataDir: string;
  readonly condition: () => Condition;
  readonly clock: Clock;
  readonly log: Logger;
  /** It was well, or is not for so long that nothing waits for it any more. */
  readonly onSettled: () => void;
}

/**
 * Writes `healthy-VERSION` into the data folder once this version was well for the watch: where the updater died, the next start or the next
 * updater keeps it by that. The mark names the trial, so that it says nothing about another one.
 */
export async function noteWhenWell(
  trial: OwnTrial | undefined,
  { dataDir, condition, clock, log, onSettled }: TrialDeps,
  signal: AbortSignal,
): Promise<void> {
  for (const name of readdirSync(dataDir)) if (/^healthy-/.test(name)) rmSync(join(dataDir, name), { force: true });
  if (!trial) return;
  log.info({ event: "gateway.trial.began", version: trial.version }, "this version is on trial");
  await clock.sleep(trial.watchMs, signal);
  const until = clock.monotonic() + trial.watchMs;
  for (let waits = true; !signal.aborted; await clock.sleep(lookEveryMs, signal)) {
    if (waits && clock.monotonic() >= until) {
      waits = false;
      onSettled();
    }
    if (whatIsMissing(trial.before, condition()) !== undefined) continue;
    try {
      writeFlushed(join(dataDir, `healthy-${trial.version}`), Buffer.from(`${trial.begun}\n`));
    } catch (error) {
      if (!isNoRoom(error)) throw error;
      continue;
    }
    onSettled();
    return log.info({ event: "gateway.trial.passed", version: trial.version }, "this version was well for the time of its watch");
  }
}
