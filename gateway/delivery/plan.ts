import { type Bundle, type CloudEvent, type ErrorCode, type FlowConfig, PlantgateError } from "../../protocol/index.ts";
import type { Mapping, Rendered } from "../flow/mapping.ts";
import type { Delivery } from "../queue/change.ts";
import { findDestination } from "./destination.ts";
import { asksForAnswer } from "./expectations.ts";
import type { Way } from "./way.ts";

/** What one configuration makes of a delivery. All that depends on the configuration is read here, in one go: what is sent comes whole from one. */
export type Plan =
  | ({ readonly kind: "send"; readonly rendered: Exclude<Rendered, { kind: "failed" }> } & Pick<Way, "to" | "answer"> &
      Pick<FlowConfig, "retry" | "onExhausted">)
  | FailedPlan;

/** By this configuration it cannot be sent. `isGone`: that does not have its destination any more. */
export interface FailedPlan {
  readonly kind: "failed";
  readonly code: ErrorCode;
  readonly reason: string;
  readonly isGone?: true;
}

export async function planOf(delivery: Delivery, event: CloudEvent, bundle: Bundle | undefined, mapping: Mapping): Promise<Plan> {
  const { connector, flow: name } = delivery;
  if (!bundle?.connectors[connector]) return gone(`the connector "${connector}"`);
  const found = findDestination(bundle, delivery);
  const flow = bundle.flows[name];
  if (!found || !flow) return gone("this destination");
  const { to, index } = found;
  const rendered = await mapping.render(name, index, event);
  if (rendered.kind === "failed") return rendered;
  const answer = asksForAnswer(to) ? await expectedAnswer(mapping.expected(name, index, event)) : undefined;
  const retry = { ...flow.retry, ...to.retry };
  const { onExhausted = flow.onExhausted } = to;
  return { kind: "send", rendered, to, answer, retry, onExhausted };
}

function gone(what: string): Plan {
  const reason = `the configuration does not have ${what} any more`;
  return { kind: "failed", code: "DESTINATION_INVALID", reason, isGone: true };
}

/** The value that an answer has to match, or why it cannot be told of this message. */
async function expectedAnswer(expected: Promise<string>): Promise<string | PlantgateError> {
  try {
    return await expected;
  } catch (error) {
    if (error instanceof PlantgateError && error.disposition === "reject") return error;
    throw error;
  }
}
