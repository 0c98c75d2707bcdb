import { z } from "zod";

/** Problem details (RFC 9457): what central and the gateway answer instead of a result. `type` is `urn:plantgate:problem:<code>`. */
export const problemCodes = {
  "not-signed": { status: 401, title: "The request carries no token" },
  "token-invalid": { status: 401, title: "The token is not valid" },
  "token-expired": { status: 401, title: "The token has expired or is not yet valid" },
  "key-unknown": { status: 401, title: "The token is not signed with the key that is registered for this site" },
  "site-revoked": { status: 403, title: "The site's access was revoked" },
  "not-allowed": { status: 403, title: "The caller may not do this" },
  "site-unknown": { status: 404, title: "There is no such site" },
  "not-found": { status: 404, title: "There is no such thing" },
  gap: { status: 409, title: "Messages before this batch are missing" },
  fork: { status: 409, title: "The same sequence was recorded with other content" },
  fenced: { status: 409, title: "A newer session of this site exists" },
  "session-unknown": { status: 409, title: "The session is not known; say hello again" },
  "too-large": { status: 413, title: "The body is larger than the limit" },
  "unsupported-media": { status: 415, title: "The content type or encoding is not supported" },
  invalid: { status: 422, title: "The request is not valid" },
  conflict: { status: 409, title: "The request contradicts what is already recorded" },
  limited: { status: 429, title: "This site takes more than its share; slow down" },
  busy: { status: 503, title: "Too much at once; try again later" },
  internal: { status: 500, title: "Something went wrong here" },
} as const satisfies Record<string, { status: number; title: string }>;
export type ProblemCode = keyof typeof problemCodes;

export const problem = z.looseObject({
  type: z.string(),
  title: z.string(),
  status: z.int(),
  code: z.string(),
  detail: z.string().optional(),
  /** With `gap` and `fork`: the highest sequence that the receiver has on disk. */
  watermark: z.int().optional(),
  /** With `key-unknown`: the key's gateway moved to other hardware, and the caller is the copy that was left behind (ADR 0123). */
  moved: z.boolean().optional(),
  /** With `invalid`: every problem, with its path and, for a document, file, line and column. */
  problems: z.array(z.unknown()).optional(),
});
export type Problem = z.infer<typeof problem>;

export function toProblem(code: ProblemCode, detail?: string, extra: Record<string, unknown> = {}): Problem {
  const { status, title } = problemCodes[code];
  return { type: `urn:plantgate:problem:${code}`, title, status, code, ...(detail === undefined ? {} : { detail }), ...extra };
}
