import { chmodSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import {
  type Bundle,
  defaultQueuePolicy,
  describeError,
  type KeyNotice,
  lanes,
  PlantgateError,
  Scope,
  systemClock,
} from "../protocol/index.ts";
import { Agent } from "./agent/agent.ts";
import { Configuration } from "./agent/configuration.ts";
import { AgentDocuments } from "./agent/documents.ts";
import { FenceMark } from "./agent/fence.ts";
import type { Vitals } from "./agent/watch.ts";
import { ConnectorHost } from "./connector/host.ts";
import { connectorKinds } from "./connector/kinds.ts";
import { Attempts } from "./delivery/attempt.ts";
import { Decisions } from "./delivery/decisions.ts";
import { Dispatcher } from "./delivery/dispatch.ts";
import { Expectations } from "./delivery/expectations.ts";
import { Changeover } from "./flow/changeover.ts";
import { Intake } from "./flow/intake.ts";
import { openMapping } from "./flow/mapping.ts";
import { openListener } from "./http/listener.ts";
import { keepLocalAccess, localRoutes, localToken } from "./http/local-routes.ts";
import { conditionOf, healthView, type Shown, statusView } from "./http/views.ts";
import { CentralKeys } from "./identity/central-keys.ts";
import { lockFolder } from "./identity/folder-lock.ts";
import { Identity, readCentralKey } from "./identity/identity.ts";
import { KeyRotation } from "./identity/rotation.ts";
import { runDownlink } from "./link/downlink.ts";
import { LaneShares, weightsOf } from "./link/lane-shares.ts";
import { LinkLimits } from "./link/link-limits.ts";
import { LinkProgress } from "./link/progress.ts";
import { Session } from "./link/session.ts";
import { runStatus } from "./link/status.ts";
import { Transport } from "./link/transport.ts";
import { runUplink } from "./link/uplink.ts";
import { readMovedIn } from "./move/marks.ts";
import type { LaneDepth } from "./queue/change.ts";
import { lastRun } from "./queue/last-run.ts";
import { Queue } from "./queue/queue.ts";
import { queueFile } from "./queue/read.ts";
import { DryRuns } from "./rehearsal/dry-runs.ts";
import { Rehearsal } from "./rehearsal/rehearsal.ts";
import { runShadowReports } from "./rehearsal/shadow-reports.ts";
import { ReleaseFollower } from "./release/follow.ts";
import { findMachine } from "./release/machine.ts";
import { SecretFollower } from "./secret/follow.ts";
import { SecretStore } from "./secret/secret-store.ts";
import { readDial } from "./settings/dial.ts";
import type { GatewaySettings } from "./settings/schema.ts";
import { openLogger } from "./telemetry/logger.ts";
import { logNotice } from "./telemetry/queue-notice.ts";
import { noteWhenWell, ownTrial } from "./upgrade/trial.ts";
import { version } from "./version.ts";

/**
 * The longest that deliveries wait at a start for central's word. Where the folder may be a copy of one that is in use elsewhere, for as long as the network of
 * a machine takes that was just switched on; a gateway that ran here since this machine came up is none, and goes on sooner (P5, ADR 0123).
 */
const firstWordMs = { none: 0, here: 3000, elsewhere: 30_000 };

export interface RunningGateway {
  /** Address of the local listener. */
  readonly url: string;
  /** Settles when the gateway has to end: rejects with what went wrong. */
  readonly failed: Promise<never>;
  /** Resolves once the queue's worker has answered: the way that every message takes is open. */
  alive(): Promise<void>;
  stop(): Promise<void>;
}

/** Builds and starts one gateway: the only place where its parts are put together. */
export async function startGateway(settings: GatewaySettings): Promise<RunningGateway> {
  const { site, dataDir } = settings;
  const clock = systemClock;
  const startedAt = clock.now();
  const log = openLogger({ level: settings.logLevel, site });
  const stopping = new AbortController();
  const { signal } = stopping;
  const failure = Promise.withResolvers<never>();
  failure.promise.catch(() => {});
  const scope = new Scope();
  try {
    mkdirSync(join(dataDir, "secrets"), { recursive: true, mode: 0o700 });
    chmodSync(dataDir, 0o700);
    const unlock = lockFolder(dataDir);
    scope.defer("folder lock", async () => unlock());
    const identity = Identity.open(dataDir);
    // secrets and keys on disk are judged before there is a session, while nobody has heard of central's time
    let begun: Session | undefined;
    const centralNow = (): number | undefined => begun?.centralNow();
    const centralKeys = CentralKeys.open({
      dataDir,
      handedOver: settings.centralKeyFile === undefined ? undefined : readCentralKey(settings.centralKeyFile),
      fetchChain: async () => {
        const answer = await transport.send(
          { method: "GET", path: "/v1/signing-keys", silenceMs: 15_000, longestMs: 60_000 },
          signal,
        );
        return answer.kind === "ok" ? answer.body : undefined;
      },
      centralNow,
    });

    const trial = ownTrial(settings.installedDir, version);
    const mostMs = firstWordMs[lastRun(queueFile(dataDir))];
    const queue = await Queue.open({
      path: queueFile(dataDir),
      site,
      onTrial: trial !== undefined,
      onFailure: (error) => failure.reject(error),
      onNotice: (notice) => logNotice(log, notice),
    });
    scope.defer("queue", () => queue.close());
    const mapping = openMapping({ site, clock, log });
    scope.defer("mapping", () => mapping.stop());
    const rehearsal = new Rehearsal({ dataDir, openMapping: () => openMapping({ site, clock, log }), clock, log });
    scope.defer("rehearsal", () => rehearsal.stop());
    const documents = await AgentDocuments.open(join(dataDir, "agent.db"));
    if (documents.setAside !== undefined) {
      log.error(
        { event: "agent.documents.setAside", file: documents.setAside },
        "the configuration on disk could not be read and was set aside: the gateway takes in nothing until central sends it again",
      );
    }
    const fence = FenceMark.open(join(dataDir, "fenced"));
    const remembered = await fence.takeFrom(documents);
    if (settings.unfence) fence.clear();
    const fencedBefore = fence.reason;

    const secrets = await SecretStore.open({
      ...{ site, dataDir, credentialsDir: settings.credentialsDir, clock, log },
      centralKeys,
      sealingKeys: () => identity.sealingKeys,
      centralNow,
    });
    const progress = new LinkProgress(clock, log);
    const expectations = new Expectations(mapping, log, clock);
    const changeover = new Changeover();
    const intake = new Intake({ site, queue, mapping, answers: expectations, changeover, observer: rehearsal, clock, log });
    const attempts = new Attempts({ site, queue, mapping, expectations, changeover, clock, log, centralNow });
    const token = localToken(dataDir);
    const listener = await openListener({
      host: settings.host,
      port: settings.port,
      log,
      health: () => healthView(shown),
      routes: localRoutes({
        token,
        decisions: () => decisions,
        shadow: () => rehearsal.shadowViews(),
        status: () => statusView(shown),
      }),
    });
    scope.defer("listener", () => listener.close());
    const localAccess = keepLocalAccess(dataDir, { url: listener.url, token }, { clock, log }, signal);
    localAccess.catch(() => {});
    const host = new ConnectorHost({
      site,
      dataDir,
      secrets,
      kinds: connectorKinds,
      queue,
      intake,
      attempts,
      expectations,
      webhooks: listener.host,
      // nor before central had its say; a gateway that is stopped while it waits for that has not heard it
      inOrder: async () => {
        await Promise.all([dispatcher.caughtUp, session.firstWord(mostMs, signal)]);
        return !signal.aborted;
      },
      clock,
      log,
    });
    const decisions = new Decisions({ site, queue, clock, log, ring: (names) => host.ring(names) });
    const dispatcher = new Dispatcher({
      queue,
      mapping,
      clock,
      log,
      observer: rehearsal,
      configurationSettled: (until) => agent.settled(until),
      onDeliveries: (connectors) => host.ring(connectors),
    });

    const dial = readDial(settings);
    const transport = new Transport({ site, centralUrl: settings.centralUrl, keys: identity, clock, dial });
    scope.defer("connections to central", async () => transport.close());
    const onFenced = async (reason: string): Promise<void> => {
      await Promise.all([host.pauseDeliveries(), fence.keep(reason, { clock, log }, signal)]);
    };
    const beforeHello = () => rotation.leave((request) => transport.send(request, signal));
    const session = new Session({ site, version, transport, queue, clock, log, onFenced, beforeHello }, fencedBefore);
    begun = session;
    const shares = new LaneShares(weightsOf(defaultQueuePolicy), clock);
    const limits = new LinkLimits(shares);
    const leftBehind = new Set(readMovedIn(dataDir)?.leftBehind);
    const rotation = new KeyRotation({ site, identity, leftBehind, centralKeys, session, clock, log });
    const logLevel = { configure: ({ logLevel: level }: Bundle): void => log.setLevel(level) };
    const lanePolicy = async ({ queue: policy = defaultQueuePolicy }: Bundle): Promise<void> => {
      await queue.configure(policy);
      shares.configure(weightsOf(policy));
    };
    const configuration = new Configuration({
      parts: [mapping, { configure: lanePolicy }, limits, rotation, logLevel, intake, attempts, expectations, rehearsal],
      host,
      dispatcher,
      changeover,
      log,
      onSettled: (is) => listener.settled(is),
    });
    const onChanged = (): Promise<void> => configuration.refresh();
    const secretFollower = new SecretFollower({ site, store: secrets, session, clock, log, onChanged });
    const apply = async (next: Bundle): Promise<void> => {
      // what it names may have been announced with it
      await secretFollower.settled(signal);
      await configuration.apply(next);
    };
    const restore = (stored: Bundle, instead: boolean): Promise<void> => configuration.restore(stored, instead);
    const vitals = (): Vitals => ({ connectors: host.reports(), tallies: [...intake.tallies, ...attempts.tallies] });
    const known = { site, version, centralKeys };
    const agent = new Agent({ ...known, documents, session, clock, log, vitals, apply, restore }, remembered);
    const shown: Shown = {
      ...{ settings, startedAt, progress, centralNow: () => transport.centralNow() },
      link: () => session.state,
      fingerprint: () => identity.fingerprint,
      connectors: () => host.reports(),
      configuration: () => agent.report,
    };
    if (fencedBefore !== undefined) {
      log.error(
        { event: "gateway.start.fenced", reason: fencedBefore },
        "this gateway was fenced: it takes in, but does not speak to central or deliver until a person decides",
      );
      await host.pauseDeliveries();
    }
    if (trial) agent.hold();
    await agent.resume();
    scope.defer("configuration agent", () => agent.stop());
    scope.defer("connectors", () => {
      listener.settled(false);
      return host.stop();
    });
    scope.defer("intake", async () => intake.stop());

    const releases = new ReleaseFollower({
      ...{ site, version, dataDir, session, transport, clock, log },
      machine: findMachine(settings.installedDir, dataDir),
      disk: () => queue.disk(),
      isBehind: async () => (await queue.depth()).lanes.some(isBehind),
      bytesPerSecond: () => limits.bytesPerSecond,
    });
    const status = {
      site,
      version,
      startedAt,
      queue,
      session,
      clock,
      log,
      connectors: () => host.reports(),
      release: () => releases.report,
      configuration: () => ({ ...agent.report, ...(secrets.set === "" ? {} : { secrets: secrets.set }) }),
      repeats: () => intake.repeats,
      progress,
      onKeys: (notice: KeyNotice) => rotation.noticed(notice),
      ofUnknownAge: () => attempts.ofUnknownAge,
      expired: () => attempts.expired,
    };
    const uplink = { site, queue, session, shares, limits, progress, clock, log };
    const dryRuns = new DryRuns({
      ...{ site, session, clock, log },
      verify: (jws) => centralKeys.verify(jws, "central"),
      active: () => rehearsal.bundle,
      inputs: (messages) => rehearsal.inputs(messages),
    });
    const loops = [
      localAccess,
      session.run(signal),
      noteWhenWell(trial, { dataDir, condition: () => conditionOf(shown), clock, log, onSettled: () => agent.release() }, signal),
      dispatcher.run(signal),
      agent.run(signal),
      secretFollower.run(signal),
      releases.run(signal),
      rotation.run(signal),
      ...lanes.map((lane) => runUplink(uplink, lane, signal)),
      runDownlink(
        {
          ...{ site, queue, session, progress, clock, log },
          knownRevision: () => agent.desired,
          knownSecrets: () => secretFollower.known,
          knownRelease: () => releases.known,
          onDesired: (desired) => {
            secretFollower.want(desired.secrets);
            releases.want(desired.release);
            agent.want(desired);
          },
          onAsks: (asks) => dryRuns.want(asks.map(({ id }) => id)),
        },
        signal,
      ),
      runStatus(status, signal),
      rehearsal.run(signal),
      dryRuns.run(signal),
      runShadowReports(
        { site, session, report: () => rehearsal.shadowReport(), hadShadow: rehearsal.hadShadow, clock, log },
        signal,
      ),
    ].map((loop) => loop.catch((error: unknown) => (signal.aborted ? undefined : failure.reject(error))));
    scope.defer("loops", async () => {
      stopping.abort();
      await Promise.all(loops);
    });
    log.info(
      { event: "gateway.process.started", pid: process.pid, version, fingerprint: identity.fingerprint, listener: listener.url },
      "gateway runs",
    );
    return { url: listener.url, failed: failure.promise, alive: async () => void (await queue.disk()), stop: () => scope.stop() };
  } catch (error) {
    stopping.abort();
    await scope
      .stop()
      .catch((cause: unknown) =>
        log.error({ event: "gateway.stop.failed", reason: describeError(cause) }, "stopping after a failed start failed"),
      );
    throw error instanceof PlantgateError
      ? error
      : new PlantgateError("INVARIANT", "the gateway could not start", { cause: error });
  }
}

/** Whether transactions wait for central. */
function isBehind({ lane, last, acknowledged }: LaneDepth): boolean {
  return lane === "transaction" && last > acknowledged;
}
