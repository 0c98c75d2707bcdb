import { type Clock, type Scope, systemClock } from "../protocol/index.ts";
import type { Alarms } from "./alert/alarms.ts";
import type { Audit } from "./audit/audit.ts";
import { Changes } from "./change/changes.ts";
import { ChangeDiffs } from "./change/diff.ts";
import { Judge } from "./change/judged.ts";
import { reviewRule } from "./change/review-rule.ts";
import { ChangeViews } from "./change/view.ts";
import { Effective } from "./document/effective.ts";
import { Renderer } from "./document/renderer.ts";
import { Revisions } from "./document/revisions.ts";
import { DocumentStore } from "./document/store.ts";
import { DryRuns } from "./rehearsal/dry-runs.ts";
import { ShadowReports } from "./rehearsal/shadow-reports.ts";
import { Packages } from "./release/packages.ts";
import { diskOf } from "./release/room.ts";
import { RolloutEngine, rolloutHint } from "./rollout/engine.ts";
import { Rollouts } from "./rollout/rollouts.ts";
import type { Hints } from "./router/hints.ts";
import { Keyring } from "./secret/keyring.ts";
import { SecretSets, sealKeyOf } from "./secret/sets.ts";
import { Vault } from "./secret/vault.ts";
import { watchSecrets } from "./secret/watch.ts";
import type { CentralSettings } from "./settings/schema.ts";
import { Enrollment } from "./site/enrollment.ts";
import { GatewayKeys } from "./site/keys.ts";
import type { Presence } from "./site/presence.ts";
import type { SiteRegistry } from "./site/registry.ts";
import { SiteFiles } from "./site/site-file.ts";
import { isPostgres } from "./storage/dialect.ts";
import { type SigningKey, sign } from "./storage/signing-key.ts";
import type { Storage } from "./storage/storage.ts";
import type { Logger } from "./telemetry/logger.ts";

export interface ConfigurationDeps {
  readonly settings: Pick<CentralSettings, "dataDir" | "leaseSeconds" | "maxReleasesMiB">;
  /** Of this program. */
  readonly version: string | null;
  readonly storage: Storage;
  /** For what is only read. */
  readonly reading: Storage;
  readonly signing: SigningKey;
  readonly registry: SiteRegistry;
  readonly presence: Presence;
  readonly audit: Audit;
  readonly alarms: Alarms;
  readonly hints: Hints;
  readonly clock: Clock;
  readonly log: Logger;
  readonly siteChanged: (site: string) => void;
  readonly scope: Scope;
}

/** Puts together what gives sites their configuration: documents, changes, rollouts, secrets, keys and rehearsals. A part of the composition root. */
export function makeConfiguration(deps: ConfigurationDeps) {
  const { settings, storage, reading, signing, registry, presence, audit, alarms, hints, clock, log, siteChanged, scope } = deps;
  const documents = new DocumentStore(clock);
  // what a thread may take is counted in the machine's time, whatever time central lives by
  const renderer = new Renderer({ clock: systemClock });
  scope.defer("renderer", () => renderer.stop());
  const revisions = new Revisions({
    ...{ storage, clock, signing, renderer, audit },
    reviewOf: (db, environment) => reviewRule(db, documents, environment),
  });
  const judge = new Judge({ storage, documents, renderer });
  const rollouts = new Rollouts({
    ...{ storage, clock, audit, alarms, presence, revisions, siteChanged, leaseSeconds: settings.leaseSeconds },
    // each hands over to the other
    changes: { plan: (number) => changes.plan(number), ended: (...ending) => changes.ended(...ending) },
    wake: () => hints.wake(rolloutHint),
  });
  const changes: Changes = new Changes({ storage, clock, audit, documents, renderer, judge, rollouts });
  const engine = new RolloutEngine({ storage, clock, log, alarms, hints, rollouts, revisions, changes });
  const vault = new Vault({ storage, keyring: Keyring.open(settings.dataDir), audit, clock });
  const secretSets = new SecretSets({ ...{ storage, vault, clock, log, sealKeyOf }, sign: (payload) => sign(signing, payload) });
  const keys = new GatewayKeys({ storage, clock, audit });
  const contents = {
    bundle: async (site: string) => (await revisions.find(site, (await revisions.desired(site)).revision)) ?? null,
    secrets: async (site: string) => {
      const row = await registry.find(site);
      return (row && (await secretSets.fetch(row))?.jws) ?? null;
    },
  };
  return {
    documents,
    renderer,
    revisions,
    changes,
    changeViews: new ChangeViews({ storage, documents, changes, judge }),
    changeDiffs: new ChangeDiffs({ storage, documents, revisions, renderer, changes, judge }),
    effective: new Effective({ storage: reading, documents, renderer }),
    rollouts,
    packages: new Packages({
      ...{ storage, clock, audit, version: deps.version, mostBytes: settings.maxReleasesMiB * 1024 ** 2 },
      disk: isPostgres(storage) ? undefined : () => diskOf(settings.dataDir),
    }),
    vault,
    secretSets,
    secretsChanged: () => hints.wakeEverybody(),
    keys,
    enrollment: new Enrollment({ storage, clock, audit, keys, signing }),
    siteFiles: new SiteFiles({ storage, clock, audit, keys, signing, ...contents }),
    dryRuns: new DryRuns({ storage, clock, audit, signing }),
    shadowReports: new ShadowReports({ storage, clock }),
    /** Drives rollouts, retires replaced keys and warns of secrets, until the signal aborts. */
    run: async (signal: AbortSignal): Promise<void> => {
      await Promise.all([
        engine.run(signal),
        retireKeys(keys, clock, log, signal),
        watchSecrets({ storage, vault, alarms, clock, log }, signal),
      ]);
    },
  };
}

const retireEveryMs = 10_000;

/** A key whose overlap is over is refused by itself; here that is noted. */
async function retireKeys(keys: GatewayKeys, clock: Clock, log: Logger, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    await keys
      .retire()
      .catch((err: unknown) => log.debug({ event: "keys.retire.failed", err }, "replaced keys are looked at again"));
    await clock.sleep(retireEveryMs, signal);
  }
}
