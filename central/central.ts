import type { AddressInfo } from "node:net";
import { type ServerType, serve } from "@hono/node-server";
import { type Clock, PlantgateError, Scope, systemClock } from "../protocol/index.ts";
import { GatewayTokens } from "./auth/gateway-token.ts";
import { Operators } from "./auth/operators.ts";
import { Revisions } from "./document/revisions.ts";
import { makeApp } from "./http/app.ts";
import { ByteBudget } from "./http/byte-budget.ts";
import { Ingest } from "./ledger/ingest.ts";
import { Projector } from "./ledger/projector.ts";
import { Records } from "./ledger/records.ts";
import { Timeline } from "./ledger/timeline.ts";
import { Downlink } from "./router/downlink.ts";
import { Hints } from "./router/hints.ts";
import { Routes } from "./router/routes.ts";
import { type CentralSettings, centralSettings } from "./settings/schema.ts";
import { Overview } from "./site/overview.ts";
import { Presence } from "./site/presence.ts";
import { SiteRegistry } from "./site/registry.ts";
import { Sessions } from "./site/sessions.ts";
import type { OpenDatabase } from "./storage/database.ts";
import { openFolder } from "./storage/folder.ts";
import { adoptIncarnation } from "./storage/incarnation.ts";
import { openStorage } from "./storage/storage.ts";
import { type Logger, openLogger } from "./telemetry/logger.ts";

export { type CentralSettings, centralSettings };

export interface Central {
  readonly url: string;
  /** Ends polls with an answer, finishes the slice in work and gives the data folder free; safe to call twice. */
  stop(): Promise<void>;
}
/** What a test or another composition passes in instead of the real thing. */
export interface CentralParts {
  readonly clock?: Clock;
  readonly log?: Logger;
  readonly openDatabase?: OpenDatabase;
}

/** Bodies of batches that are in memory at once, by their announced length. */
const bodyBudgetBytes = 64 * 1024 * 1024;
const saveEveryMs = 5000;
/** A request that does not arrive whole by then gives its share of the budget back; answers may take longer. */
const requestTimeoutMs = 30_000;

/**
 * Starts the control plane; on return it takes requests.
 * @throws PlantgateError DATA_FOLDER_LOCKED, FORMAT_NEWER, DISK_FAILED; PEER_UNREACHABLE when the address cannot be listened on
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
    const storage = await openStorage(folder.ledgerFile, parts.openDatabase);
    scope.defer("storage", () => storage.destroy());

    if (await adoptIncarnation(storage, identity.incarnation)) {
      log.warn(
        { event: "central.ledger.restored", incarnation: identity.incarnation },
        "the ledger was restored: downlinks begin new epochs",
      );
    }
    const registry = new SiteRegistry({ storage, clock });
    const presence = new Presence({ storage, clock });
    const routes = new Routes(storage);
    await routes.load();
    const hints = new Hints();
    const revisions = new Revisions({ storage, clock, signing: identity.signing });
    const projector = new Projector({ storage, routes, hints, clock, log });
    const app = makeApp({
      identity,
      incarnation: identity.incarnation,
      leaseSeconds: settings.leaseSeconds,
      recoveryPointSeconds: settings.recoveryPointSeconds,
      consoleDir: settings.consoleDir,
      clock,
      log,
      hints,
      registry,
      presence,
      revisions,
      tokens: new GatewayTokens({ registry, clock }),
      operators: new Operators({ storage, clock, adminToken: identity.adminToken }),
      sessions: new Sessions({ storage, clock }),
      ingest: new Ingest({ storage, clock }),
      downlink: new Downlink({ storage, registry, revisions, hints, clock, log }),
      overview: new Overview({ storage, registry, presence, clock, leaseSeconds: settings.leaseSeconds }),
      timeline: new Timeline(storage),
      records: new Records(storage),
      budget: new ByteBudget(bodyBudgetBytes),
      stopping: stopping.signal,
      recorded: () => projector.wake(),
      revisionReported: () => routes.load(),
      siteChanged: async (site) => {
        await routes.load();
        hints.wake(site);
      },
    });

    const projecting = projector.run(stopping.signal);
    const saving = savePresence(presence, clock, log, stopping.signal);
    scope.defer("background work", async () => {
      stopping.abort();
      await Promise.all([projecting, saving]);
      await presence.save();
    });
    const server = await listen(app.fetch, settings);
    scope.defer("http", () => {
      // open polls and event streams end with this signal, so that closing does not wait for them
      stopping.abort();
      return close(server);
    });
    const { port } = server.address() as AddressInfo;
    const url = `http://${settings.host.includes(":") ? `[${settings.host}]` : settings.host}:${port}`;
    log.info(
      { event: "central.process.started", pid: process.pid, url, dataDir: settings.dataDir, incarnation: identity.incarnation },
      "central is up",
    );
    return { url, stop: () => scope.stop() };
  } catch (error) {
    stopping.abort();
    await scope.stop().catch(() => {});
    throw error;
  }
}

async function savePresence(presence: Presence, clock: Clock, log: Logger, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    await clock.sleep(saveEveryMs, signal);
    await presence
      .save()
      .catch((err: unknown) => log.warn({ event: "presence.save.failed", err }, "last heard times were not saved"));
  }
}

function listen(fetch: Parameters<typeof serve>[0]["fetch"], settings: CentralSettings): Promise<ServerType> {
  return new Promise((resolve, reject) => {
    const server = serve(
      {
        fetch,
        hostname: settings.host,
        port: settings.port,
        serverOptions: { requestTimeout: requestTimeoutMs, headersTimeout: 10_000, connectionsCheckingInterval: 5000 },
      },
      () => resolve(server),
    );
    server.once("error", (cause) => {
      reject(new PlantgateError("PEER_UNREACHABLE", `cannot listen on ${settings.host}:${settings.port}`, { cause }));
    });
  });
}

const closeGraceMs = 2000;
const closeLookMs = 20;

/** Connections close as their answers are out; what still runs after the grace is cut. */
function close(server: ServerType): Promise<void> {
  return new Promise((resolve) => {
    const idle = setInterval(() => "closeIdleConnections" in server && server.closeIdleConnections(), closeLookMs);
    const forced = setTimeout(() => "closeAllConnections" in server && server.closeAllConnections(), closeGraceMs);
    server.close(() => {
      clearInterval(idle);
      clearTimeout(forced);
      resolve();
    });
  });
}
