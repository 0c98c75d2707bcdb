import { z } from "zod";
import { documentKind, documentName, documentProblemView, instantText } from "./common.ts";

export const sourceFile = z.object({ name: z.string().min(1).max(512), text: z.string().max(2 * 1024 * 1024) });
export const sourceFiles = z.array(sourceFile).max(500);

/** `GET /v1/documents` */
export const documentSummary = z
  .object({
    kind: documentKind,
    name: documentName,
    owner: z.string(),
    purpose: z.string(),
    labels: z.record(z.string(), z.string()),
    revision: z.int().meta({ description: "The newest one, whether it is in force anywhere or not." }),
    environments: z.record(z.string(), z.int()).meta({ description: "Which revision is in force where." }),
    changedAt: instantText,
    changedBy: z.string(),
  })
  .meta({ id: "DocumentSummary" });
export type DocumentSummary = z.infer<typeof documentSummary>;
export const documentsAnswer = z.object({ documents: z.array(documentSummary) });

/** `GET /v1/documents/{kind}/{name}` */
export const documentHistory = documentSummary
  .extend({
    revisions: z.array(
      z.object({ revision: z.int(), digest: z.string(), createdAt: instantText, createdBy: z.string(), change: z.int() }),
    ),
  })
  .meta({ id: "DocumentHistory" });
export type DocumentHistory = z.infer<typeof documentHistory>;

/** `GET /v1/documents/{kind}/{name}/revisions/{revision}` */
export const documentRevision = z
  .object({
    kind: documentKind,
    name: documentName,
    revision: z.int(),
    digest: z.string(),
    text: z.string(),
    attachments: z.record(z.string(), z.string()),
    owner: z.string(),
    purpose: z.string(),
    createdAt: instantText,
    createdBy: z.string(),
    change: z.int(),
  })
  .meta({ id: "DocumentRevision" });
export type DocumentRevision = z.infer<typeof documentRevision>;

/** `POST /v1/validate`: judged together with what is in force in `environment`. */
export const validateBody = z.object({ files: sourceFiles.min(1), environment: z.string().optional() });
export const validateAnswer = z.object({
  problems: z.array(documentProblemView),
  warnings: z.array(documentProblemView).default([]).meta({ description: "What is possible and probably not meant." }),
});
