import { type EpochMs, type StatusReport, toInstant } from "../../protocol/index.ts";
import type { LinkProgress } from "../link/progress.ts";
import type { LinkState } from "../link/session.ts";
import type { GatewaySettings } from "../settings/schema.ts";
import { ownTrial } from "../upgrade/trial.ts";
import type { Condition } from "../upgrade/well.ts";
import { version } from "../version.ts";

/** Of a gateway that runs: what its views are made of. */
export interface Shown {
  readonly settings: GatewaySettings;
  readonly startedAt: EpochMs;
  readonly progress: LinkProgress;
  link(): LinkState;
  fingerprint(): string;
  /** By central's clock, as of its last answer and on from there by running time; undefined before the first. */
  centralNow(): EpochMs | undefined;
  connectors(): StatusReport["connectors"];
  configuration(): StatusReport["configuration"];
}

/** What `GET /health` answers, to whoever asks: names and states alone. */
export function healthView(shown: Shown): object {
  const { site, installedDir } = shown.settings;
  return {
    ...{ site, version, ...linkView(shown) },
    trial: ownTrial(installedDir, version) !== undefined,
    connectors: conditionOf(shown).connectors,
  };
}

/** What `GET /local/v1/status` answers, to whoever may read the data folder. No secret. */
export function statusView(shown: Shown): object {
  const now = shown.centralNow();
  return {
    ...{ site: shown.settings.site, version, pid: process.pid, node: process.versions.node },
    startedAt: toInstant(shown.startedAt),
    settings: settingsView(shown.settings),
    fingerprint: shown.fingerprint(),
    ...linkView(shown),
    ...(now === undefined ? {} : { centralTime: toInstant(now) }),
    connectors: shown.connectors(),
    configuration: shown.configuration(),
  };
}

export function conditionOf(shown: Shown): Condition {
  return { link: shown.link().kind, connectors: shown.connectors().map(({ name, state }) => ({ name, state })) };
}

/** Of the link: what it is, why, and what does not get through it. */
function linkView({ link, progress }: Shown): object {
  const state = link();
  return { link: state.kind, ...("reason" in state ? { reason: state.reason } : {}), stalled: progress.stalledWays() };
}

/** A proxy's address may hold a password. */
function settingsView({ proxy, unfence: _, ...settings }: GatewaySettings): object {
  if (proxy === undefined) return settings;
  const url = new URL(proxy);
  if (url.username !== "") url.username = "redacted";
  if (url.password !== "") url.password = "redacted";
  return { ...settings, proxy: url.href };
}
