import { mkdirSync } from "node:fs";
import { join } from "node:path";
import {
  type Bundle,
  type Clock,
  type ConnectorConfig,
  type ConnectorReport,
  describeError,
  PlantgateError,
  secretsIn,
} from "../../protocol/index.ts";
import type { Attempts } from "../delivery/attempt.ts";
import type { Expectations } from "../delivery/expectations.ts";
import { Runner } from "../delivery/runner.ts";
import type { Receiver } from "../delivery/way.ts";
import type { Intake } from "../flow/intake.ts";
import type { Queue } from "../queue/queue.ts";
import type { SecretStore } from "../secret/secret-store.ts";
import type { Logger } from "../telemetry/logger.ts";
import type { Connector, ConnectorDeps, WebhookHost } from "./connector.ts";
import type { ConnectorKinds } from "./kinds.ts";
import { StandIn } from "./stand-in.ts";
import { wiringOf } from "./wiring.ts";

export interface HostDeps {
  readonly site: string;
  readonly dataDir: string;
  readonly secrets: Pick<SecretStore, "get" | "all" | "mark">;
  readonly kinds: ConnectorKinds;
  readonly queue: Queue;
  readonly intake: Intake;
  readonly attempts: Attempts;
  readonly expectations: Expectations;
  readonly webhooks: WebhookHost;
  /** Resolves when deliveries stand in the order in which they are made: none is made before. `false`: none is to be made any more. */
  readonly inOrder: () => Promise<boolean>;
  readonly clock: Clock;
  readonly log: Logger;
}

/** Stands where the configuration has no connector: what still waits for it is given up, as nothing can be sent (P2). */
const nobody: Receiver = { report: () => ({ state: "up" }) };

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
  readonly stopping: AbortController;
}

interface Fresh extends Recipe {
  readonly hosted: Hosted;
}

/** Runs the connectors of the bundle in effect, each with its deliveries; a new bundle restarts only those that it changes. */
export class ConnectorHost {
  readonly #deps: HostDeps;
  readonly #hosted = new Map<string, Hosted>();
  /** Of connectors that the configuration does not have, where deliveries wait for them all the same. */
  readonly #left = new Map<string, Runner>();
  #deliveriesPaused = false;

  constructor(deps: HostDeps) {
    this.#deps = deps;
  }

  reports(): ConnectorReport[] {
    return [...this.#hosted.values()].map(({ connector }) => connector.report());
  }

  /** New deliveries lie in the queue for these connectors. */
  ring(connectors: ReadonlySet<string>): void {
    for (const name of connectors) (this.#hosted.get(name)?.runner ?? this.#left.get(name))?.ring();
  }

  /** Ends the connectors that this bundle changes or does not have, while the one before is in effect: what they have in hand still comes in by that. */
  async retire(bundle: Bundle): Promise<void> {
    const wanted = identitiesOf(bundle, this.#deps.secrets);
    const gone = [...this.#hosted].filter(([name, { identity }]) => wanted.get(name) !== identity);
    await Promise.all(gone.map(([name]) => this.#stopOne(name)));
  }

  /**
   * Runs the connectors of this bundle, their deliveries from `resume` on; those that it changes are retired. One that cannot start: `whole` ends all that were started for this bundle, so that the earlier one
   * can be applied again, and throws; `runnable` has it stood in for.
   * @throws PlantgateError CONFIG_INVALID
   */
  async apply(bundle: Bundle, how: "whole" | "runnable" = "whole"): Promise<void> {
    const left = [...this.#left.values()];
    this.#left.clear();
    await Promise.all(left.map((runner) => runner.stop()));
    const fresh = new Map<string, Fresh>();
    for (const [name, identity] of identitiesOf(bundle, this.#deps.secrets)) {
      if (this.#hosted.has(name)) continue;
      const recipe = this.#recipe(bundle, name);
      fresh.set(name, { ...recipe, hosted: this.#host(name, identity, recipe, await madeOr(recipe)) });
    }
    const failed = new Map<string, PlantgateError>();
    await Promise.all(
      [...fresh].map(([name, { hosted }]) => this.#start(name, hosted).catch((error) => failed.set(name, error))),
    );
    for (const [name, error] of failed) {
      if (how === "whole") {
        await Promise.all([...fresh.keys()].map((each) => this.#end(each)));
        throw error;
      }
      await this.#replace(bundle, name, describeError(error.cause));
    }
  }

  /**
   * The bundle is in effect, and what was held up meanwhile goes on as soon as this was called: answers only when the deliveries that await them are
   * known. What waits for a connector that the bundle does not have is given up: not earlier, as a bundle that is refused must give up nothing;
   * and not while it runs `instead` of a newer one.
   */
  async resume(bundle: Bundle, instead = false): Promise<void> {
    const { queue, attempts, expectations, clock, log } = this.#deps;
    if (this.#deliveriesPaused) return;
    const runners = [...this.#hosted.values()].map(({ runner }) => runner);
    const loaded = Promise.all(runners.map((runner) => runner.load()));
    expectations.readyAfter(loaded);
    await loaded;
    for (const name of instead ? [] : await queue.receivers()) {
      if (bundle.connectors[name]) continue;
      const runner = new Runner({ connector: nobody, name, queue, attempts, clock, log });
      this.#left.set(name, runner);
      runners.push(runner);
    }
    // fenced meanwhile
    if (this.#deliveriesPaused) return;
    // intake does not wait for it. One that was stopped meanwhile does not begin any more
    void this.#deps.inOrder().then((mayDeliver) => {
      if (mayDeliver && !this.#deliveriesPaused) for (const runner of runners) runner.start();
    });
  }

  /** A fenced gateway delivers nothing more; its connectors go on taking in (rule 5). */
  async pauseDeliveries(): Promise<void> {
    this.#deliveriesPaused = true;
    const hosted = [...this.#hosted.values()].map(({ runner }) => runner);
    await Promise.all([...hosted, ...this.#left.values()].map((runner) => runner.stop()));
  }

  async stop(): Promise<void> {
    await Promise.all([
      ...[...this.#hosted.keys()].map((name) => this.#stopOne(name)),
      ...[...this.#left.values()].map((runner) => runner.stop()),
    ]);
  }

  #host(name: string, identity: string, { stopping }: Recipe, connector: Connector): Hosted {
    const { queue, attempts, clock, log } = this.#deps;
    const runner = new Runner({ connector, name, queue, attempts, clock, log });
    const hosted = { connector, runner, identity, stopping };
    this.#hosted.set(name, hosted);
    return hosted;
  }

  async #start(name: string, { connector, stopping }: Hosted): Promise<void> {
    try {
      await connector.start(stopping.signal);
    } catch (cause) {
      throw new PlantgateError("CONFIG_INVALID", `the connector "${name}" cannot start`, { cause });
    }
  }

  async #replace(bundle: Bundle, name: string, reason: string): Promise<void> {
    await this.#end(name);
    const recipe = this.#recipe(bundle, name);
    const identity = identitiesOf(bundle, this.#deps.secrets).get(name) as string;
    const hosted = this.#host(name, identity, recipe, new StandIn(recipe.deps, reason, recipe.make));
    await this.#start(name, hosted);
  }

  #recipe(bundle: Bundle, name: string): Recipe {
    const config = bundle.connectors[name]?.config as ConnectorConfig;
    const { site, clock, log, intake, webhooks, dataDir, secrets, kinds } = this.#deps;
    const stopping = new AbortController();
    const deps: ConnectorDeps = {
      site,
      name,
      config,
      wiring: wiringOf(bundle, name),
      inlet: intake.inlet(name, stopping.signal),
      secret: (ref) => secrets.get(ref),
      secrets: (ref) => secrets.all(ref),
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
    return { deps, make, stopping };
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

/** Read their secrets whenever they need them: a new value needs no new connector. */
const rereads: ReadonlySet<ConnectorConfig["type"]> = new Set(["http", "odoo", "mqtt-broker"]);

/** Of each connector of a bundle, what decides whether it has to be started anew. */
function identitiesOf(bundle: Bundle, secrets: HostDeps["secrets"]): ReadonlyMap<string, string> {
  return new Map(
    Object.entries(bundle.connectors).map(([name, { config }]) => {
      const names = rereads.has(config.type)
        ? []
        : secretsIn({ connectors: { [name]: { config } as never }, flows: {} }).map((use) => use.name);
      return [name, JSON.stringify([config, wiringOf(bundle, name), secrets.mark(names)])];
    }),
  );
}

async function madeOr({ deps, make }: Recipe): Promise<Connector> {
  try {
    return await make();
  } catch (error) {
    return new StandIn(deps, describeError(error), make);
  }
}

function ownFolder(dataDir: string, name: string): string {
  const folder = join(dataDir, "connectors", name);
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  return folder;
}
