import { z } from "zod";

/** Shapes that several answers share. Instants are UTC text, durations texts such as `10m`, as in documents. */
export const instantText = z.string().meta({ description: "UTC, RFC 3339" });
export const documentKinds = ["Template", "Policy", "Site", "Secret"] as const;
export const documentKind = z.enum(documentKinds);
export type DocumentKind = (typeof documentKinds)[number];
export const documentName = z.string().regex(/^[A-Za-z][A-Za-z0-9._-]{0,63}$|^[a-z0-9][a-z0-9-]{0,62}$/, "a document's name");
export const environmentName = z.string().regex(/^[a-z0-9][a-z0-9-]{0,31}$/, "an environment: dev, test, prod");

/** What is wrong with a document, and where. */
export const documentProblemView = z
  .object({
    file: z.string(),
    line: z.int(),
    column: z.int(),
    path: z.string(),
    message: z.string(),
  })
  .meta({ id: "DocumentProblem" });

/** One value that two JSON texts do not share; `path` in dots: `connectors.wms.config.url`. */
export const valueDifference = z
  .object({
    path: z.string(),
    kind: z.enum(["added", "removed", "changed"]),
    before: z.unknown().optional(),
    after: z.unknown().optional(),
  })
  .meta({ id: "ValueDifference" });
export type ValueDifference = z.infer<typeof valueDifference>;
