import { randomUUID } from "node:crypto";
import type { Connector, ConnectorDeps, Inlet, Input, Outbound, Prepared } from "../../gateway/connector/connector.ts";
import { odooKind } from "../../gateway/connector/odoo/kind.ts";
import { openLogger } from "../../gateway/telemetry/logger.ts";
import { type Clock, makeEvent, type OdooConnectorConfig, systemClock } from "../../protocol/index.ts";
import type { Report } from "./scenario.ts";

/** The way in, kept in memory: what a queue would hold. */
export class RecordingInlet implements Inlet {
  readonly inputs: Input[] = [];
  readonly cursors = new Map<string, string>();

  async accept(inputs: readonly Input[]) {
    for (const input of inputs) {
      this.inputs.push(input);
      for (const cursor of input.cursors ?? []) this.cursors.set(cursor.name, cursor.value);
    }
    return { recorded: inputs.length, deadLetterIds: [], repeats: 0, id: randomUUID() };
  }

  prepare(input: Input): Prepared {
    return { input };
  }

  commit(prepared: readonly Prepared[]) {
    return this.accept(prepared.map(({ input }) => input));
  }

  async cursor(name: string) {
    return this.cursors.get(name);
  }

  async release() {}
}

/** Waits pass a hundred times faster; instants stay true. */
export const hastyClock: Clock = {
  now: () => systemClock.now(),
  monotonic: () => systemClock.monotonic() * 100,
  sleep: (ms, signal) => systemClock.sleep(ms / 100, signal),
};

export interface ConnectorSetting {
  readonly url: string;
  readonly database: string;
  readonly apiKey: string;
  readonly warehouses: readonly string[];
  readonly inlet?: Inlet;
  readonly flows?: readonly string[];
  readonly config?: Partial<OdooConnectorConfig>;
}

export function openConnector(setting: ConnectorSetting): Connector {
  const config: OdooConnectorConfig = {
    type: "odoo",
    url: setting.url,
    database: setting.database,
    apiKey: { secret: "odoo" },
    erp: "hq",
    warehouses: [...setting.warehouses],
    units: { Units: "C62", kg: "KGM", g: "GRM" },
    every: "20s",
    timeout: "60s",
    settle: "15s",
    ...setting.config,
  };
  const deps: ConnectorDeps<OdooConnectorConfig> = {
    site: "hq",
    name: "erp",
    config,
    wiring: {
      topics: [],
      answers: [],
      webhooks: [],
      polls: [],
      items: [],
      sources: (setting.flows ?? []).map((flow) => ({ flow, source: "production-order.released" as const, overlap: "5m" })),
    },
    inlet: setting.inlet ?? new RecordingInlet(),
    secret: () => setting.apiKey,
    secrets: () => [setting.apiKey],
    webhooks: { mount: () => () => {} },
    folder: () => {
      throw new Error("the connector needs no folder");
    },
    clock: hastyClock,
    log: openLogger({ level: "silent", site: "hq" }),
  };
  return odooKind.create(deps);
}

export function outboundOf(report: Report, site: string, attempt = 1): Outbound {
  const event = makeEvent(report.type, report.data, {
    id: `${site}-${JSON.stringify(report.data).length}-${report.data.txnId ?? report.data.shortageId}`,
    site,
    connector: "wms",
    recordedAt: 1_790_000_000_000,
  });
  return { kind: "operation", operation: report.operation, event, key: event.partitionkey, attempt };
}

/**
 * Delivers one message as the gateway does to a `checkable` destination: after an unknown outcome it asks first, and sends again only when
 * the answer is no. Every second unknown outcome is followed by a restart, after which nothing but Odoo remembers.
 * @returns how often each outcome was seen
 */
export async function deliver(
  open: () => Connector,
  report: Report,
  site: string,
): Promise<{ unknown: number; verifiedDone: number; detail: string }> {
  const signal = AbortSignal.timeout(50_000);
  let connector = open();
  const seen = { unknown: 0, verifiedDone: 0, detail: "" };
  for (let attempt = 1; attempt <= 20; attempt++) {
    const message = outboundOf(report, site, attempt);
    const outcome = await connector.deliver!(message, signal);
    if (outcome.kind === "done") return { ...seen, detail: outcome.detail ?? "" };
    if (outcome.kind === "refused") throw new Error(`${report.operation} was refused: ${outcome.reason}`);
    if (outcome.kind === "retry") {
      await hastyClock.sleep(outcome.settlesInMs ?? 0);
      continue;
    }
    seen.unknown += 1;
    if (seen.unknown % 2 === 1) connector = open();
    for (let asked = 0; asked < 10; asked++) {
      const verdict = await connector.verify!(message, signal);
      if (verdict.kind === "done") return { ...seen, verifiedDone: 1, detail: verdict.detail ?? "" };
      if (verdict.kind === "not-done") break;
      await hastyClock.sleep(verdict.settlesInMs ?? 0);
    }
  }
  throw new Error(`${report.operation} did not come to an end`);
}
