import { copyFileSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Central, type CentralParts, startCentral } from "../../central/central.ts";
import { type CentralSettings, centralSettings } from "../../central/settings/schema.ts";
import { openLogger } from "../../central/telemetry/logger.ts";
import { createEmptyLedger, putEmptyLedger } from "./empty-ledger.ts";
import { generateGatewayKey, TestGateway } from "./gateway-client.ts";
import type { TestDatabase } from "./postgres.ts";
import type { StorageKind } from "./storages.ts";

/** A central on a free port and a folder of its own; `restart` keeps the folder. */
export interface TestCentral extends AsyncDisposable {
  readonly url: string;
  readonly dataDir: string;
  /** Its PostgreSQL database, where it has one. */
  readonly database: TestDatabase | undefined;
  readonly adminToken: string;
  /** Rejects once it has to be started again. */
  readonly failed: Promise<never>;
  /** A call with the admin token. */
  admin<Answer = Record<string, unknown>>(
    method: string,
    path: string,
    body?: unknown,
  ): Promise<{ status: number; body: Answer }>;
  /** Adds a site; its gateway has not said hello yet. It calls this central, or whichever of its replicas `url` names. */
  addSite(name: string, url?: () => string): Promise<TestGateway>;
  restart(parts?: CentralParts): Promise<void>;
  /** Another process's worth of central on the same database, with the same keys. */
  replica(parts?: CentralParts): Promise<TestCentral>;
  stop(): Promise<void>;
}

export interface TestCentralOptions {
  readonly storage?: StorageKind;
  readonly parts?: CentralParts;
  readonly settings?: Partial<CentralSettings>;
  readonly leaseSeconds?: number;
  /** Kept when the test ends. */
  readonly dataDir?: string;
  readonly consoleDir?: string;
  /** Kept when the test ends; else `storage: "postgres"` gets a database of its own. */
  readonly database?: TestDatabase;
}

export async function startTestCentral(options: TestCentralOptions = {}): Promise<TestCentral> {
  const dataDir = options.dataDir ?? mkdtempSync(join(tmpdir(), "plantgate-central-"));
  const database = options.database ?? (options.storage === "postgres" ? await createEmptyLedger() : undefined);
  // what a test kept goes on with what it has
  if (database === undefined && options.dataDir === undefined) await putEmptyLedger(join(dataDir, "ledger.db"));
  const log = openLogger({ level: process.env.PLANTGATE_TEST_LOG ?? "silent" });
  const settings = centralSettings.parse({
    dataDir,
    port: 0,
    leaseSeconds: options.leaseSeconds ?? 15,
    consoleDir: options.consoleDir,
    databaseUrl: database?.url,
    ...options.settings,
  });
  let running: Central = await startCentral(settings, { log, ...options.parts });
  const test: TestCentral = {
    get url() {
      return running.url;
    },
    dataDir,
    database,
    get adminToken() {
      return readFileSync(join(dataDir, "admin.token"), "utf8").trim();
    },
    get failed() {
      return running.failed;
    },
    async admin(method, path, body) {
      const answer = await fetch(running.url + path, {
        method,
        headers: {
          authorization: `Bearer ${test.adminToken}`,
          ...(body === undefined ? {} : { "content-type": "application/json" }),
        },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      });
      return { status: answer.status, body: (await answer.json()) as never };
    },
    async addSite(name, url = () => running.url) {
      const key = await generateGatewayKey();
      const added = await test.admin("POST", "/v1/sites", { name, publicKey: key.publicKey });
      if (added.status !== 201) throw new Error(`site ${name} was not added: ${JSON.stringify(added.body)}`);
      return new TestGateway({ url, site: name, privateKey: key.privateKey });
    },
    async restart(parts) {
      await running.stop();
      running = await startCentral(settings, { log, ...parts });
    },
    async replica(parts) {
      if (!database) throw new Error("only centrals on a database have replicas");
      const own = mkdtempSync(join(tmpdir(), "plantgate-replica-"));
      for (const file of ["admin.token", "signing-key.json"]) copyFileSync(join(dataDir, file), join(own, file));
      const started = await startTestCentral({ ...options, dataDir: own, database, ...(parts ? { parts } : {}) });
      return Object.assign(started, {
        async [Symbol.asyncDispose]() {
          await started.stop();
          rmSync(own, { recursive: true, force: true });
        },
      });
    },
    stop: () => running.stop(),
    async [Symbol.asyncDispose]() {
      await running.stop();
      if (options.database === undefined) await database?.[Symbol.asyncDispose]();
      if (options.dataDir === undefined) rmSync(dataDir, { recursive: true, force: true });
    },
  };
  return test;
}

/** Asks again until the answer holds, and fails with the last answer at the deadline. */
export async function eventually<Value>(
  ask: () => Promise<Value>,
  holds: (value: Value) => boolean,
  deadlineMs = 120_000,
  longestPauseMs = 100,
): Promise<Value> {
  const deadline = performance.now() + deadlineMs;
  for (let pauseMs = 20; ; pauseMs = Math.min(pauseMs * 1.5, longestPauseMs)) {
    const value = await ask();
    if (holds(value)) return value;
    if (performance.now() > deadline)
      throw new Error(`not reached in ${deadlineMs} ms; last seen: ${JSON.stringify(value)?.slice(0, 2000)}`);
    await new Promise((resolve) => setTimeout(resolve, pauseMs));
  }
}
