import { z } from "zod";
import { bundle } from "./bundle.ts";
import { identifier, instant } from "./types/common.ts";

/** What one field was in two ways of doing the same: how often it differs, and one example. A side that is absent does not have it. */
export const fieldDifference = z
  .object({
    /** In dots, elements of a list as `[]`: `data.lines[].qty`, `to.wms.topic.body.qty`; `message`: a whole message that only one side makes. */
    path: z.string().max(1000),
    count: z.int().min(1),
    before: z.unknown().optional(),
    after: z.unknown().optional(),
  })
  .meta({ id: "FieldDifference" });
export type FieldDifference = z.infer<typeof fieldDifference>;

/** Why inputs are refused now. */
const refusals = z.array(z.object({ code: z.string().max(64), count: z.int().min(1), message: z.string().max(1000) })).max(100);

/** What a candidate makes of the inputs that a site recorded, beside what the configuration in effect makes of them. */
export const dryRunResult = z
  .object({
    inputs: z.int().min(0),
    same: z.int().min(0),
    different: z.int().min(0),
    /** Not run: the time was up, or too many inputs of their flow had run out of theirs. */
    skipped: z.int().min(0),
    flows: z
      .array(
        z.object({
          flow: z.string().max(256),
          inputs: z.int().min(0),
          different: z.int().min(0),
          skipped: z.int().min(0),
          fields: z.array(fieldDifference).max(1000),
          refusedBefore: z.int().min(0),
          refusedAfter: z.int().min(0),
          reasons: refusals,
        }),
      )
      .max(2000),
  })
  .meta({ id: "DryRunResult" });
export type DryRunResult = z.infer<typeof dryRunResult>;

/** `typ` of the JWS of a {@link dryRunCandidate}. */
export const dryRunType = "plantgate-dry-run+jws";

/**
 * `GET /v1/sites/{site}/dry-runs/{id}/candidate`: the payload of a compact JWS by central. Its kind and shape are none of a bundle, so nobody
 * can put it into effect; nor is a bundle taken for one.
 */
export const dryRunCandidate = z.object({
  kind: z.literal("DryRun"),
  id: identifier,
  site: identifier,
  /** Of the newest inputs, so many at most. */
  messages: z.int().min(1).max(10_000),
  bundle: bundle.omit({ revision: true, createdAt: true }),
});
export type DryRunCandidate = z.infer<typeof dryRunCandidate>;

/** `POST /v1/sites/{site}/dry-runs/{id}/result` */
export const dryRunAnswer = z.discriminatedUnion("state", [
  z.object({ state: z.literal("done"), result: dryRunResult }),
  z.object({ state: z.literal("failed"), reason: z.string().max(4000) }),
]);
export type DryRunAnswer = z.infer<typeof dryRunAnswer>;

/** What a flow in shadow would have done, beside what the live ones did with the same; `before`: live, `after`: shadow. */
export const shadowFlow = z
  .object({
    flow: z.string().max(256),
    /** The live flows that it is compared with; none: all that it makes is its own. */
    against: z.array(z.string().max(256)).max(100),
    /** Since when it is counted: a change of one of these flows begins anew. */
    since: instant,
    same: z.int().min(0),
    different: z.int().min(0),
    onlyShadow: z.int().min(0),
    onlyLive: z.int().min(0),
    /** Inputs that the flow in shadow would have refused. */
    refused: z.int().min(0),
    /** Inputs that it did not get to. */
    skipped: z.int().min(0),
    fields: z.array(fieldDifference).max(1000),
    reasons: refusals,
  })
  .meta({ id: "ShadowFlow" });
export type ShadowFlow = z.infer<typeof shadowFlow>;

/** `POST /v1/sites/{site}/shadow-reports`: all flows in shadow, as they stand. */
export const shadowReport = z.object({ flows: z.array(shadowFlow).max(200) });
export type ShadowReport = z.infer<typeof shadowReport>;
