import type { z } from "zod";
import { type ChangeView, changeDiff, changesAnswer, changeView } from "../../../central/http/api/changes.ts";
import { type Asked, type ConfigurationWorld, digest, ok, type Reply } from "./answers.ts";
import { changedText, templateText } from "./document-fixtures.ts";
import { ago } from "./fixtures.ts";

export function answerChanges({ world, method, path, parts: [first, second, third], body }: Asked): Reply | undefined {
  if (path === "/v1/changes") {
    if (method === "POST") {
      world.change = change({
        ...(body as Partial<ChangeView>),
        number: 14,
        state: "draft",
        author: world.user,
        documents: [],
        may: { submit: { allowed: true }, abandon: { allowed: true } },
      });
      return ok(changeView, world.change);
    }
    return ok(changesAnswer, { changes: summaries(world) });
  }
  if (first === "changes" && second) {
    if (third === "diff") return ok(changeDiff, diff());
    if (third === "promote") {
      const { number: promotedFrom } = world.change;
      world.change = change({ ...(body as Partial<ChangeView>), number: 14, state: "draft", promotedFrom });
    }
    if (method === "GET" && Number(second) !== world.change.number) {
      const other = summaries(world).find(({ number }) => number === Number(second));
      return other && ok(changeView, other);
    }
    return ok(changeView, world.change);
  }
  return undefined;
}

export function change(changes: Partial<ChangeView> = {}): ChangeView {
  return changeView.parse({
    number: 12,
    title: "Picks carry their lot",
    environment: "prod",
    state: "review",
    author: "mira",
    release: null,
    packages: [],
    untested: null,
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

/** Of one site's bundle. */
export const fields = [
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
