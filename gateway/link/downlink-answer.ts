import { z } from "zod";
import {
  type CloudEvent,
  cloudEvent,
  describeIssues,
  downlinkAnswer,
  type ReleaseOffer,
  releaseOffer,
} from "../../protocol/index.ts";
import type { HandedDown } from "./handed-down.ts";

/** One message of a poll's answer; without an `event` what central sent in its place (`body`) is none. */
export interface DownlinkMessage extends Omit<HandedDown, "centralAt"> {
  readonly sequence: number;
  readonly event: CloudEvent | undefined;
  readonly body: string;
}

export interface ParsedDownlink {
  readonly epoch: string;
  readonly messages: readonly DownlinkMessage[];
  readonly desired: {
    readonly revision: number;
    readonly digest?: string | undefined;
    readonly secrets?: string | undefined;
    /** An upgrade that is wanted and cannot be understood is told of, and nothing else suffers from it. */
    readonly release?: ReleaseOffer | { readonly problem: string };
  };
  readonly asks: readonly Ask[];
}
type Ask = NonNullable<z.infer<typeof downlinkAnswer>["asks"]>[number];

/**
 * An answer by what the gateway cannot do without: its numbering. What else cannot be understood is that one message's affair, else it
 * would hold up all that central sends from then on. What is said beside a message, and not understood, is the worst that it could have been.
 */
const { shape: desired } = downlinkAnswer.shape.desired;
const ask = downlinkAnswer.shape.asks.unwrap().element;
const answer = z.object({
  epoch: downlinkAnswer.shape.epoch,
  desired: z.object({
    revision: desired.revision,
    digest: desired.digest.catch(undefined),
    secrets: desired.secrets.catch(undefined),
    release: z.unknown().optional(),
  }),
  /** A newer central may ask what nobody here can answer. */
  asks: z.array(z.unknown()).catch([]).default([]),
  messages: z.array(
    z.object({
      sequence: z.int().min(1),
      event: z.unknown().optional(),
      waitedMs: z.int().min(0).optional().catch(undefined),
      again: z.literal(true).optional().catch(true),
    }),
  ),
});

/** @returns why it cannot be understood at all, where that is so */
export function parseDownlink(body: unknown): ParsedDownlink | { readonly problem: string } {
  const parsed = answer.safeParse(body);
  if (!parsed.success) return { problem: describeIssues(parsed.error) };
  const { epoch, desired, asks, messages } = parsed.data;
  const { release, ...wanted } = desired;
  return {
    epoch,
    desired: release === undefined ? wanted : { ...wanted, release: parseOffer(release) },
    asks: asks.flatMap((each) => ask.safeParse(each).data ?? []),
    messages: messages.map(({ sequence, event, waitedMs, again = false }) => {
      const valid = cloudEvent.safeParse(event);
      return { sequence, waitedMs, again, event: valid.data, body: JSON.stringify(valid.data ?? event ?? null) };
    }),
  };
}

function parseOffer(release: unknown): ReleaseOffer | { readonly problem: string } {
  const parsed = releaseOffer.safeParse(release);
  return parsed.success ? parsed.data : { problem: describeIssues(parsed.error) };
}
