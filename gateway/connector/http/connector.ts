import { backoff, type ConnectorReport, durationMs, type HttpConnectorConfig, type SecretRef } from "../../../protocol/index.ts";
import { Condition } from "../condition.ts";
import type { Connector, ConnectorDeps, Outbound, Outcome } from "../connector.ts";
import { Peer } from "./peer.ts";
import { runPoll } from "./poll.ts";
import { post } from "./post.ts";
import { ReachByKeys } from "./reach.ts";
import { Standing } from "./standing.ts";
import { receiveWebhook, type Signature } from "./webhook.ts";

/** An HTTP peer that is called (`post`, `poll`, health) and calls (webhooks). */
export class HttpConnector implements Connector {
  readonly #deps: ConnectorDeps<HttpConnectorConfig>;
  readonly #condition: Condition;
  readonly #standing: Standing;
  readonly #peer: Peer | undefined;
  readonly #reach = new ReachByKeys();
  readonly #webhooks: ReadonlyMap<string, Hook>;
  readonly #stopping = new AbortController();
  #unmount: (() => void)[] = [];
  #loops: Promise<void>[] = [];

  /** @throws PlantgateError SECRET_MISSING */
  constructor(deps: ConnectorDeps<HttpConnectorConfig>) {
    this.#deps = deps;
    const { config, secret } = deps;
    this.#condition = new Condition(deps.name, "http", deps.clock);
    this.#standing = new Standing(this.#condition);
    this.#peer =
      config.url === undefined
        ? undefined
        : new Peer(config.url, config.auth && tokenReader(config.auth.bearer, secret), durationMs(config.timeout));
    this.#webhooks = hooksByPath(deps);
  }

  async start(signal: AbortSignal): Promise<void> {
    const { config, wiring, webhooks, name } = this.#deps;
    const stop = AbortSignal.any([signal, this.#stopping.signal]);
    const { inlet, clock, log } = this.#deps;
    for (const [path, { signatures, shadow }] of this.#webhooks) {
      const receive = receiveWebhook(path, signatures, { inlet, standing: this.#standing, clock, log, signal: stop, shadow });
      this.#unmount.push(webhooks.mount(name, path, receive));
    }
    const peer = this.#peer;
    if (!peer) {
      if (wiring.polls.length > 0 || config.health) this.#standing.degraded("configuration", "polls and health need url");
      else this.#standing.ok("configuration");
      return;
    }
    if (config.health) this.#loops.push(this.#watch(peer, config.health, stop));
    for (const poll of wiring.polls) this.#loops.push(runPoll(poll, { ...this.#deps, peer, standing: this.#standing }, stop));
    // nothing asks the peer: it counts as there until a delivery says otherwise
    if (this.#loops.length === 0) this.#standing.ok("delivery");
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    for (const unmount of this.#unmount.splice(0)) unmount();
    await Promise.all(this.#loops.splice(0));
    this.#condition.stopped();
  }

  report(): ConnectorReport {
    return this.#condition.report();
  }

  async deliver(message: Outbound, signal: AbortSignal): Promise<Outcome> {
    if (message.kind !== "post") return { kind: "refused", reason: "an HTTP peer takes posts only" };
    if (!this.#peer) return { kind: "refused", reason: "this connector has no url to post to" };
    if (!this.#peer.addressOf(message.path))
      return { kind: "refused", reason: `the path ${message.path.slice(0, 200)} leads out of the connector's url` };
    const { outcome, exchange } = await post(this.#peer, message, AbortSignal.any([signal, this.#stopping.signal]));
    if (signal.aborted) return outcome;
    // with a health check of its own the peer is judged by that, but for what it denies: its health is often told to anybody
    const { health } = this.#deps.config;
    if (health && exchange.kind === "failed") return outcome;
    const reach = this.#reach.judge(exchange, message.key);
    if (reach === "answers") this.#standing.answered();
    if (health && reach === "answers") {
      this.#standing.over("delivery");
      return outcome;
    }
    const reason = "reason" in outcome ? outcome.reason : "";
    if (reach === "away") this.#standing.down("delivery", reason);
    else if (outcome.kind === "retry" || outcome.kind === "unknown") this.#standing.degraded("delivery", reason);
    else this.#standing.ok("delivery");
    if (reach === "answers" || (outcome.kind !== "retry" && outcome.kind !== "unknown")) return outcome;
    return { ...outcome, unanswered: true };
  }

  async #watch(peer: Peer, health: NonNullable<HttpConnectorConfig["health"]>, signal: AbortSignal): Promise<void> {
    const { clock, log } = this.#deps;
    const everyMs = durationMs(health.every);
    let wasUp: boolean | undefined;
    const fresh = () => backoff({ baseMs: Math.min(everyMs, 1000), capMs: everyMs });
    let delays = fresh();
    while (!signal.aborted) {
      const exchange = await peer.ask({ method: "GET", path: health.path }, signal);
      if (signal.aborted) return;
      const isUp = exchange.kind === "answer" && exchange.status >= 200 && exchange.status < 300;
      const reason = exchange.kind === "failed" ? exchange.reason : `${health.path} answers HTTP ${exchange.status}`;
      if (isUp) this.#standing.ok("health");
      else this.#standing.down("health", reason);
      if (isUp !== wasUp)
        log.info(
          { event: "http.peer.changed", up: isUp, ...(isUp ? {} : { reason }) },
          isUp ? "the peer is up" : "the peer is down",
        );
      if (isUp && wasUp !== true) delays = fresh();
      wasUp = isUp;
      await clock.sleep(isUp ? everyMs : delays.next().value, signal);
    }
  }
}

/** Read for each request, so that a replaced token is used at once. */
function tokenReader(bearer: SecretRef, secret: ConnectorDeps["secret"]): () => string {
  return () => secret(bearer);
}

interface Hook {
  readonly signatures: readonly Signature[];
  /** Only flows in shadow take the path. */
  readonly shadow: boolean;
}

/**
 * Several flows may take one path; a request has to satisfy each signature that any of them asks for. A flow in shadow has no say where a live one
 * takes the path.
 */
function hooksByPath({ wiring, secrets }: ConnectorDeps<HttpConnectorConfig>): Map<string, Hook> {
  return new Map(
    [...Map.groupBy(wiring.webhooks, ({ webhook }) => webhook)].map(([path, all]) => {
      const live = all.filter(({ shadow }) => shadow !== true);
      const signatures = (live.length > 0 ? live : all).flatMap(({ verify }) => {
        if (!verify) return [];
        const { secret, header } = verify.hmac;
        // missing now is said now, not with the first request
        secrets({ secret });
        return [{ header, secrets: () => secrets({ secret }) }];
      });
      return [path, { signatures, shadow: live.length === 0 }];
    }),
  );
}
