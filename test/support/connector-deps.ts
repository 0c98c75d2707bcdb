import type { ConnectorDeps, Inlet, WebhookHost, Wiring } from "../../gateway/connector/connector.ts";
import { openLogger } from "../../gateway/telemetry/logger.ts";
import { type Clock, type ConnectorConfig, systemClock } from "../../protocol/index.ts";

/** What a connector is given, with `name`, `folder` and secrets of the test's choice. */
export function connectorDeps<Config extends ConnectorConfig>(options: {
  readonly name: string;
  readonly config: Config;
  readonly inlet: Inlet;
  readonly wiring?: Partial<Wiring>;
  readonly secrets?: Readonly<Record<string, string>>;
  readonly folder?: string;
  readonly webhooks?: WebhookHost;
  readonly clock?: Clock;
}): ConnectorDeps<Config> {
  const {
    name,
    config,
    inlet,
    wiring = {},
    secrets = {},
    folder = "/nonexistent",
    webhooks = { mount: () => () => {} },
    clock = systemClock,
  } = options;
  return {
    site: "lyon",
    name,
    config,
    wiring: { topics: [], answers: [], webhooks: [], polls: [], items: [], sources: [], ...wiring },
    inlet,
    secret: ({ secret }) => secrets[secret] ?? "",
    secrets: ({ secret }) => [secrets[secret] ?? ""],
    webhooks,
    folder: () => folder,
    clock,
    log: openLogger({ level: process.env.TEST_LOG ?? "silent", site: "lyon" }),
  };
}
