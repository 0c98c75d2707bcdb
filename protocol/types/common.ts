import { z } from "zod";

/** UTC with `Z` and milliseconds. */
export const instant = z.iso.datetime({
  precision: 3,
  error: 'an instant in UTC with milliseconds, such as "2026-01-31T08:00:00.000Z"',
});

const controlCharacter = /\p{Cc}/u;

/** An identifier of a business object: printable, not empty. */
export const identifier = z
  .string()
  .min(1)
  .max(128)
  .refine((text) => !controlCharacter.test(text), "must not hold control characters");

/** The name of a document, connector, flow or parameter. */
export const name = z
  .string()
  .regex(/^[A-Za-z][A-Za-z0-9._-]{0,63}$/, "a name: a letter, then letters, digits, dot, dash, underscore");

/** Free text from a person or a machine. */
export const text = z.string().max(1000);

/** GS1 SSCC: 18 digits; a string, as no JSON number holds it. */
export const sscc = z.string().regex(/^\d{18}$/, "an SSCC has 18 digits");

/** GS1 GTIN, written with 14 digits. */
export const gtin = z.string().regex(/^\d{14}$/, "a GTIN has 14 digits");

/** Why something was held, scrapped or short. */
export const reason = z.strictObject({
  code: z.string().min(1).max(64),
  text: text.optional(),
  category: z.string().max(64).optional(),
});

/** `lineNo` of a repeated element, stable across revisions. */
export const lineNo = z.int().min(0);
