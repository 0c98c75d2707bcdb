import { Configuration } from "../../../../gateway/agent/configuration.ts";
import type { AnyConnectorKind, ConnectorDeps } from "../../../../gateway/connector/connector.ts";
import { ConnectorHost } from "../../../../gateway/connector/host.ts";
import { Attempts } from "../../../../gateway/delivery/attempt.ts";
import { Decisions } from "../../../../gateway/delivery/decisions.ts";
import { Dispatcher } from "../../../../gateway/delivery/dispatch.ts";
import { Expectations } from "../../../../gateway/delivery/expectations.ts";
import { Changeover } from "../../../../gateway/flow/changeover.ts";
import { runJob } from "../../../../gateway/flow/expression-jobs.ts";
import { Intake } from "../../../../gateway/flow/intake.ts";
import { type Answer, type Mapping, type MappingDeps, openMapping } from "../../../../gateway/flow/mapping.ts";
import type { QueueStore } from "../../../../gateway/queue/store.ts";
import { openLogger } from "../../../../gateway/telemetry/logger.ts";
import { type Bundle, type Clock, type CompiledFlow, compileBundle, type Document, runSync } from "../../../../protocol/index.ts";
import { plantDocuments } from "../../../support/documents.ts";
import { fileSecrets } from "../../../support/file-secrets.ts";
import { bundleOf } from "../../../support/gateway-parts.ts";
import { type Peer, PeerConnector } from "./peer.ts";
import { StoreQueue } from "./store-queue.ts";

export const deadlineMs = 60_000;
export type Effect = "idempotent" | "checkable" | "once";

/** What a change of the configuration may change. */
export interface Rules {
  readonly onExhausted: "block" | "park";
  readonly attempts: number;
  /** The connector that is away from some configurations, with its destinations. */
  readonly hasLine: boolean;
  /** Another address for the orders of the warehouse: the one before is not there any more. */
  readonly moved: boolean;
}

/** What the receivers of a plant make of a repeat: what they are does not change. */
export interface Effects {
  readonly warehouse: Effect;
  readonly line: Effect;
  readonly terminal: Effect;
  readonly command: Effect;
  readonly answeredCommand: Effect;
}

/** A destination of the plant's flows, and what is promised of it. */
export interface Place {
  readonly connector: string;
  readonly target: string;
  readonly effect: Effect;
  readonly expires: boolean;
}

const orders = "production-order.released";
const plans = "schedule.revised";
const commands = "pick.confirmed";

let base: Promise<Bundle> | undefined;

/** The plant: orders to three systems, plans (states) to one, and commands that are worth something for a minute to two. */
export async function plantBundle(effects: Effects, { onExhausted, attempts, hasLine, moved }: Rules): Promise<Bundle> {
  base ??= bundleOf(documents(), "lyon");
  const bundle = structuredClone(await base);
  const set = (flow: string, index: number, change: object): void => void Object.assign(bundle.flows[flow]!.to[index]!, change);
  set("orders", 0, { effect: effects.warehouse, ...(moved ? { post: "/orders/v2" } : {}) });
  set("orders", 1, { effect: effects.line });
  set("orders", 2, { effect: effects.terminal });
  set("commands", 0, { effect: effects.command });
  set("commands", 1, { effect: effects.answeredCommand });
  for (const flow of Object.values(bundle.flows)) {
    Object.assign(flow, { onExhausted, retry: { attempts, base: "200ms", cap: "2s" } });
    if (!hasLine) flow.to = flow.to.filter((to) => !("connector" in to) || to.connector !== "line");
  }
  if (!hasLine) delete (bundle.connectors as Record<string, unknown>).line;
  return bundle;
}

/** Where a message of this type goes. */
export function placesOf(type: string, effects: Effects, { hasLine, moved }: Rules): Place[] {
  const place = (connector: string, target: string, effect: Effect, expires = false): Place => ({
    connector,
    target,
    effect,
    expires,
  });
  if (type.includes(plans)) return [place("warehouse", "POST /plans", "idempotent")];
  if (type.includes(commands))
    return [
      place("warehouse", "POST /commands", effects.command, true),
      place("terminal", "terminal/commands/{data.txnId}", effects.answeredCommand, true),
    ];
  return [
    place("warehouse", moved ? "POST /orders/v2" : "POST /orders", effects.warehouse),
    ...(hasLine ? [place("line", "POST /orders", effects.line)] : []),
    place("terminal", "terminal/orders/{data.moId}", effects.terminal),
  ];
}

function documents(): Document[] {
  const [template, site] = plantDocuments({ site: "lyon", wmsUrl: "mqtt://127.0.0.1:1" }) as [Document, Document];
  const answered = (topic: string, equals: string | string[], match: string | string[]) => ({
    connector: "terminal",
    topic,
    // a path: what needs an evaluator needs the mapper's thread, which lives in real time
    accepted: { topic: `${topic.slice(0, topic.lastIndexOf("/"))}/+/ack`, match, equals, is: "payload.accepted", within: "5s" },
  });
  const expires = { after: `${deadlineMs / 1000}s` };
  Object.assign(template.spec as object, {
    connectors: {
      warehouse: { type: "http", url: "http://127.0.0.1:1" },
      line: { type: "http", url: "http://127.0.0.1:1" },
      terminal: {
        type: "mqtt",
        url: "${wmsUrl}",
        grants: { subscribe: ["terminal/#"], publish: ["terminal/#"] },
      },
    },
    flows: {
      orders: {
        purpose: "Orders out",
        from: { central: orders },
        to: [
          { connector: "warehouse", post: "/orders" },
          { connector: "line", post: "/orders" },
          answered("terminal/orders/{data.moId}", ["data.moId", "data.revision"], ["payload.order", "payload.revision"]),
        ],
      },
      plans: { purpose: "Plans out", from: { central: plans }, to: [{ connector: "warehouse", post: "/plans" }] },
      commands: {
        purpose: "Commands out",
        from: { central: commands },
        to: [
          { connector: "warehouse", post: "/commands", expires },
          { ...answered("terminal/commands/{data.txnId}", "data.txnId", "payload.txn"), expires },
        ],
      },
    },
  });
  Object.assign(site.spec as object, { grants: { send: [], receive: [orders, plans, commands] } });
  return [template, site];
}

export interface GatewayOptions {
  readonly store: QueueStore;
  readonly dataDir: string;
  readonly clock: Clock;
  readonly peers: ReadonlyMap<string, Peer>;
  readonly centralNow: () => number | undefined;
}

/** The mapper, which judges answers here as well: its thread would take real time. */
function mappingOfThisThread(deps: MappingDeps): Mapping {
  const mapping = openMapping(deps);
  let flows: ReadonlyMap<string, CompiledFlow> = new Map();
  return {
    async configure(bundle) {
      await mapping.configure(bundle);
      ({ flows } = compileBundle(bundle));
    },
    check: (bundle) => mapping.check(bundle),
    map: (job) => mapping.map(job),
    render: (...args) => mapping.render(...args),
    expected: (...args) => mapping.expected(...args),
    async answer(flow, destination, body): Promise<Answer> {
      const result = await runJob(flows, { kind: "answer", flow, destination, body }, runSync);
      if (result.kind !== "answer") throw new Error(`an answer ended as ${JSON.stringify(result)}`);
      return result.answer;
    },
    stop: () => mapping.stop(),
  };
}

/** One process of a gateway, without its link: put together as `startGateway` does. It ends by `die` only. */
export function startPlantGateway({ store, dataDir, clock, peers, centralNow }: GatewayOptions) {
  const log = openLogger({ level: "silent", site: "lyon" });
  const own = new StoreQueue(store);
  const queue = own.asQueue;
  const site = "lyon";
  const mapping = mappingOfThisThread({ site, clock, log });
  const expectations = new Expectations(mapping, log, clock);
  const changeover = new Changeover();
  const intake = new Intake({ site, queue, mapping, answers: expectations, changeover, clock, log });
  const attempts = new Attempts({ site, queue, mapping, expectations, changeover, clock, log, centralNow });
  const connectors = new Map<string, PeerConnector>();
  const create = (deps: ConnectorDeps): PeerConnector => {
    const connector = new PeerConnector(deps, peers.get(deps.name) as Peer, () => own.isDead);
    connectors.set(deps.name, connector);
    return connector;
  };
  const load = (kind: string) => async () => ({ kind, create }) as AnyConnectorKind;
  const kinds = { http: load("http"), mqtt: load("mqtt") } as never;
  const webhooks = { mount: () => () => {} };
  const host = new ConnectorHost({
    ...{ site, dataDir, secrets: fileSecrets(dataDir), kinds, queue, intake, attempts, expectations, webhooks, clock, log },
    inOrder: () => dispatcher.caughtUp.then(() => true),
  });
  const dispatcher = new Dispatcher({
    queue,
    mapping,
    clock,
    log,
    configurationSettled: async () => {},
    onDeliveries: (names) => host.ring(names),
  });
  const parts = [mapping, intake, attempts, expectations];
  const configuration = new Configuration({ parts, host, dispatcher, changeover, log, onSettled: () => {} });
  void dispatcher.run(new AbortController().signal);
  return {
    queue,
    apply: (bundle: Bundle): Promise<void> => configuration.apply(bundle),
    decisions: new Decisions({ site, queue, clock, log, ring: (names) => host.ring(names) }),
    /** What a receiver says on a topic; resolves when its sender may forget it. */
    hear: async (connector: string, topic: string, payload: object): Promise<void> => {
      const body = Buffer.from(JSON.stringify(payload));
      const origin = { kind: "topic", topic, retained: false } as const;
      await connectors.get(connector)?.deps.inlet.accept([{ origin, body, receivedAt: clock.now() }]);
    },
    die: (): void => own.die(),
  };
}
export type PlantGateway = ReturnType<typeof startPlantGateway>;
