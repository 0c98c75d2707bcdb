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
import type { Connector, ConnectorDeps, WebhookHost } from "./connector.ts";
import type { ConnectorKinds } from "./kinds.ts";
import { StandIn } from "./stand-in.ts";
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
  /** Resolves when deliveries stand in the order in which they are made: none is made before. */
  readonly inOrder: () => Promise<void>;
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

/** How a connector is made, as often as it takes. */
interface Recipe {
  readonly deps: ConnectorDeps;
  readonly make: () => Promise<Connector>;
}

interface Fresh extends Recipe {
  readonly hosted: Hosted;
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

  /**
   * Runs the connectors of this bundle. One that cannot start: `whole` ends all that were started for this bundle, so that the earlier one
   * can be applied again, and throws; `runnable` has it stood in for.
   * @throws PlantgateError CONFIG_INVALID
   */
  async apply(bundle: Bundle, how: "whole" | "runnable" = "whole"): Promise<void> {
    const wanted = new Map(
      Object.entries(bundle.connectors).map(([name, { config }]) => [name, JSON.stringify([config, wiringOf(bundle, name)])]),
    );
    const gone = [...this.#hosted].filter(([name, { identity }]) => wanted.get(name) !== identity);
    await Promise.all(gone.map(([name]) => this.#stopOne(name)));
    const fresh = new Map<string, Fresh>();
    for (const [name, identity] of wanted) {
      if (this.#hosted.has(name)) continue;
      const recipe = this.#recipe(bundle, name);
      fresh.set(name, { ...recipe, hosted: this.#host(name, identity, await madeOr(recipe)) });
    }
    // deliveries that await an answer are known before the answer can come in
    await this.#load([...fresh.values()]);
    const failed = new Map<string, PlantgateError>();
    await Promise.all(
      [...fresh].map(([name, { hosted }]) => this.#start(name, hosted).catch((error) => failed.set(name, error))),
    );
    for (const [name, error] of failed) {
      if (how === "whole") {
        await Promise.all([...fresh.keys()].map((each) => this.#end(each)));
        throw error;
      }
      await this.#replace(name, fresh.get(name) as Fresh, describeError(error.cause));
    }
  }

  /** A fenced gateway delivers nothing more; its connectors go on taking in (rule 5). */
  async pauseDeliveries(): Promise<void> {
    this.#deliveriesPaused = true;
    await Promise.all([...this.#hosted.values()].map(({ runner }) => runner.stop()));
  }

  async stop(): Promise<void> {
    await Promise.all([...this.#hosted.keys()].map((name) => this.#stopOne(name)));
  }

  #host(name: string, identity: string, connector: Connector): Hosted {
    const { queue, attempts, clock, log } = this.#deps;
    const runner = new Runner({ connector, name, queue, attempts, clock, log });
    const hosted = { connector, runner, identity, stopping: new AbortController() };
    this.#hosted.set(name, hosted);
    return hosted;
  }

  async #load(fresh: readonly Pick<Fresh, "hosted">[]): Promise<void> {
    if (this.#deliveriesPaused) return;
    const loaded = Promise.all(fresh.map(({ hosted }) => hosted.runner.load()));
    this.#deps.expectations.readyAfter(loaded);
    await loaded;
  }

  async #start(name: string, { connector, runner, stopping }: Hosted): Promise<void> {
    try {
      await connector.start(stopping.signal);
    } catch (cause) {
      throw new PlantgateError("CONFIG_INVALID", `the connector "${name}" cannot start`, { cause });
    }
    // neither waits for the other: intake needs no deliveries. One that was stopped meanwhile does not begin any more
    void this.#deps.inOrder().then(() => this.#deliveriesPaused || runner.start());
  }

  async #replace(name: string, { deps, make, hosted: { identity } }: Fresh, reason: string): Promise<void> {
    await this.#end(name);
    const hosted = this.#host(name, identity, new StandIn(deps, reason, make));
    await this.#load([{ hosted }]);
    await this.#start(name, hosted);
  }

  #recipe(bundle: Bundle, name: string): Recipe {
    const config = bundle.connectors[name]?.config as ConnectorConfig;
    const { site, clock, log, intake, webhooks, dataDir, kinds } = this.#deps;
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
    const make = async (): Promise<Connector> => {
      const load = kinds[config.type] as ConnectorKinds[typeof config.type] | undefined;
      if (!load) throw new PlantgateError("CONFIG_INVALID", `this gateway has no connector of type "${config.type}"`);
      return (await load()).create(deps as never);
    };
    return { deps, make };
  }

  /** What could not be started may not be stopped cleanly either. */
  async #end(name: string): Promise<void> {
    try {
      await this.#stopOne(name);
    } catch (error) {
      this.#deps.log.warn(
        { event: "connector.stop.failed", connector: name, reason: describeError(error) },
        "a connector could not be stopped cleanly",
      );
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

async function madeOr({ deps, make }: Recipe): Promise<Connector> {
  try {
    return await make();
  } catch (error) {
    return new StandIn(deps, describeError(error), make);
  }
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
