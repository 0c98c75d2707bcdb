import { type Clock, Scope, systemClock } from "../protocol/index.ts";
import { Alarms } from "./alert/alarms.ts";
import { Audit } from "./audit/audit.ts";
import { logHeads } from "./audit/heads.ts";
import { GatewayTokens } from "./auth/gateway-token.ts";
import { makePeople, type People } from "./auth/people.ts";
import { watchBackups } from "./backup/overdue.ts";
import { makeConfiguration } from "./configuration.ts";
import { Admissions } from "./http/admission.ts";
import { makeApp } from "./http/app.ts";
import { Calls } from "./http/calls.ts";
import { listen } from "./http/listen.ts";
import { Completeness } from "./ledger/completeness.ts";
import { Damage } from "./ledger/damage.ts";
import { Frames } from "./ledger/frames.ts";
import { Ingest } from "./ledger/ingest.ts";
import { OrderSearch } from "./ledger/order-search.ts";
import { Pages } from "./ledger/pages.ts";
import { Projector } from "./ledger/projector.ts";
import { Records } from "./ledger/records.ts";
import { Timeline } from "./ledger/timeline.ts";
import { Recovery } from "./recovery/recovery.ts";
import { Downlink } from "./router/downlink.ts";
import { Hints, ledgerHint } from "./router/hints.ts";
import { Routes } from "./router/routes.ts";
import { closeServer, makeServer, maxConnections } from "./server.ts";
import { type CentralSettings, centralSettings } from "./settings/schema.ts";
import { LiveOverview } from "./site/live-overview.ts";
import { Losses } from "./site/losses.ts";
import { Overview } from "./site/overview.ts";
import { Presence } from "./site/presence.ts";
import { SiteRegistry } from "./site/registry.ts";
import { Sessions } from "./site/sessions.ts";
import type { OpenDatabase } from "./storage/database.ts";
import { openFolder } from "./storage/folder.ts";
import { LedgerGate } from "./storage/gate.ts";
import { adoptIncarnation } from "./storage/incarnation.ts";
import { noNotices, openNotices } from "./storage/notices.ts";
import { describeDatabase } from "./storage/postgres.ts";
import { joinDatabase } from "./storage/replica.ts";
import { readSeen, watchLedger } from "./storage/seen.ts";
import { SharedCommits } from "./storage/shared-commits.ts";
import { SigningKeys } from "./storage/signing-keys.ts";
import { isOutage, openReading, openStorage, type StorageTarget } from "./storage/storage.ts";
import { type Logger, openLogger } from "./telemetry/logger.ts";
import { LoopLag } from "./telemetry/loop-lag.ts";

export { type CentralSettings, centralSettings };

export interface Central {
  readonly url: string;
  /** Rejects once another ledger is behind the database's name: it answers nothing more, and has to be started again. */
  readonly failed: Promise<never>;
  /** Ends polls with an answer, finishes the slice in work and gives the data folder free; safe to call twice. */
  stop(): Promise<void>;
}
/** What a test or another composition passes in instead of the real thing; and what this program is called. */
export interface CentralParts {
  readonly version?: string | undefined;
  readonly clock?: Clock;
  readonly log?: Logger;
  readonly openDatabase?: OpenDatabase;
  /** Called before anybody is told that it is up: whoever hears that may ask it to stop at once. */
  readonly beforeUp?: () => void;
}

const saveEveryMs = 2000;

/**
 * Starts the control plane; on return it takes requests.
 * @throws PlantgateError DATA_FOLDER_LOCKED, FORMAT_NEWER, DISK_FAILED, CONFIG_INVALID; PEER_UNREACHABLE when the database does not answer
 * or the address cannot be listened on
 */
export async function startCentral(settings: CentralSettings, parts: CentralParts = {}): Promise<Central> {
  const clock = parts.clock ?? systemClock;
  const log = parts.log ?? openLogger({ level: settings.logLevel });
  const scope = new Scope();
  const stopping = new AbortController();
  try {
    const folder = await openFolder(settings.dataDir);
    scope.defer("folder", async () => folder.release());
    const { identity } = folder;
    const { databaseUrl: url } = settings;
    const target: StorageTarget =
      url === undefined
        ? { kind: "sqlite", file: folder.ledgerFile, openDatabase: parts.openDatabase }
        : { kind: "postgres", url };
    const gate = new LedgerGate();
    const storage = await openStorage(target, gate);
    scope.defer("storage", () => storage.destroy());
    const reading = openReading(target, storage, gate);
    if (reading !== storage) scope.defer("storage for reading", () => reading.destroy());
    if (url !== undefined) await joinDatabase(storage, identity, log);
    const audit = new Audit(clock);
    const signing = folder.signingKey;
    const signingKeys = new SigningKeys({
      storage,
      signing,
      dataDir: settings.dataDir,
      place: identity.place,
      clock,
      audit,
      log,
    });
    await signingKeys.join({ anew: settings.newSigningKey });

    const commits = new SharedCommits(storage);
    const alarms = new Alarms({ clock, log });
    const known = { place: identity.place, seen: readSeen(settings.dataDir) };
    const seen = await adoptIncarnation(storage, known, alarms, clock.now());
    const { incarnation } = seen;
    gate.failed.catch((err: unknown) => log.error({ event: "ledger.replaced", err }, "central cannot go on with this ledger"));
    const registry = new SiteRegistry({ storage, clock });
    const presence = new Presence({ storage, commits, clock, alarms });
    const routes = new Routes(clock);
    const hints = new Hints();
    const frames = new Frames();
    const damage = new Damage({ storage, frames, alarms, clock });
    const siteChanged = (site: string): void => {
      hints.wake(site);
      notices.tell({ sites: [site] });
    };
    const configuration = makeConfiguration({
      version: parts.version ?? null,
      ...{ settings, storage, reading, signing, registry, presence, audit, alarms, hints, clock, log, siteChanged, scope },
    });
    const { revisions, secretSets, dryRuns } = configuration;
    const lag = new LoopLag();
    scope.defer("loop lag", async () => lag.stop());
    const admissions = new Admissions({ clock, load: () => ({ batchMs: ingest.batchMs, lagMs: lag.ms }) });
    const calls = new Calls();
    const projector = new Projector({
      storage,
      frames,
      routes,
      hints,
      alarms,
      clock,
      log,
      pressed: () => admissions.pressed || calls.pressed,
      projected: (sites) => notices.tell({ ledger: true, sites: [...sites] }),
    });
    const ingest = new Ingest({
      storage,
      clock,
      alarms,
      maxBacklog: settings.maxBacklogMessages,
      recorded: (lanes) => {
        projector.wake(lanes);
        notices.tell({ lanes });
      },
    });
    const notices =
      url === undefined
        ? noNotices
        : openNotices({ storage, url, clock, log }, (heard) => {
            if (heard === "everything") {
              projector.wake();
              ingest.lookAgain();
              hints.wakeEverybody();
              return;
            }
            const { lanes = [], sites = [], ledger } = heard;
            if (lanes.length > 0) {
              projector.wake(lanes);
              ingest.lookAgain();
            }
            hints.wakeAll(sites);
            if (ledger) hints.wake(ledgerHint);
          });
    scope.defer("notices", () => notices.stop());
    const overview = new Overview({
      storage: reading,
      registry: new SiteRegistry({ storage: reading, clock }),
      presence,
      clock,
      leaseSeconds: settings.leaseSeconds,
    });
    const losses = new Losses({ storage, frames, damage, alarms, audit, clock });
    const people = makePeople({ storage, clock, audit, adminToken: identity.adminToken });
    const app = makeApp({
      ...people,
      ...configuration,
      audit,
      auditStorage: reading,
      trustedProxies: settings.trustedProxies,
      identity,
      version: parts.version,
      incarnation,
      leaseSeconds: settings.leaseSeconds,
      recoveryPointSeconds: settings.recoveryPointSeconds,
      consoleDir: settings.consoleDir,
      clock,
      log,
      registry,
      presence,
      tokens: new GatewayTokens({ registry, clock }),
      signing,
      signingKeys,
      sessions: new Sessions({ storage, commits, clock, alarms }),
      ingest,
      reading,
      losses,
      downlink: new Downlink({ storage, frames, damage, registry, revisions, secretSets, hints, alarms, losses, dryRuns, clock }),
      overview,
      liveOverview: new LiveOverview({ overview, clock }),
      orders: new OrderSearch(reading),
      timeline: new Timeline({ storage: reading, frames, damage }),
      pages: new Pages({ storage: reading, frames, damage, hints, clock }),
      completeness: new Completeness(reading),
      records: new Records(reading),
      recovery: new Recovery({ storage: reading, clock }),
      dataDir: settings.dataDir,
      backupOverdueDays: settings.backupOverdueDays,
      admissions,
      calls,
      stopping: stopping.signal,
      siteChanged,
    });

    const projecting = projector.run(stopping.signal);
    const configuring = configuration.run(stopping.signal);
    const saving = savePresence(presence, clock, log, stopping.signal);
    const following = signingKeys.watch(stopping.signal);
    const watching = watchLedger({ storage, gate, dataDir: settings.dataDir, clock, log }, seen, stopping.signal);
    const { dataDir, backupOverdueDays: overdueDays } = settings;
    const backups = watchBackups({ storage, dataDir, overdueDays, alarms, clock, log }, stopping.signal);
    const noting = logHeads({ audit, storage: reading, clock, log }, stopping.signal);
    scope.defer("background work", async () => {
      stopping.abort();
      await Promise.all([projecting, configuring, saving, watching, backups, noting, following]);
    });
    const server = makeServer(app.fetch);
    const listening = await listen(server, { ...settings, maxConnections });
    scope.defer("http", () => {
      // open polls and event streams end with this signal, so that closing does not wait for them
      stopping.abort();
      return closeServer(server, listening);
    });
    const address = `http://${settings.host.includes(":") ? `[${settings.host}]` : settings.host}:${listening.port}`;
    await inviteFirst(people.signIn, address, log);
    // last: whoever reads it may stop this process, which from here on ends well
    parts.beforeUp?.();
    log.info(
      {
        event: "central.process.started",
        pid: process.pid,
        url: address,
        dataDir: settings.dataDir,
        database: url === undefined ? folder.ledgerFile : describeDatabase(url),
        incarnation,
        recoveryPointSeconds: settings.recoveryPointSeconds,
        leaseSeconds: settings.leaseSeconds,
        maxBacklogMessages: settings.maxBacklogMessages,
        maxReleasesMiB: settings.maxReleasesMiB,
        trustedProxies: settings.trustedProxies,
      },
      "central is up",
    );
    return { url: address, failed: gate.failed, stop: () => scope.stop() };
  } catch (error) {
    stopping.abort();
    await scope.stop().catch(() => {});
    throw error;
  }
}

async function savePresence(presence: Presence, clock: Clock, log: Logger, signal: AbortSignal): Promise<void> {
  // once more when it ends
  for (let last = false; !last; ) {
    await clock.sleep(saveEveryMs, signal);
    last = signal.aborted;
    await presence
      .save()
      .catch((err: unknown) => log.warn({ event: "presence.save.failed", err }, "last heard times were not saved"));
  }
}

/** While there is nobody who could sign in, whoever reads this log may become the first admin. */
async function inviteFirst(signIn: People["signIn"], address: string, log: Logger): Promise<void> {
  let code: string | undefined;
  try {
    code = await signIn.makeFirstLink();
  } catch (err) {
    if (!isOutage(err)) throw err;
    log.warn({ event: "central.firstLink.failed", err }, "the storage cannot write now: the first link is made at another start");
  }
  if (code === undefined) return;
  const url = new URL("/signin", address);
  url.searchParams.set("code", code);
  log.warn(
    { event: "central.firstLink.made", url: url.href },
    "nobody can sign in yet: open this link, once and within a day, to become admin and set a password",
  );
}
