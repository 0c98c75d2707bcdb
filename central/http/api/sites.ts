import { z } from "zod";
import { dryRunResult, shadowFlow } from "../../../protocol/index.ts";
import { documentKind, instantText, valueDifference } from "./common.ts";

/** Where a value of a site's configuration comes from. */
export const valueOrigin = z
  .object({
    from: z.enum(["policy", "template", "site", "default"]),
    document: z.string().optional().meta({ description: "Policy/prod-retention" }),
    revision: z.int().optional(),
    because: z.string().meta({ description: "its selector environment=prod, region=eu is the most specific one" }),
  })
  .meta({ id: "ValueOrigin" });
export type ValueOrigin = z.infer<typeof valueOrigin>;

/** `GET /v1/sites/{site}/effective` */
export const effectiveView = z
  .object({
    site: z.string(),
    environment: z.string(),
    labels: z.record(z.string(), z.string()),
    desiredRevision: z.int(),
    reportedRevision: z.int(),
    digest: z.string().nullable(),
    change: z.int().nullable(),
    documents: z
      .array(z.object({ kind: documentKind, name: z.string(), revision: z.int() }))
      .meta({ description: "What it was rendered from; revision 0: pushed, and not kept as a document." }),
    values: z.array(
      z.object({
        path: z.string(),
        value: z.unknown(),
        origin: valueOrigin,
        overrides: z.array(z.object({ value: z.unknown(), origin: valueOrigin })),
      }),
    ),
    secrets: z.array(
      z.object({
        name: z.string(),
        version: z.int().nullable(),
        missing: z.boolean().meta({ description: "Central has none: a file of the gateway's data folder may serve." }),
        paths: z.array(z.string()).meta({ description: "Where it is named: connectors.wms.password" }),
      }),
    ),
    unexplained: z.string().optional().meta({ description: "Why there are no values." }),
  })
  .meta({ id: "EffectiveConfiguration" });
export type EffectiveView = z.infer<typeof effectiveView>;

/** `GET /v1/sites/{site}/revisions` */
export const siteRevisions = z.object({
  revisions: z.array(
    z.object({ revision: z.int(), digest: z.string(), createdAt: instantText, change: z.int().nullable(), desired: z.boolean() }),
  ),
});

/** `GET /v1/sites/{site}/diff?from=3&to=5`, or `to=change:12`: rendered bundles. */
export const bundleDiff = z.object({ from: z.unknown(), to: z.unknown(), differences: z.array(valueDifference) });

/** `POST /v1/sites/{site}/dry-runs` */
export const dryRunBody = z.object({ change: z.int(), messages: z.int().min(1).max(10_000).default(1000) });
/** `GET /v1/sites/{site}/dry-runs/{id}` */
export const dryRunView = z
  .object({
    id: z.string(),
    site: z.string(),
    change: z.int().nullable(),
    state: z.enum(["asked", "done", "failed"]),
    askedAt: instantText,
    askedBy: z.string(),
    endedAt: instantText.nullable(),
    reason: z.string().nullable(),
    result: dryRunResult.nullable(),
  })
  .meta({ id: "DryRun" });
export type DryRunView = z.infer<typeof dryRunView>;
/** `GET /v1/sites/{site}/dry-runs`: the newest first, without their results. */
export const dryRunsAnswer = z.object({ dryRuns: z.array(dryRunView.omit({ result: true })) });

/** `GET /v1/sites/{site}/shadow`: of each flow in shadow its last report. */
export const shadowAnswer = z.object({ flows: z.array(shadowFlow.extend({ reportedAt: instantText })) });

/** `GET /v1/sites/{site}/keys` */
export const gatewayKeyView = z.object({
  fingerprint: z.string(),
  state: z.enum(["pending", "active", "retiring", "retired", "moved", "replaced", "revoked"]),
  origin: z.enum(["added", "enrolled", "imported", "rotated"]),
  createdAt: instantText,
  confirmedAt: instantText.nullable(),
  confirmedBy: z.string().nullable(),
  retiresAt: instantText.nullable(),
  rotationAsked: z.boolean(),
  /** Whether secrets can be sealed to it. */
  seals: z.boolean(),
});
/** `POST /v1/sites/{site}/enrollment-tokens` */
export const enrollmentTokenBody = z.object({
  lifeSeconds: z
    .int()
    .min(60)
    .max(72 * 3600)
    .default(3600),
});
export const enrollmentToken = z.object({ token: z.string(), site: z.string(), expiresAt: instantText });
/** `GET /v1/sites/{site}/keys` */
export const gatewayKeyList = z.object({ keys: z.array(gatewayKeyView) });
/** `POST /v1/sites/{site}/keys/{fingerprint}/confirm`, `…/revoke` */
export const keyDecided = z.object({ site: z.string(), fingerprint: z.string(), state: z.enum(["active", "revoked"]) });
/** `POST /v1/sites/{site}/enrollment-requests`, `GET /v1/sites/{site}/file`: a compact JWS to carry to the plant. */
export const siteFileView = z.object({ site: z.string(), fingerprint: z.string().nullable(), file: z.string() });
/** `POST /v1/signing-keys/rotate` */
export const rotateSigningKeyBody = z.object({
  overlapSeconds: z
    .int()
    .min(60)
    .max(30 * 86_400)
    .default(86_400),
});
export const rotatedSigningKey = z.object({ kid: z.string(), before: z.string(), overlapUntil: instantText });
