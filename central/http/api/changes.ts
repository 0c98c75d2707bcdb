import { z } from "zod";
import { durationPattern, releaseVersion } from "../../../protocol/index.ts";
import { documentKind, documentName, documentProblemView, environmentName, instantText, valueDifference } from "./common.ts";
import { sourceFiles } from "./documents.ts";

/**
 * draft → review → approved → rolling-out → done | aborted | rolled-back. From review back to draft by `withdraw` (author) or `reject`;
 * `abandoned`: given up before it was rolled out.
 */
export const changeStates = [
  "draft",
  "review",
  "approved",
  "rolling-out",
  "done",
  "aborted",
  "rolled-back",
  "abandoned",
] as const;
export const changeState = z.enum(changeStates);
export type ChangeState = (typeof changeStates)[number];

const durationText = z.string().regex(durationPattern, "a duration: 30s, 10m");

/** How a change reaches its sites. Every wave waits until those before it have held their gate. */
export const rolloutStrategy = z
  .strictObject({
    start: z.enum(["auto", "manual"]).default("auto").meta({ description: "auto: as soon as it is approved" }),
    /** One of `sites`, `count`, `percent` (of all, counted with the waves before it) each; what none names is one more wave. */
    waves: z
      .array(
        z.union([
          z.strictObject({ sites: z.array(z.string()).min(1) }),
          z.strictObject({ count: z.int().min(1) }),
          z.strictObject({ percent: z.number().gt(0).max(100) }),
        ]),
      )
      .max(20)
      .default([{ count: 1 }, { percent: 10 }, { percent: 100 }]),
    gate: z
      .strictObject({
        window: durationText.default("2m").meta({ description: "For so long all of the wave have to be healthy." }),
        maxDeadLetters: z.int().min(0).default(0).meta({ description: "New dead letters of a site since it was told." }),
        maxLag: durationText.default("5m").meta({ description: "Age of the oldest message that waits." }),
        maxRestarts: z.int().min(0).default(0),
        settle: durationText
          .default("2m")
          .meta({ description: "A site that is reachable has so long to put the revision into effect." }),
      })
      .prefault({}),
    unreachable: z
      .strictObject({
        after: durationText.default("10m"),
        // biome-ignore lint/suspicious/noThenProperty: a word of the configuration language, never a function
        then: z.enum(["continue", "pause"]).default("continue"),
      })
      .prefault({}),
    maxFailures: z
      .int()
      .min(0)
      .default(0)
      .meta({ description: "Sites that may fail, and be put back, before the whole rollout is put back." }),
  })
  .prefault({})
  .meta({ id: "RolloutStrategy" });
export type RolloutStrategy = z.infer<typeof rolloutStrategy>;

/** `POST /v1/changes`; `PUT /v1/changes/{number}` with the version that was edited. A draft may hold problems; `submit` may not. */
export const changeBody = z.object({
  title: z.string().min(1).max(200),
  description: z.string().max(20_000).default(""),
  environment: environmentName,
  files: sourceFiles.default([]).meta({ description: "Documents (YAML or JSON) and the files they name." }),
  removes: z.array(z.object({ kind: documentKind, name: documentName })).default([]),
  release: releaseVersion.optional().meta({ description: "A version of gateways, instead of documents." }),
  untested: z.string().trim().min(1).max(2000).optional().meta({
    description: "Why that version goes there although it has not run in the environment before; an approval is of this too.",
  }),
  strategy: rolloutStrategy,
  expedited: z.boolean().default(false),
});
/** What is left out stays. `files` names all documents that the change carries from now on; files that they name stay where none is sent. */
export const changeEdit = z.object({
  version: z.int(),
  title: changeBody.shape.title.optional(),
  description: z.string().max(20_000).optional(),
  files: sourceFiles.optional(),
  removes: z.array(z.object({ kind: documentKind, name: documentName })).optional(),
  strategy: rolloutStrategy.unwrap().optional(),
  expedited: z.boolean().optional(),
});

export const changeSummary = z
  .object({
    number: z.int(),
    title: z.string(),
    environment: z.string(),
    state: changeState,
    author: z.string(),
    expedited: z.boolean(),
    reviewDueSince: instantText.nullable(),
    promotedFrom: z.int().nullable(),
    release: z.string().nullable().meta({ description: "The version of gateways that it carries; null: it carries documents." }),
    createdAt: instantText,
    updatedAt: instantText,
    rollout: z.int().nullable(),
  })
  .meta({ id: "ChangeSummary" });
export type ChangeSummary = z.infer<typeof changeSummary>;
export const changesAnswer = z.object({ changes: z.array(changeSummary) });

export const changeEventKinds = [
  "created",
  "edited",
  "submitted",
  "withdrawn",
  "rejected",
  "approved",
  "commented",
  "abandoned",
  "started",
  "ended",
  "reviewed",
] as const;

/** `GET /v1/changes/{number}` */
export const changeView = changeSummary
  .extend({
    description: z.string(),
    digest: z.string(),
    version: z.int(),
    strategy: rolloutStrategy,
    reason: z.string().nullable(),
    packages: z
      .array(
        z.object({
          ...{ file: z.string(), platform: z.string(), kind: z.string(), size: z.int(), sha256: z.string() },
          ranBefore: z.int().meta({ description: "Sites of the environment before at which it held its gate." }),
        }),
      )
      .meta({ description: "Of its version, as they were when it was written." }),
    untested: z
      .string()
      .nullable()
      .meta({ description: "Why the version goes there although it has not run in the environment before, as its author says." }),
    documents: z.array(
      z.object({
        kind: documentKind,
        name: documentName,
        revision: z.int().meta({ description: "0: removed" }),
        base: z.int().meta({ description: "In force when the draft began; 0: nothing." }),
        text: z.string(),
      }),
    ),
    problems: z.array(documentProblemView),
    events: z.array(
      z.object({
        number: z.int(),
        at: instantText,
        actor: z.string(),
        kind: z.enum(changeEventKinds),
        text: z.string(),
      }),
    ),
    /** What the one who asks may do now, and why not what he may not: so that a button can say it. */
    may: z.record(z.string(), z.object({ allowed: z.boolean(), reason: z.string().optional() })),
  })
  .meta({ id: "Change" });
export type ChangeView = z.infer<typeof changeView>;

/** `POST /v1/changes/{number}/{submit|withdraw|reject|approve|abandon|start|review}`; approve names the digest that was read. */
export const decisionBody = z.object({ comment: z.string().max(20_000).default(""), digest: z.string().optional() });
export const commentBody = z.object({ text: z.string().min(1).max(20_000) });
export const promoteBody = z.object({ environment: environmentName, strategy: rolloutStrategy.optional() });

/** `POST /v1/diff`: what these files would change; revision 0 stands for them. */
export const diffBody = z.object({ files: sourceFiles.min(1), environment: environmentName });

/** `GET /v1/changes/{number}/diff` */
export const changeDiff = z
  .object({
    documents: z.array(
      z.object({
        kind: documentKind,
        name: documentName,
        before: z.object({ revision: z.int(), text: z.string() }).nullable(),
        after: z.object({ revision: z.int(), text: z.string() }).nullable(),
      }),
    ),
    sites: z.array(
      z.object({
        site: z.string(),
        before: z.object({ revision: z.int(), bundle: z.unknown() }).nullable(),
        after: z.object({ bundle: z.unknown() }).nullable(),
        differences: z.array(valueDifference),
        problems: z.array(documentProblemView),
      }),
    ),
    examples: z.array(
      z.object({
        template: z.string(),
        flow: z.string(),
        given: z.string(),
        ok: z.boolean(),
        differences: z.array(z.string()),
      }),
    ),
  })
  .meta({ id: "ChangeDiff" });
export type ChangeDiff = z.infer<typeof changeDiff>;
