import { createHash, X509Certificate } from "node:crypto";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import {
  AttributeIds,
  type ClientSession,
  type ClientSubscription,
  CreateSubscriptionResponse,
  type DataValue,
  MessageSecurityMode,
  OPCUAClient,
  SecurityPolicy,
  StatusCodes,
  UserTokenType,
} from "node-opcua-client";
import { type Clock, durationMs, type OpcuaConnectorConfig } from "../../../protocol/index.ts";
import { monitor, type Node, readAll, readNamespaces, readUnits, requestWidth, toNodeId } from "./nodes.ts";
import { takeNotifications } from "./notifications.ts";
import type { Tag } from "./sample.ts";
import type { PinnedCertificates } from "./trust.ts";

export interface LineDeps {
  readonly site: string;
  readonly name: string;
  readonly equipment: string;
  readonly config: OpcuaConnectorConfig;
  /** Items to subscribe to. */
  readonly items: readonly string[];
  readonly certificates: PinnedCertificates;
  readonly password: string | undefined;
  readonly clock: Clock;
  readonly events: LineEvents;
}

export interface LineEvents {
  reported(values: readonly { readonly tag: Tag; readonly dataValue: DataValue }[]): void;
  /** A notification is missing. */
  hole(): void;
  /** The connection broke. The server keeps values for us while the session lasts; the line comes back or ends. */
  broken(): void;
  /** The same subscription goes on. */
  mended(): void;
  /** Items that do not deliver, with what is wrong; empty when all do. */
  ailing(problems: readonly string[]): void;
}

// Found in seconds and bridged without a loss: measured with a black hole between the two.
const transactionTimeoutMs = 4000;
const keepAliveMs = 2000;
const openTimeoutMs = 30_000;
const inspectionMs = 30_000;
/** Broken off when the library tries again without any delay, as it does when a certificate is refused. */
const hastyAttempts = { count: 5, withinMs: 5000 };

/**
 * One session with one subscription, from dialling to its end. While it lasts, the library bridges lost connections: same session, queued values,
 * Republish. What the library does beyond that (a new session, items created again by stale namespace indexes and unchecked) is not relied on:
 * monitored items are ours, created by namespace URI, and a subscription that was created anew ends the line.
 */
export class Line {
  readonly session: ClientSession;
  /** Resolves with the reason once this line cannot go on. */
  readonly ended: Promise<string>;
  readonly #deps: LineDeps;
  readonly #client: OPCUAClient;
  readonly #subscription: ClientSubscription;
  readonly #end: (reason: string) => void;
  readonly #width: number;
  /** By client handle - 1. */
  readonly #monitored: Node[] = [];
  /** Items whose node the server does not have. */
  readonly #gone = new Set<string>();
  #problems: readonly string[] = [];
  #timers: NodeJS.Timeout[] = [];
  #up = true;
  #heardAt: number;
  #brokenAt = 0;

  /** @throws what the library throws, when the server cannot be reached, refuses us, or is not OPC UA */
  static async open(deps: LineDeps, signal: AbortSignal): Promise<Line> {
    const client = newClient(deps);
    const giveUp = new AbortController();
    const opening = Line.#connect(client, deps);
    // when the deadline wins, the attempt fails on its own as the client is taken away
    opening.catch(() => {});
    try {
      const late = deps.clock.sleep(openTimeoutMs, AbortSignal.any([signal, giveUp.signal])).then(() => {
        throw new Error(`timed out after ${openTimeoutMs / 1000} s`);
      });
      late.catch(() => {});
      const line = await Promise.race([opening, late]);
      await line.#subscribeTo(deps.items);
      line.#watch();
      return line;
    } catch (error) {
      await disconnect(client, deps.clock);
      throw error;
    } finally {
      giveUp.abort();
    }
  }

  static async #connect(client: OPCUAClient, deps: LineDeps): Promise<Line> {
    const { config } = deps;
    await client.connect(config.endpoint);
    const session = config.auth
      ? await client.createSession({
          type: UserTokenType.UserName,
          userName: config.auth.username,
          password: deps.password ?? "",
        })
      : await client.createSession();
    const publishingMs = durationMs(config.publishing);
    const subscription = await session.createSubscription2({
      requestedPublishingInterval: publishingMs,
      // heard from at least every 2 s, and within a third of the session's time
      requestedMaxKeepAliveCount: Math.max(3, Math.floor(Math.min(keepAliveMs, session.timeout / 3) / publishingMs)),
      requestedLifetimeCount: Math.max(30, Math.ceil(durationMs(config.sessionTimeout) / publishingMs)),
      maxNotificationsPerPublish: 1000,
      publishingEnabled: true,
      priority: 1,
    });
    return new Line(deps, client, session, subscription, await requestWidth(session));
  }

  private constructor(
    deps: LineDeps,
    client: OPCUAClient,
    session: ClientSession,
    subscription: ClientSubscription,
    width: number,
  ) {
    this.#deps = deps;
    this.#client = client;
    this.session = session;
    this.#subscription = subscription;
    this.#width = width;
    this.#heardAt = deps.clock.monotonic();
    const { promise, resolve } = Promise.withResolvers<string>();
    this.ended = promise;
    this.#end = resolve;
    takeNotifications(subscription, {
      alive: () => {
        this.#heardAt = deps.clock.monotonic();
      },
      hole: () => deps.events.hole(),
      values: (reported) => {
        const values: { tag: Tag; dataValue: DataValue }[] = [];
        for (const { handle, dataValue } of reported) {
          const node = this.#monitored[handle - 1];
          if (node) values.push({ tag: node.tag, dataValue });
        }
        deps.events.reported(values);
      },
    });
  }

  /** False while the connection is being mended: nothing is sent then. */
  get isUp(): boolean {
    return this.#up;
  }

  /** By namespace URI, as the server numbers its namespaces now. */
  async nodeId(address: string) {
    return toNodeId(address, await readNamespaces(this.session));
  }

  /** Ends the session on the server, too, where it can be reached. */
  async close(): Promise<void> {
    for (const timer of this.#timers) clearInterval(timer);
    this.#end("closed");
    await disconnect(this.#client, this.#deps.clock);
  }

  async #subscribeTo(items: readonly string[]): Promise<void> {
    const problems: string[] = [];
    const namespaces = await readNamespaces(this.session);
    const found: { item: string; config: Node["config"]; nodeId: NonNullable<ReturnType<typeof toNodeId>> }[] = [];
    for (const item of items) {
      const config = this.#deps.config.items[item];
      const nodeId = config && toNodeId(config.node, namespaces);
      if (!config) problems.push(`${item} is not an item of this connector`);
      else if (!nodeId) this.#gone.add(item);
      else found.push({ item, config, nodeId });
    }
    const units = await readUnits(
      this.session,
      found.map(({ nodeId }) => nodeId),
      this.#width,
    );
    const nodes = found.map(({ item, config, nodeId }, at): Node => {
      const tag: Tag = { equipment: this.#deps.equipment, item, node: config.node, unitCode: config.unit ?? units[at] };
      return { item, config, nodeId, tag };
    });
    // known before they are created: the first values may overtake the answer
    this.#monitored.push(...nodes);
    const results = await monitor(this.session, this.#subscription, nodes, 1, this.#width);
    for (const [at, { good, status }] of results.entries()) {
      const item = nodes[at]?.item;
      if (good || item === undefined) continue;
      if (status === StatusCodes.BadNodeIdUnknown.name) this.#gone.add(item);
      else problems.push(`${item}: ${status}`);
    }
    this.#problems = problems;
    this.#tell();
  }

  #tell(): void {
    const missing = [...this.#gone].map((item) => `${item}: the server has no node ${this.#deps.config.items[item]?.node}`);
    this.#deps.events.ailing([...this.#problems, ...missing]);
  }

  #watch(): void {
    const { clock, events, config } = this.#deps;
    const client = this.#client;
    client.on("connection_lost", () => {
      this.#up = false;
      this.#brokenAt = clock.monotonic();
      events.broken();
    });
    client.on("connection_reestablished", () => {
      this.#up = true;
      this.#heardAt = clock.monotonic();
      events.mended();
    });
    client.on("close", () => this.#end("the connection is closed"));
    client.on("receive_response", (response) => {
      if (response instanceof CreateSubscriptionResponse) this.#end("the server has lost our session");
    });
    const attempts: number[] = [];
    client.on("reconnection_attempt_has_failed", (error) => {
      attempts.push(clock.monotonic());
      const since = attempts.at(-hastyAttempts.count);
      if (since !== undefined && clock.monotonic() - since < hastyAttempts.withinMs) this.#end(error.message);
    });
    this.#subscription.on("terminated", () => this.#end("the server ended the subscription"));
    this.session.on("session_closed", () => this.#end("the server ended the session"));

    const silenceMs = Math.max(10_000, 2 * this.#subscription.maxKeepAliveCount * this.#subscription.publishingInterval);
    const bridgeMs = durationMs(config.sessionTimeout) + 30_000;
    let overdue = 0;
    const judge = (): void => {
      const now = clock.monotonic();
      const late = this.#up ? now - this.#heardAt > silenceMs : now - this.#brokenAt > bridgeMs;
      // twice in a row: after a stall of this process, what has arrived is to be read first
      overdue = late ? overdue + 1 : 0;
      if (overdue >= 2) this.#end(this.#up ? "the subscription has fallen silent" : "the session could not be resumed");
    };
    this.#timers = [setInterval(judge, 1000), setInterval(() => void this.#inspect(), inspectionMs)];
  }

  /**
   * A server tells nobody when it takes a node away, and a monitored item of such a node stays dead when the node comes back. So the nodes are looked
   * for now and then; one that is new or back ends the line, as the next one sets all of them up again.
   */
  async #inspect(): Promise<void> {
    if (!this.#up) return;
    try {
      const namespaces = await readNamespaces(this.session);
      const wanted = this.#deps.items.flatMap((item) => {
        const config = this.#deps.config.items[item];
        const nodeId = config && toNodeId(config.node, namespaces);
        return nodeId ? [{ item, nodeId }] : [];
      });
      const classes = await readAll(
        this.session,
        wanted.map(({ nodeId }) => ({ nodeId, attributeId: AttributeIds.NodeClass })),
        this.#width,
      );
      for (const [at, { item }] of wanted.entries()) {
        if (classes[at]?.statusCode.equals(StatusCodes.BadNodeIdUnknown)) this.#gone.add(item);
        else if (this.#gone.has(item)) return this.#end(`the node of ${item} is there now`);
      }
      this.#tell();
    } catch {
      // a failed read says something about the connection, which the library and the watch above see themselves
    }
  }
}

function newClient({ site, name, config, certificates }: LineDeps): OPCUAClient {
  return OPCUAClient.create({
    applicationName: "Plantgate",
    applicationUri: `urn:plantgate:${site}:${name}`,
    clientName: `plantgate-${site}-${name}`,
    clientCertificateManager: certificates,
    securityMode: MessageSecurityMode[config.security?.mode ?? "None"],
    securityPolicy: SecurityPolicy[config.security?.policy ?? "None"],
    // machines announce themselves by names that only they know
    endpointMustExist: false,
    // for the first connect: two tries, then the caller waits. Lost connections are retried at this pace without end; with 0, not at all
    connectionStrategy: { initialDelay: 200, maxDelay: 2000, maxRetry: 1 },
    requestedSessionTimeout: durationMs(config.sessionTimeout),
    keepSessionAlive: true,
    keepAliveInterval: keepAliveMs,
    defaultTransactionTimeout: transactionTimeoutMs,
    transportTimeout: transactionTimeoutMs,
  });
}

/** Bounded, as the peer may be a black hole. */
async function disconnect(client: OPCUAClient, clock: Clock): Promise<void> {
  const done = new AbortController();
  const closing = client.disconnect().catch(() => {});
  await Promise.race([closing, clock.sleep(2 * transactionTimeoutMs, done.signal)]);
  done.abort();
}

/** SHA-1 thumbprint of our own certificate, as servers list it; undefined before the first connection made one. */
export async function ownThumbprint(folder: string): Promise<string | undefined> {
  try {
    const pem = await readFile(join(folder, "own/certs/client_certificate.pem"));
    return createHash("sha1").update(new X509Certificate(pem).raw).digest("hex");
  } catch {
    return undefined;
  }
}
