import { z } from "zod";
import { duration } from "../../../protocol/index.ts";
import { instantText } from "./common.ts";

export const secretName = z.string().regex(/^[A-Za-z0-9._-]{1,64}$/, "a secret's name: letters, digits, dot, dash");

/** `GET /v1/secrets`: never a value. */
export const secretView = z
  .object({
    name: secretName,
    owner: z.string().nullable(),
    purpose: z.string().nullable(),
    versions: z.array(
      z.object({
        site: z.string().meta({ description: "Empty: all that have none of their own." }),
        version: z.int(),
        createdAt: instantText,
        createdBy: z.string(),
        validUntil: instantText.nullable(),
        expiresAt: instantText.nullable(),
      }),
    ),
    /** For a person: it expires soon, its rotation is overdue, a site that names it has no value. */
    warnings: z.array(z.string()),
  })
  .meta({ id: "Secret" });
export type SecretView = z.infer<typeof secretView>;
export const secretsAnswer = z.object({ secrets: z.array(secretView) });

/** `PUT /v1/secrets/{name}`: a new version. */
export const secretBody = z.object({
  value: z
    .string()
    .min(1)
    .max(64 * 1024),
  site: z.string().max(63).default("").meta({ description: "Empty: all sites that have none of their own." }),
  overlap: duration.optional().meta({ description: "The value before stays good for so long." }),
  expiresAt: z.iso.datetime().optional().meta({ description: "When its issuer stops accepting it: people are warned before." }),
});
export const secretVersion = z.object({ name: secretName, site: z.string(), version: z.int() });
/** `GET /v1/secrets/{name}/uses` */
export const secretUses = z.object({
  uses: z.array(
    z.object({
      site: z.string(),
      paths: z.array(z.string()),
      version: z.int().nullable().meta({ description: "The newest that the site may have; null: none." }),
      held: z
        .boolean()
        .nullable()
        .meta({ description: "Whether its gateway says that it has what it should; null: it did not say." }),
    }),
  ),
});
