import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Central, type CentralParts, startCentral } from "../../central/central.ts";
import { centralSettings } from "../../central/settings/schema.ts";
import { openLogger } from "../../central/telemetry/logger.ts";
import { generateGatewayKey, TestGateway } from "./gateway-client.ts";

/** A central on a free port and a folder of its own; `restart` keeps the folder. */
export interface TestCentral extends AsyncDisposable {
  readonly url: string;
  readonly dataDir: string;
  readonly adminToken: string;
  /** A call with the admin token. */
  admin<Answer = Record<string, unknown>>(
    method: string,
    path: string,
    body?: unknown,
  ): Promise<{ status: number; body: Answer }>;
  /** Adds a site; its gateway has not said hello yet. */
  addSite(name: string): Promise<TestGateway>;
  restart(parts?: CentralParts): Promise<void>;
  stop(): Promise<void>;
}

export async function startTestCentral(
  options: { parts?: CentralParts; leaseSeconds?: number; dataDir?: string; consoleDir?: string } = {},
): Promise<TestCentral> {
  const dataDir = options.dataDir ?? mkdtempSync(join(tmpdir(), "plantgate-central-"));
  const log = openLogger({ level: process.env.PLANTGATE_TEST_LOG ?? "silent" });
  const settings = centralSettings.parse({
    dataDir,
    port: 0,
    leaseSeconds: options.leaseSeconds ?? 15,
    consoleDir: options.consoleDir,
  });
  let running: Central = await startCentral(settings, { log, ...options.parts });
  const test: TestCentral = {
    get url() {
      return running.url;
    },
    dataDir,
    get adminToken() {
      return readFileSync(join(dataDir, "admin.token"), "utf8").trim();
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
    async addSite(name) {
      const key = await generateGatewayKey();
      const added = await test.admin("POST", "/v1/sites", { name, publicKey: key.publicKey });
      if (added.status !== 201) throw new Error(`site ${name} was not added: ${JSON.stringify(added.body)}`);
      return new TestGateway({ url: () => running.url, site: name, privateKey: key.privateKey });
    },
    async restart(parts) {
      await running.stop();
      running = await startCentral(settings, { log, ...parts });
    },
    stop: () => running.stop(),
    async [Symbol.asyncDispose]() {
      await running.stop();
      if (options.dataDir === undefined) rmSync(dataDir, { recursive: true, force: true });
    },
  };
  return test;
}

/** Asks again until the answer holds, and fails with the last answer at the deadline. */
export async function eventually<Value>(
  ask: () => Promise<Value>,
  holds: (value: Value) => boolean,
  deadlineMs = 20_000,
): Promise<Value> {
  const deadline = performance.now() + deadlineMs;
  for (;;) {
    const value = await ask();
    if (holds(value)) return value;
    if (performance.now() > deadline)
      throw new Error(`not reached in ${deadlineMs} ms; last seen: ${JSON.stringify(value)?.slice(0, 2000)}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
