import { mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import {
  type Bundle,
  type Clock,
  type ConnectorConfig,
  type ConnectorReport,
  describeError,
  PlantgateError,
  type SecretRef,
} from "../../protocol/index.ts";
import type { Attempts } from "../delivery/attempt.ts";
import type { Expectations } from "../delivery/expectations.ts";
import { Runner } from "../delivery/runner.ts";
import type { Intake } from "../flow/intake.ts";
import type { Queue } from "../queue/queue.ts";
import type { Logger } from "../telemetry/logger.ts";
import { Condition } from "./condition.ts";
import type { Connector, ConnectorDeps, WebhookHost } from "./connector.ts";
import type { ConnectorKinds } from "./kinds.ts";
import { wiringOf } from "./wiring.ts";

export interface HostDeps {
  readonly site: string;
  readonly dataDir: string;
  readonly kinds: ConnectorKinds;
  readonly queue: Queue;
  readonly intake: Intake;
  readonly attempts: Attempts;
  readonly expectations: Expectations;
  readonly webhooks: WebhookHost;
  readonly clock: Clock;
  readonly log: Logger;
}

interface Hosted {
  readonly connector: Connector;
  readonly runner: Runner;
  /** Configuration and wiring as text: what decides whether a new bundle changes this connector. */
  readonly identity: string;
  readonly stopping: AbortController;
}

/** Runs the connectors of the bundle in effect, each with its deliveries; a new bundle restarts only those that it changes. */
export class ConnectorHost {
  readonly #deps: HostDeps;
  readonly #hosted = new Map<string, Hosted>();
  #deliveriesPaused = false;

  constructor(deps: HostDeps) {
    this.#deps = deps;
  }

  reports(): ConnectorReport[] {
    return [...this.#hosted.values()].map(({ connector }) => connector.report());
  }

  /** New deliveries lie in the queue for these connectors. */
  ring(connectors: ReadonlySet<string>): void {
    for (const name of connectors) this.#hosted.get(name)?.runner.ring();
  }

  async apply(bundle: Bundle): Promise<void> {
    const wanted = new Map(
      Object.entries(bundle.connectors).map(([name, { config }]) => [name, JSON.stringify([config, wiringOf(bundle, name)])]),
    );
    const gone = [...this.#hosted].filter(([name, { identity }]) => wanted.get(name) !== identity);
    await Promise.all(gone.map(([name]) => this.#stopOne(name)));
    const fresh: Hosted[] = [];
    for (const [name, identity] of wanted) {
      if (this.#hosted.has(name)) continue;
      const hosted = await this.#make(bundle, name, identity);
      this.#hosted.set(name, hosted);
      fresh.push(hosted);
    }
    // deliveries that await an answer are known before the answer can come in
    const loaded = Promise.all(fresh.map(({ runner }) => (this.#deliveriesPaused ? Promise.resolve() : runner.load())));
    this.#deps.expectations.readyAfter(loaded);
    await loaded;
    await Promise.all(
      fresh.map(async ({ connector, runner, stopping }) => {
        await connector.start(stopping.signal);
        if (!this.#deliveriesPaused) runner.start();
      }),
    );
  }

  /** A fenced gateway delivers nothing more; its connectors go on taking in (rule 5). */
  async pauseDeliveries(): Promise<void> {
    this.#deliveriesPaused = true;
    await Promise.all([...this.#hosted.values()].map(({ runner }) => runner.stop()));
  }

  async stop(): Promise<void> {
    await Promise.all([...this.#hosted.keys()].map((name) => this.#stopOne(name)));
  }

  async #make(bundle: Bundle, name: string, identity: string): Promise<Hosted> {
    const stopping = new AbortController();
    const connector = await this.#create(bundle, name);
    const { queue, attempts, clock, log } = this.#deps;
    return { connector, runner: new Runner({ connector, name, queue, attempts, clock, log }), identity, stopping };
  }

  async #create(bundle: Bundle, name: string): Promise<Connector> {
    const config = bundle.connectors[name]?.config as ConnectorConfig;
    const { site, clock, log, intake, webhooks, dataDir } = this.#deps;
    const deps: ConnectorDeps = {
      site,
      name,
      config,
      wiring: wiringOf(bundle, name),
      inlet: intake.inlet(name),
      secret: (ref) => readSecret(dataDir, ref),
      webhooks,
      folder: () => ownFolder(dataDir, name),
      clock,
      log: log.child({ connector: name }),
    };
    try {
      const load = this.#deps.kinds[config.type] as ConnectorKinds[typeof config.type] | undefined;
      if (!load) throw new PlantgateError("CONFIG_INVALID", `this gateway has no connector of type "${config.type}"`);
      return (await load()).create(deps as never);
    } catch (error) {
      log.error(
        { event: "connector.create.failed", connector: name, reason: describeError(error) },
        "connector cannot run with this configuration",
      );
      return unusable(deps, describeError(error));
    }
  }

  async #stopOne(name: string): Promise<void> {
    const hosted = this.#hosted.get(name);
    if (!hosted) return;
    this.#hosted.delete(name);
    hosted.stopping.abort();
    await Promise.all([hosted.runner.stop(), hosted.connector.stop()]);
  }
}

/** Stands for a connector that cannot be made, say for want of a secret, so that the page shows why. */
function unusable(deps: ConnectorDeps, reason: string): Connector {
  const condition = new Condition(deps.name, deps.config.type, deps.clock);
  condition.down(reason);
  return { start: async () => {}, stop: async () => {}, report: () => condition.report() };
}

function readSecret(dataDir: string, ref: SecretRef): string {
  const file = join(dataDir, "secrets", ref.secret);
  try {
    return readFileSync(file, "utf8").trim();
  } catch (cause) {
    throw new PlantgateError("SECRET_MISSING", `the secret "${ref.secret}" is missing: put it into ${file}`, { cause });
  }
}

function ownFolder(dataDir: string, name: string): string {
  const folder = join(dataDir, "connectors", name);
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  return folder;
}
