import { durationMs, type LocalDestination } from "../../protocol/index.ts";
import type { Delivery } from "../queue/change.ts";

/** `unsure`: the machine was restarted while it waited, and only central's clock can tell for how long (rule 10). */
export type Timeliness =
  | { readonly kind: "in-time" }
  | { readonly kind: "too-late"; readonly reason: string }
  | { readonly kind: "unsure" };

/** Central's clock is known to whole seconds: two readings may be apart by so much the wrong way round. */
const toleranceMs = 2000;

/**
 * Whether a message is still worth carrying out. Its age is running time here plus what it waited before; no setting of a wall clock
 * makes it older or younger (P10). After a restart of the machine it is what central's clock went on by; a clock that went back tells nothing.
 */
export function judgeDeadline(
  { ageMs, waitedMs, centralAt }: Pick<Delivery, "ageMs" | "waitedMs" | "centralAt">,
  { expires }: Pick<LocalDestination, "expires">,
  message: { readonly happenedAt: number; readonly expiresAt?: number },
  centralNow: number | undefined,
): Timeliness {
  if (!expires) return { kind: "in-time" };
  const { after } = expires;
  const limitMs = after === undefined ? (message.expiresAt ?? 0) - message.happenedAt : durationMs(after);
  const here = ageMs ?? sinceByCentral(centralAt, centralNow);
  if (here === undefined) {
    // with a link, and still nothing to tell its age by: it stays undone
    return centralNow === undefined
      ? { kind: "unsure" }
      : { kind: "too-late", reason: "the machine was restarted while it waited, and nobody can tell for how long" };
  }
  const totalMs = here + (waitedMs ?? 0);
  if (totalMs <= limitMs) return { kind: "in-time" };
  return { kind: "too-late", reason: `it waited ${seconds(totalMs)}, ${seconds(Math.max(0, limitMs))} was the most` };
}

function sinceByCentral(centralAt: number | undefined, centralNow: number | undefined): number | undefined {
  if (centralAt === undefined || centralNow === undefined || centralNow < centralAt - toleranceMs) return undefined;
  return Math.max(0, centralNow - centralAt);
}

function seconds(ms: number): string {
  return `${Math.round(ms / 1000)} s`;
}
