import { z } from "zod";
import { lossesAnswer, sentAgain, unconfirmedAnswer } from "../../../central/http/api/losses.ts";
import { secretsAnswer } from "../../../central/http/api/secrets.ts";
import {
  bundleDiff,
  dryRunView,
  effectiveView,
  enrollmentToken,
  gatewayKeyView,
  shadowAnswer,
  siteRevisions,
} from "../../../central/http/api/sites.ts";
import { type Asked, digest, ok, type Reply } from "./answers.ts";
import { fields } from "./change-fixtures.ts";
import { ago } from "./fixtures.ts";
import { losses, unconfirmed } from "./losses-fixtures.ts";

/** What there is of one site, and the secrets of all. */
export function answerSites({ path, parts }: Asked): Reply | undefined {
  const [first, second, third] = parts;
  if (path === "/v1/secrets") {
    return ok(secretsAnswer, {
      secrets: [
        {
          name: "wms",
          owner: "integration@example.com",
          purpose: "The WMS",
          versions: [{ site: "", version: 4, createdAt: ago(9e8), createdBy: "ana", validUntil: null, expiresAt: ago(-5e8) }],
          warnings: ["expires in 5 days"],
        },
      ],
    });
  }
  if (first === "sites" && second) {
    if (third === "effective") return ok(effectiveView, effective(second));
    if (third === "revisions") {
      return ok(siteRevisions, {
        revisions: [11, 12, 13].map((revision) => ({
          revision,
          digest,
          createdAt: ago((14 - revision) * 80_000_000),
          change: revision === 11 ? null : revision - 3,
          desired: revision === 13,
        })),
      });
    }
    if (third === "shadow") return ok(shadowAnswer, { flows: [shadowFlow] });
    if (third === "diff") return ok(bundleDiff, { from: {}, to: {}, differences: [...fields] });
    if (third === "keys") {
      const key = {
        createdAt: ago(9e8),
        confirmedAt: ago(8e8),
        confirmedBy: "mira",
        retiresAt: null,
        rotationAsked: false,
        seals: true,
      };
      return ok(z.object({ keys: z.array(gatewayKeyView) }), {
        keys: [
          {
            ...key,
            fingerprint: "6f3670ac7974e60bc2523fe0f4a04c109b246ca1620da1b507a40ef06371ff7f",
            state: "pending",
            origin: "enrolled",
            confirmedAt: null,
            confirmedBy: null,
            createdAt: ago(60_000),
          },
          {
            ...key,
            fingerprint: "a1b507a40ef06371ff7f6f3670ac7974e60bc2523fe0f4a04c109b246ca1620d",
            state: "active",
            origin: "added",
          },
        ],
      });
    }
    if (third === "losses") {
      if (parts.at(-1) === "unconfirmed") return ok(unconfirmedAnswer, unconfirmed(second));
      if (parts.at(-1) === "send-again") return ok(sentAgain, { site: second, sent: 1 });
      return ok(lossesAnswer, losses(second));
    }
    if (third === "enrollment-tokens")
      return ok(enrollmentToken, { token: "pge_7hT2kLq9Xw", site: second, expiresAt: ago(-3_600_000) });
    if (third === "dry-runs") return ok(dryRunView, dryRun());
  }
  return undefined;
}

function effective(site: string): z.input<typeof effectiveView> {
  const policy = (name: string, because: string) => ({
    from: "policy" as const,
    document: `Policy/${name}`,
    revision: 2,
    because,
  });
  const builtIn = { from: "default" as const, because: "no document says anything" };
  const all = policy("all-sites", "its selector is empty: it holds for every site");
  const prod = policy("prod-retention", "its selector environment=prod, region=eu is the most specific one");
  return {
    site,
    environment: "prod",
    labels: { environment: "prod", region: "eu" },
    desiredRevision: 13,
    reportedRevision: 12,
    digest: `sha256:${digest}`,
    change: 10,
    documents: [
      { kind: "Template", name: "assembly-plant", revision: 7 },
      { kind: "Site", name: site, revision: 4 },
      { kind: "Policy", name: "prod-retention", revision: 2 },
      { kind: "Policy", name: "all-sites", revision: 1 },
    ],
    values: [
      {
        path: "lanes.transaction.maxBytes",
        value: 8_589_934_592,
        origin: prod,
        overrides: [
          { value: 4_294_967_296, origin: all },
          { value: 2_147_483_648, origin: builtIn },
        ],
      },
      { path: "lanes.telemetry.maxAge", value: "14d", origin: prod, overrides: [{ value: "7d", origin: builtIn }] },
      { path: "log.level", value: "info", origin: all, overrides: [] },
      { path: "encryption.atRest", value: true, origin: all, overrides: [{ value: false, origin: builtIn }] },
      { path: "uplink.window", value: 4, origin: builtIn, overrides: [] },
      {
        path: "connectors.wms.url",
        value: "mqtts://wms.lyon.plant:8883",
        origin: { from: "site", document: `Site/${site}`, revision: 4, because: "parameter wmsUrl" },
        overrides: [],
      },
      {
        path: "flows.picks.retry",
        value: { attempts: 20, base: "500ms", cap: "30s" },
        origin: { from: "template", document: "Template/assembly-plant", revision: 7, because: "" },
        overrides: [],
      },
    ],
    secrets: [
      { name: "wms", version: 4, missing: false, paths: ["connectors.wms.password"] },
      { name: "scheduler", version: null, missing: true, paths: ["connectors.scheduler.auth.bearer"] },
    ],
  } as z.input<typeof effectiveView>;
}

function dryRun(): z.input<typeof dryRunView> {
  return {
    id: "dr-1",
    site: "lyon",
    change: 12,
    state: "done",
    askedAt: ago(9000),
    askedBy: "mira",
    endedAt: ago(2000),
    reason: null,
    result: {
      inputs: 1000,
      same: 940,
      different: 60,
      skipped: 0,
      flows: [
        {
          flow: "picks",
          inputs: 820,
          different: 60,
          skipped: 0,
          refusedBefore: 0,
          refusedAfter: 3,
          fields: [
            { path: "data.lot", count: 57, after: "L-2231" },
            { path: "data.qtyPicked.value", count: 3, before: "12", after: "12.0" },
          ],
          reasons: [{ code: "map-failed", count: 3, message: "line.lot is missing" }],
        },
        { flow: "orders", inputs: 180, different: 0, skipped: 0, refusedBefore: 0, refusedAfter: 0, fields: [], reasons: [] },
      ],
    },
  } as unknown as z.input<typeof dryRunView>;
}

const shadowFlow = {
  flow: "picks-next",
  against: ["picks"],
  since: ago(86_400_000),
  reportedAt: ago(12_000),
  same: 4120,
  different: 38,
  onlyShadow: 0,
  onlyLive: 2,
  refused: 2,
  skipped: 0,
  fields: [{ path: "data.lot", count: 38, after: "L-2231" }],
  reasons: [{ code: "map-failed", count: 2, message: "line.lot is missing" }],
};
