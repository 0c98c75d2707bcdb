import { z } from "zod";
import { type ChangeView, changeDiff, changesAnswer, changeView } from "../../../central/http/api/changes.ts";
import { documentHistory, documentRevision, documentsAnswer, validateAnswer } from "../../../central/http/api/documents.ts";
import { auditAnswer, auditVerification, sessionView, tokenView, userView } from "../../../central/http/api/people.ts";
import { rolloutsAnswer, rolloutView } from "../../../central/http/api/rollouts.ts";
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
import { ago } from "./fixtures.ts";

/** A made-up company's configuration, answered by the shapes of central/http/api: each answer is parsed by its shape before it leaves. */
export interface ConfigurationWorld {
  user: string;
  /** None: no session. */
  signedIn: boolean;
  change: ChangeView;
  problems: z.input<typeof validateAnswer>["problems"];
  /** What a validation finds in the text. */
  judge: (text: string) => z.input<typeof validateAnswer>["problems"];
  readonly sent: { readonly method: string; readonly path: string; readonly body: unknown }[];
  /** Instead of the usual answer. */
  readonly instead: Map<string, () => Reply>;
}
export interface Reply {
  readonly status: number;
  readonly body: unknown;
  readonly headers?: Readonly<Record<string, string>>;
}

export const templateText = `apiVersion: plantgate/v1
kind: Template
metadata:
  name: assembly-plant
  owner: integration@example.com
  purpose: Orders out and facts back
spec:
  parameters:
    wmsUrl: { type: string, format: uri }
  connectors:
    wms:
      type: mqtt
      url: "\${wmsUrl}"
      grants: { subscribe: ["wms/#"], publish: ["wms/orders/#"] }
  flows:
    picks:
      purpose: Tell the ERP what was picked
      from: { connector: wms, topic: "wms/picks/+/confirmed" }
      split: payload.lines
      as: pick.confirmed
      map: '{ "moId": payload.mo, "item": line.sku, "qtyPicked": $quantity(line.qty, line.uom) }'
      key: data.moId
      to: [{ central: true }]
`;
const changedText = templateText
  .replace("qtyPicked", 'lot": line.lot, "qtyPicked')
  .replace("      key: data.moId\n", "      key: data.moId\n      retry: { attempts: 40, base: 1s }\n");

const digest = "9f1c2b7e5a604d38c1b9aa07d2f1e6c43b58d9017ee2c3a45f60b18d7c92e041";

export function configurationWorld(): ConfigurationWorld {
  return {
    user: "mira",
    signedIn: true,
    change: change(),
    problems: [],
    judge: () => [],
    sent: [],
    instead: new Map(),
  };
}

export function change(changes: Partial<ChangeView> = {}): ChangeView {
  return changeView.parse({
    number: 12,
    title: "Picks carry their lot",
    environment: "prod",
    state: "review",
    author: "mira",
    expedited: false,
    reviewDueSince: null,
    promotedFrom: 9,
    createdAt: ago(7_300_000),
    updatedAt: ago(1_400_000),
    rollout: null,
    description: "The ERP asks for the lot since its last release.\nRan in test for a week.",
    digest,
    version: 3,
    strategy: {},
    reason: null,
    documents: [{ kind: "Template", name: "assembly-plant", revision: 8, base: 7, text: changedText }],
    problems: [],
    events: [
      { number: 1, at: ago(7_300_000), actor: "mira", kind: "created", text: "" },
      { number: 2, at: ago(5_000_000), actor: "mira", kind: "edited", text: "" },
      { number: 3, at: ago(1_500_000), actor: "mira", kind: "submitted", text: "Please look at the lot of returned goods." },
      {
        number: 4,
        at: ago(1_400_000),
        actor: "tomas",
        kind: "commented",
        text: "Does the WMS always send a lot? See the example without one.",
      },
    ],
    may: {
      approve: { allowed: false, reason: "You wrote it; a second person has to approve it." },
      reject: { allowed: false, reason: "You wrote it; take it back instead." },
      withdraw: { allowed: true },
      abandon: { allowed: true },
      comment: { allowed: true },
      submit: { allowed: false, reason: "It is in review already." },
      promote: { allowed: false, reason: "It is not done yet." },
    },
    ...changes,
  });
}

const summaries = (world: ConfigurationWorld) => [
  world.change,
  change({
    number: 11,
    title: "Longer retention of samples in the EU",
    environment: "test",
    state: "rolling-out",
    author: "tomas",
    rollout: 6,
    promotedFrom: null,
  }),
  change({
    number: 10,
    title: "WMS of Gent answers under another name",
    environment: "prod",
    state: "done",
    author: "ana",
    expedited: true,
    reviewDueSince: ago(90_000_000),
    rollout: 5,
    promotedFrom: null,
  }),
  change({ number: 9, title: "Picks carry their lot", environment: "test", state: "done", rollout: 4, promotedFrom: 7 }),
  change({
    number: 8,
    title: "Fewer retries towards the scheduler",
    environment: "dev",
    state: "rolled-back",
    author: "ana",
    rollout: 3,
    promotedFrom: null,
  }),
  change({ number: 13, title: "Porto gets the press connector", environment: "dev", state: "draft", promotedFrom: null }),
];

const fields = [
  {
    path: "flows.picks.map",
    kind: "changed",
    before: '{ "moId": payload.mo, "item": line.sku }',
    after: '{ "moId": payload.mo, "item": line.sku, "lot": line.lot }',
  },
  { path: "flows.picks.retry.attempts", kind: "changed", before: 20, after: 40 },
  { path: "flows.picks.retry.base", kind: "added", after: "1s" },
] as const;

const siteNames = ["lyon", "gent", "porto", "brno", "aalen", "vigo", "turin", "lodz"];

function diff(): z.input<typeof changeDiff> {
  return {
    documents: [
      {
        kind: "Template",
        name: "assembly-plant",
        before: { revision: 7, text: templateText },
        after: { revision: 8, text: changedText },
      },
    ],
    sites: [
      ...siteNames.slice(0, 5).map((site) => ({
        site,
        before: { revision: 12, bundle: {} },
        after: { bundle: {} },
        differences: [...fields],
        problems: [],
      })),
      {
        site: "vigo",
        before: null,
        after: null,
        differences: [],
        problems: [{ file: "Site/vigo", line: 9, column: 5, path: "spec.parameters", message: 'parameter "wmsUrl" is missing' }],
      },
    ],
    examples: [
      { template: "assembly-plant", flow: "picks", given: "examples/two-lots.json", ok: true, differences: [] },
      {
        template: "assembly-plant",
        flow: "picks",
        given: "examples/no-lot.json",
        ok: false,
        differences: ['[0].lot: expected "", came nothing'],
      },
    ],
  };
}

const histories = [
  {
    kind: "Template",
    name: "assembly-plant",
    owner: "integration@example.com",
    purpose: "Orders out and facts back",
    labels: {},
    revision: 8,
    environments: { dev: 8, test: 8, prod: 7 },
  },
  {
    kind: "Template",
    name: "odoo-hq",
    owner: "erp@example.com",
    purpose: "The ERP's side of every plant",
    labels: {},
    revision: 3,
    environments: { test: 3, prod: 3 },
  },
  {
    kind: "Site",
    name: "lyon",
    owner: "integration@example.com",
    purpose: "Housings and pumps",
    labels: { environment: "prod", region: "eu" },
    revision: 4,
    environments: { prod: 4 },
  },
  {
    kind: "Policy",
    name: "prod-retention",
    owner: "operations@example.com",
    purpose: "How long messages are kept in production",
    labels: {},
    revision: 2,
    environments: { prod: 2 },
  },
  {
    kind: "Secret",
    name: "wms",
    owner: "integration@example.com",
    purpose: "The gateway's account at the WMS",
    labels: {},
    revision: 1,
    environments: {},
  },
] as const;

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

const counts = (given: Partial<Record<string, number>>) => ({
  waiting: 0,
  told: 0,
  watching: 0,
  healthy: 0,
  pending: 0,
  failed: 0,
  "putting-back": 0,
  "put-back": 0,
  ...given,
});

export function rollout(changes: Record<string, unknown> = {}): z.infer<typeof rolloutView> {
  const site = (
    name: string,
    state: string,
    reason: string | null = null,
    reported = state === "healthy" || state === "watching" ? 13 : 12,
  ) => ({
    site: name,
    state,
    reason,
    fromRevision: 12,
    toRevision: 13,
    reportedRevision: reported,
    updatedAt: ago(20_000),
  });
  return rolloutView.parse({
    number: 6,
    change: 11,
    title: "Longer retention of samples in the EU",
    environment: "test",
    state: "running",
    wave: 1,
    waves: 3,
    counts: counts({ healthy: 1, watching: 2, told: 1, pending: 1, waiting: 6 }),
    summary: "1 healthy, 3 under way, 1 out of reach, 6 to come",
    reason: null,
    createdAt: ago(400_000),
    updatedAt: ago(1000),
    endedAt: null,
    strategy: {},
    plan: [
      { wave: 0, title: "canary", state: "passed", heldMs: 120_000, windowMs: 120_000, sites: [site("lyon-test", "healthy")] },
      {
        wave: 1,
        title: "10 %",
        state: "watching",
        heldMs: 47_000,
        windowMs: 120_000,
        sites: [
          site("gent-test", "watching"),
          site("porto-test", "watching"),
          site("brno-test", "told"),
          site("vigo-test", "pending", "silent for 14 min"),
        ],
      },
      {
        wave: 2,
        title: "the rest",
        state: "waiting",
        heldMs: 0,
        windowMs: 120_000,
        sites: ["aalen", "turin", "lodz", "graz", "metz", "split"].map((name) => site(`${name}-test`, "waiting")),
      },
    ],
    events: [
      { number: 1, at: ago(400_000), site: "", kind: "started", text: "Began with wave 1 of 3" },
      { number: 2, at: ago(398_000), site: "lyon-test", kind: "told", text: "told revision 13" },
      { number: 3, at: ago(390_000), site: "lyon-test", kind: "watching", text: "reports revision 13" },
      { number: 4, at: ago(270_000), site: "", kind: "passed", text: "Wave 1 held its gate for 2 min" },
      { number: 5, at: ago(60_000), site: "vigo-test", kind: "pending", text: "out of reach for 10 min; goes on without it" },
    ],
    may: {
      pause: { allowed: true },
      abort: { allowed: true },
      resume: { allowed: false, reason: "It is not paused." },
    },
    ...changes,
  });
}

const failed = () =>
  rollout({
    number: 3,
    change: 8,
    title: "Fewer retries towards the scheduler",
    environment: "dev",
    state: "rolled-back",
    wave: 0,
    counts: counts({ "put-back": 1, waiting: 10 }),
    summary: "1 put back, 10 never told",
    reason: "lyon-dev: 4 new dead letters, 0 are allowed",
    endedAt: ago(80_000_000),
  });

function users(): z.input<typeof userView>[] {
  const user = (name: string, roles: string[], changes: Record<string, unknown> = {}) => ({
    name,
    roles,
    environments: ["*"],
    createdAt: ago(900_000_000),
    createdBy: "admin-token",
    disabled: false,
    lockedUntil: null,
    hasPassword: true,
    ...changes,
  });
  return [
    user("ana", ["engineer", "operator"], { environments: ["dev", "test"] }),
    user("mira", ["engineer", "approver", "admin"]),
    user("noor", ["viewer"], { hasPassword: false, createdAt: ago(3_600_000), createdBy: "mira" }),
    user("piotr", ["operator"], { lockedUntil: ago(-600_000) }),
    user("tomas", ["approver"]),
    user("ulla", ["engineer"], { disabled: true }),
  ] as z.input<typeof userView>[];
}

const auditEntries = (): z.input<typeof auditAnswer> => ({
  next: 0,
  entries: [
    ["login.succeeded", "user/mira", "mira", {}],
    ["change.created", "change/12", "mira", { environment: "prod", digest }],
    ["change.submitted", "change/12", "mira", {}],
    ["login.failed", "user/piotr", "", { from: "10.4.0.17" }],
    ["user.locked", "user/piotr", "", { until: ago(-600_000) }],
    ["rollout.started", "rollout/6", "central", { change: 11 }],
  ].map(([action, subject, actor, detail], index) => ({
    number: 4801 + index,
    at: ago(600_000 - index * 60_000),
    actor: actor as string,
    action: action as string,
    subject: subject as string,
    detail: detail as Record<string, unknown>,
    hash: digest.slice(index) + digest.slice(0, index),
  })),
});

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

const may = (allowed: boolean) => ({ allowed });

/** @returns undefined: not one of these */
export function answerConfiguration(
  world: ConfigurationWorld,
  method: string,
  path: string,
  query: URLSearchParams,
  body: unknown,
): Reply | undefined {
  const instead = world.instead.get(`${method} ${path}`);
  if (instead) return instead();
  if (method !== "GET") world.sent.push({ method, path, body });
  const ok = <T>(shape: z.ZodType<T>, value: unknown): Reply => ({ status: 200, body: shape.parse(value) });
  const parts = path.split("/").slice(2).map(decodeURIComponent);
  const [first, second, third, fourth] = parts;
  if (first === "session") {
    if (method === "DELETE") world.signedIn = false;
    if (method === "POST") world.signedIn = true;
    return ok(sessionView, {
      user: world.user,
      kind: "user",
      roles: ["engineer", "approver", "admin"],
      environments: ["*"],
      csrf: "c-1",
      mustSetPassword: false,
    });
  }
  if (path === "/v1/validate") {
    const files = (body as { files: { text: string }[] }).files;
    return ok(validateAnswer, { problems: files.flatMap(({ text }) => world.judge(text)) });
  }
  if (path === "/v1/documents") {
    return ok(documentsAnswer, {
      documents: histories.map((document) => ({ ...document, changedAt: ago(5_000_000), changedBy: "mira" })),
    });
  }
  if (first === "documents" && second && third) {
    const found = histories.find(({ kind, name }) => kind === second && name === third);
    if (!found) return undefined;
    if (fourth === "revisions") {
      const revision = Number(parts[4]);
      const text =
        found.kind === "Template"
          ? revision >= 8
            ? changedText
            : templateText
          : `apiVersion: plantgate/v1\nkind: ${found.kind}\nmetadata: { name: ${found.name}, owner: ${found.owner}, purpose: ${found.purpose} }\nspec: {}\n`;
      const attachments = found.kind === "Template" ? { "examples/two-lots.json": '{ "mo": "WH/MO/00042", "lines": [] }\n' } : {};
      return ok(documentRevision, {
        ...found,
        revision,
        digest,
        text,
        attachments,
        createdAt: ago(5_000_000),
        createdBy: "mira",
        change: 12,
      });
    }
    const revisions = Array.from({ length: found.revision }, (_, index) => ({
      revision: index + 1,
      digest,
      createdAt: ago((found.revision - index) * 90_000_000),
      createdBy: index % 2 ? "mira" : "ana",
      change: index + 4,
    }));
    return ok(documentHistory, { ...found, changedAt: ago(5_000_000), changedBy: "mira", revisions });
  }
  if (path === "/v1/changes") {
    if (method === "POST") {
      world.change = change({
        ...(body as Partial<ChangeView>),
        number: 14,
        state: "draft",
        author: world.user,
        documents: [],
        may: { submit: may(true), abandon: may(true) },
      });
      return ok(changeView, world.change);
    }
    return ok(changesAnswer, { changes: summaries(world) });
  }
  if (first === "changes" && second) {
    if (third === "diff") return ok(changeDiff, diff());
    if (method === "GET" && Number(second) !== world.change.number) {
      const other = summaries(world).find(({ number }) => number === Number(second));
      return other && ok(changeView, other);
    }
    return ok(changeView, world.change);
  }
  if (path === "/v1/rollouts") {
    const done = rollout({
      number: 5,
      change: 10,
      title: "WMS of Gent answers under another name",
      environment: "prod",
      state: "done",
      counts: counts({ healthy: 39, pending: 1 }),
      summary: "39 done, 1 pending",
      endedAt: ago(90_000_000),
    });
    return ok(rolloutsAnswer, { rollouts: [rollout(), done, failed()] });
  }
  if (first === "rollouts" && second) return ok(rolloutView, Number(second) === 3 ? failed() : rollout());
  if (path === "/v1/users") return ok(z.object({ users: z.array(userView) }), { users: users() });
  if (first === "users" && third === "links")
    return { status: 201, body: { url: "https://central.example.com/signin?code=abc", expiresAt: ago(-600_000) } };
  if (path === "/v1/tokens") {
    const token = {
      id: "t1",
      user: "mira",
      purpose: "Build server pushes templates",
      roles: ["engineer"],
      environments: ["dev"],
      createdAt: ago(9e8),
      expiresAt: ago(-9e8),
      revokedAt: null,
      lastUsedAt: ago(60_000),
    };
    if (method === "POST") return { status: 201, body: { ...token, token: "pgt_0123456789abcdef" } };
    return ok(z.object({ tokens: z.array(tokenView) }), {
      tokens: [
        token,
        {
          ...token,
          id: "t2",
          user: "ana",
          purpose: "Reads the ledger into the warehouse",
          roles: ["viewer"],
          revokedAt: ago(5e6),
          lastUsedAt: null,
        },
      ],
    });
  }
  if (path === "/v1/audit/verify") return ok(auditVerification, { entries: 4806, head: digest, badAt: null });
  if (path === "/v1/audit") return ok(auditAnswer, auditEntries());
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
    if (third === "enrollment-tokens")
      return ok(enrollmentToken, { token: "pge_7hT2kLq9Xw", site: second, expiresAt: ago(-3_600_000) });
    if (third === "dry-runs") return ok(dryRunView, dryRun());
  }
  void query;
  return undefined;
}
