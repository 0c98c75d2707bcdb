import { z } from "zod";
import { rolloutStrategy } from "./changes.ts";
import { instantText } from "./common.ts";

/** queued: another one of its environment comes first. putting-back: sites return to what they had, then `aborted` or `rolled-back`. */
export const rolloutStates = ["queued", "running", "paused", "putting-back", "done", "aborted", "rolled-back"] as const;
export const rolloutState = z.enum(rolloutStates);
export type RolloutState = (typeof rolloutStates)[number];

/**
 * waiting: its wave has not come. told: it is desired there. watching: in effect, its health is looked at. healthy: its gate held.
 * pending: told, and out of reach; it gets it when it returns. failed, then put-back: it runs what it had before again.
 */
export const rolloutSiteStates = [
  "waiting",
  "told",
  "watching",
  "healthy",
  "pending",
  "failed",
  "putting-back",
  "put-back",
] as const;
export const rolloutSiteState = z.enum(rolloutSiteStates);
export type RolloutSiteState = (typeof rolloutSiteStates)[number];

export const rolloutSummary = z
  .object({
    number: z.int(),
    change: z.int(),
    title: z.string(),
    release: z.string().nullable().meta({ description: "The version of gateways that it brings; null: a configuration." }),
    environment: z.string(),
    state: rolloutState,
    wave: z.int().meta({ description: "From 0." }),
    waves: z.int(),
    counts: z.record(rolloutSiteState, z.int()),
    summary: z.string().meta({ description: "39 done, 1 pending" }),
    reason: z.string().nullable(),
    createdAt: instantText,
    updatedAt: instantText,
    endedAt: instantText.nullable(),
  })
  .meta({ id: "RolloutSummary" });
export type RolloutSummary = z.infer<typeof rolloutSummary>;
export const rolloutsAnswer = z.object({ rollouts: z.array(rolloutSummary) });

/** `GET /v1/rollouts/{number}` */
export const rolloutView = rolloutSummary
  .extend({
    strategy: rolloutStrategy,
    plan: z.array(
      z.object({
        wave: z.int(),
        title: z.string().meta({ description: "canary, 10 %, the rest" }),
        state: z.enum(["waiting", "updating", "watching", "passed", "failed"]),
        heldMs: z.int(),
        windowMs: z.int(),
        sites: z.array(
          z.object({
            site: z.string(),
            state: rolloutSiteState,
            reason: z.string().nullable(),
            fromRevision: z.int(),
            toRevision: z.int(),
            reportedRevision: z.int(),
            fromVersion: z.string().nullable().meta({ description: "Of a rollout of a version; null: of a configuration." }),
            toVersion: z.string().nullable(),
            reportedVersion: z.string().nullable(),
            upgrade: z
              .string()
              .nullable()
              .meta({ description: "What its gateway says of the upgrade: downloading, trial, kept." }),
            updatedAt: instantText,
          }),
        ),
      }),
    ),
    events: z.array(z.object({ number: z.int(), at: instantText, site: z.string(), kind: z.string(), text: z.string() })),
    may: z.record(z.string(), z.object({ allowed: z.boolean(), reason: z.string().optional() })),
  })
  .meta({ id: "Rollout" });
export type RolloutView = z.infer<typeof rolloutView>;

/** `POST /v1/rollouts/{number}/{pause|resume|abort}` */
export const rolloutDecision = z.object({ reason: z.string().max(2000).default("") });
