import { durationMs, type LocalDestination } from "../../protocol/index.ts";
import type { Delivery } from "../queue/change.ts";

/** `unsure`: the machine was restarted while it waited, and only central's clock can tell for how long (rule 10). */
export type Timeliness =
  | { readonly kind: "in-time" }
  | { readonly kind: "too-late"; readonly reason: string }
  | { readonly kind: "unsure" };

/**
 * Whether a message is still worth carrying out. Its age is running time here plus what it waited before; no setting of a wall clock
 * makes it older or younger (P10).
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
  const here = ageMs ?? (centralNow === undefined || centralAt === undefined ? undefined : centralNow - centralAt);
  if (here === undefined) {
    // with a link, and still nothing to tell its age by: it stays undone
    return centralNow === undefined
      ? { kind: "unsure" }
      : { kind: "too-late", reason: "the machine was restarted while it waited, and nobody can tell for how long" };
  }
  const totalMs = Math.max(0, here) + (waitedMs ?? 0);
  if (totalMs <= limitMs) return { kind: "in-time" };
  return { kind: "too-late", reason: `it waited ${seconds(totalMs)}, ${seconds(Math.max(0, limitMs))} was the most` };
}

function seconds(ms: number): string {
  return `${Math.round(ms / 1000)} s`;
}
