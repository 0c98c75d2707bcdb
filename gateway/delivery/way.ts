import {
  type ConnectorReport,
  delayForAttempt,
  durationMs,
  type FlowConfig,
  type LocalDestination,
  type PlantgateError,
} from "../../protocol/index.ts";
import type { Connector, Outbound } from "../connector/connector.ts";
import type { Delivery } from "../queue/change.ts";

/**
 * What one attempt leads to. `later`: to be tried again after `afterMs`; `outage` where the receiver was away, so that it is due as soon as it
 * is back. `awaits`: the receiver's answer, which wakes the runner.
 */
export type Step =
  | { readonly kind: "finished" }
  | { readonly kind: "later"; readonly afterMs: number; readonly outage: boolean }
  | { readonly kind: "awaits" };

/** What a delivery needs of its connector. */
export type Receiver = Pick<Connector, "deliver" | "verify"> & { report(): Pick<ConnectorReport, "state"> };

/** One delivery on its way: what it is, where it goes, and by which rules. */
export interface Way {
  readonly delivery: Delivery;
  readonly message: Outbound;
  readonly to: LocalDestination;
  /** Where its receiver's answer is awaited: the value that the answer has to match, or why that cannot be told. */
  readonly answer: string | PlantgateError | undefined;
  readonly connector: Receiver;
  readonly signal: AbortSignal;
  readonly retry: FlowConfig["retry"];
  readonly onExhausted: FlowConfig["onExhausted"];
}

/** The delay before the next attempt, after `attempts`. */
export function nextDelayMs({ retry }: Way, attempts: number): number {
  return delayForAttempt(attempts, { baseMs: durationMs(retry.base), capMs: durationMs(retry.cap) });
}

export function isUp(connector: Receiver): boolean {
  const { state } = connector.report();
  return state === "up" || state === "degraded";
}
