import { join } from "node:path";
import { Configuration } from "../../gateway/agent/configuration.ts";
import type {
  AnyConnectorKind,
  Connector,
  ConnectorDeps,
  Inlet,
  Outbound,
  Outcome,
  Verdict,
} from "../../gateway/connector/connector.ts";
import { ConnectorHost, type HostDeps } from "../../gateway/connector/host.ts";
import { Attempts } from "../../gateway/delivery/attempt.ts";
import { Dispatcher } from "../../gateway/delivery/dispatch.ts";
import { Expectations } from "../../gateway/delivery/expectations.ts";
import { Changeover } from "../../gateway/flow/changeover.ts";
import { Intake } from "../../gateway/flow/intake.ts";
import { openMapping } from "../../gateway/flow/mapping.ts";
import { Queue } from "../../gateway/queue/queue.ts";
import type { RecorderLimits } from "../../gateway/rehearsal/recorder.ts";
import { Rehearsal } from "../../gateway/rehearsal/rehearsal.ts";
import { openLogger } from "../../gateway/telemetry/logger.ts";
import {
  type Bundle,
  type Clock,
  type ConnectorConfig,
  type ConnectorKindName,
  type Document,
  renderSite,
  systemClock,
  toInstant,
} from "../../protocol/index.ts";
import { fileSecrets } from "./file-secrets.ts";
import { temporaryFolder } from "./folder.ts";

/** What a test's receiver does with the n-th attempt. */
export interface Receiver {
  deliver(message: Outbound, attempt: number): Outcome | Promise<Outcome>;
  verify?(message: Outbound): Verdict;
  report?(): "up" | "down";
  /** Throws where the connector cannot start with this configuration. */
  start?(config: ConnectorConfig): void | Promise<void>;
}

/** A connector whose far side is the test; everything between it and the disk is real. */
export class TestConnector implements Connector {
  readonly deps: ConnectorDeps;
  readonly attempts: Outbound[] = [];
  readonly receiver: Receiver;
  starts = 0;
  stops = 0;

  constructor(deps: ConnectorDeps, receiver: Receiver) {
    this.deps = deps;
    this.receiver = receiver;
  }
  async start(): Promise<void> {
    await this.receiver.start?.(this.deps.config);
    this.starts += 1;
  }
  async stop(): Promise<void> {
    this.stops += 1;
  }
  report() {
    return {
      name: this.deps.name,
      kind: this.deps.config.type,
      state: this.receiver.report?.() ?? ("up" as const),
      since: toInstant(0),
      connects: 1,
    };
  }
  async deliver(message: Outbound): Promise<Outcome> {
    this.attempts.push(message);
    return this.receiver.deliver(message, this.attempts.length);
  }
  async verify(message: Outbound): Promise<Verdict> {
    return this.receiver.verify?.(message) ?? { kind: "cannot-tell", reason: "the test does not say" };
  }
  get inlet(): Inlet {
    return this.deps.inlet;
  }
}

export async function bundleOf(documents: readonly Document[], site: string, revision = 1): Promise<Bundle> {
  const files = documents.map((document) => ({ name: `${document.kind}.json`, text: JSON.stringify(document) }));
  const built = await renderSite({ files, site, revision });
  if (!built.ok) throw new Error(built.problems.map((problem) => problem.message).join("\n"));
  return built.bundle;
}

/** Queue, mapping, intake and delivery of one gateway, put together as `startGateway` does, with test connectors and without a link. */
export async function openParts(
  options: {
    folder?: string;
    receivers?: Record<string, Receiver>;
    /** Real connectors, instead of the test's. */
    kinds?: Partial<HostDeps["kinds"]>;
    centralNow?: () => number | undefined;
    clock?: Clock;
    /** Of the recorder of inputs. */
    recorder?: Partial<RecorderLimits>;
    /** What goes on between the mapper and the other parts, when a configuration is put in. */
    meanwhile?: () => Promise<void>;
  } = {},
) {
  const folder = options.folder === undefined ? temporaryFolder() : undefined;
  const dataDir = options.folder ?? (folder?.path as string);
  const log = openLogger({ level: "silent", site: "lyon" });
  const clock = options.clock ?? systemClock;
  const failures: unknown[] = [];
  const queue = await Queue.open({
    path: join(dataDir, "queue.sqlite"),
    site: "lyon",
    onFailure: (error) => failures.push(error),
  });
  const mapping = openMapping({ site: "lyon", clock, log });
  const expectations = new Expectations(mapping, log, clock);
  const changeover = new Changeover();
  const rehearsal = new Rehearsal({
    dataDir,
    openMapping: () => openMapping({ site: "lyon", clock, log }),
    clock,
    log,
    ...(options.recorder ? { limits: options.recorder } : {}),
  });
  const intake = new Intake({ site: "lyon", queue, mapping, answers: expectations, changeover, observer: rehearsal, clock, log });
  const attempts = new Attempts({
    site: "lyon",
    queue,
    mapping,
    expectations,
    changeover,
    clock,
    log,
    centralNow: options.centralNow ?? (() => undefined),
  });
  const connectors = new Map<string, TestConnector>();
  const kind = (name: ConnectorKindName): AnyConnectorKind =>
    ({
      kind: name,
      create: (deps: ConnectorDeps) => {
        const connector = new TestConnector(deps, options.receivers?.[deps.name] ?? { deliver: () => ({ kind: "done" }) });
        connectors.set(deps.name, connector);
        return connector;
      },
    }) as AnyConnectorKind;
  const load = (name: ConnectorKindName) => async (): Promise<AnyConnectorKind> => kind(name);
  const kinds = {
    mqtt: load("mqtt"),
    "mqtt-broker": load("mqtt-broker"),
    http: load("http"),
    opcua: load("opcua"),
    odoo: load("odoo"),
    ...options.kinds,
  };
  const webhooks = { mount: () => () => {} };
  const host = new ConnectorHost({
    ...{
      site: "lyon",
      dataDir,
      secrets: fileSecrets(dataDir),
      kinds,
      queue,
      intake,
      attempts,
      expectations,
      webhooks,
      clock,
      log,
    },
    inOrder: () => dispatcher.caughtUp.then(() => true),
  });
  const dispatcher = new Dispatcher({
    queue,
    mapping,
    clock,
    log,
    observer: rehearsal,
    configurationSettled: async () => {},
    onDeliveries: (names) => host.ring(names),
  });
  const parts = [mapping, { configure: async () => options.meanwhile?.() }, intake, attempts, expectations, rehearsal];
  const configuration = new Configuration({ parts, host, dispatcher, changeover, log, onSettled: () => {} });
  const stopping = new AbortController();
  const running = dispatcher.run(stopping.signal);
  return {
    dataDir,
    queue,
    intake,
    attempts,
    host,
    rehearsal,
    failures,
    connector: (name: string): TestConnector => connectors.get(name) as TestConnector,
    apply: (bundle: Bundle): Promise<void> => configuration.apply(bundle),
    restore: (bundle: Bundle, instead = false): Promise<void> => configuration.restore(bundle, instead),
    async [Symbol.asyncDispose](): Promise<void> {
      stopping.abort();
      await running;
      intake.stop();
      await host.stop();
      await rehearsal.stop();
      await mapping.stop();
      await queue.close();
      folder?.[Symbol.dispose]();
    },
  };
}
export type Parts = Awaited<ReturnType<typeof openParts>>;
