import type { Outbound, WebhookHost, Wiring } from "../../../../gateway/connector/connector.ts";
import { httpKind } from "../../../../gateway/connector/http/kind.ts";
import type { Logger } from "../../../../gateway/telemetry/logger.ts";
import type { Clock, HttpConnectorConfig } from "../../../../protocol/index.ts";
import { connectorDeps } from "../../../support/connector-deps.ts";
import { RecordingInlet } from "../../../support/recording-inlet.ts";

export const never = new AbortController().signal;

/** The connector, started, with an inlet in memory. */
export async function startConnector(options: {
  url?: string;
  config?: Partial<HttpConnectorConfig>;
  wiring?: Partial<Wiring>;
  inlet?: RecordingInlet;
  webhooks?: WebhookHost;
  clock?: Clock | undefined;
  log?: Logger;
  secrets?: Record<string, string>;
}) {
  const inlet = options.inlet ?? new RecordingInlet();
  const config: HttpConnectorConfig = { type: "http", url: options.url, timeout: "15s", ...options.config };
  const secrets = options.secrets ?? { token: "t0ken", hook: "hook-secret" };
  const deps = connectorDeps({ name: "scheduler", config, inlet, wiring: options.wiring, secrets, webhooks: options.webhooks });
  const { clock = deps.clock, log = deps.log } = options;
  const connector = httpKind.create({ ...deps, clock, log });
  await connector.start(never);
  return { inlet, connector, [Symbol.asyncDispose]: () => connector.stop() };
}

/** A delivery of an order. */
export const order = (path = "/orders"): Outbound => ({
  kind: "post",
  path,
  body: Buffer.from('{"order":"hq-mo-42"}'),
  idempotencyKey: "release/hq-mo-42/1",
  event: { id: "m1" } as Outbound["event"],
  key: "hq-mo-42",
  attempt: 1,
});
