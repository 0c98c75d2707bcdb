import type { Context } from "hono";
import type { HTTPException } from "hono/http-exception";
import type { z } from "zod";
import { type ProblemCode, toProblem } from "../../protocol/index.ts";

/** Ends a request with problem details (RFC 9457). */
export class ProblemError extends Error {
  readonly code: ProblemCode;
  readonly extra: Readonly<Record<string, unknown>>;
  readonly headers: Readonly<Record<string, string>>;

  constructor(
    code: ProblemCode,
    detail: string,
    options: { extra?: Record<string, unknown>; headers?: Record<string, string> } = {},
  ) {
    super(detail);
    this.name = "ProblemError";
    this.code = code;
    this.extra = options.extra ?? {};
    this.headers = options.headers ?? {};
  }
}

export function problemResponse(c: Context, problem: ProblemError): Response {
  const body = toProblem(problem.code, problem.message, { ...problem.extra });
  return c.body(JSON.stringify(body), body.status as 400, { "content-type": "application/problem+json", ...problem.headers });
}

/** @throws ProblemError invalid, with every problem and its path */
export function parseInput<Schema extends z.ZodType>(schema: Schema, input: unknown): z.infer<Schema> {
  const parsed = schema.safeParse(input);
  if (parsed.success) return parsed.data;
  throw inputProblem(parsed.error);
}

/** What is wrong with an input, each with its path. */
export function inputProblem(error: z.core.$ZodError): ProblemError {
  const problems = error.issues.map((issue) => ({ path: issue.path.join("."), message: issue.message }));
  return new ProblemError(
    "invalid",
    problems.map(({ path, message }) => (path === "" ? message : `${path}: ${message}`)).join("; "),
    { extra: { problems } },
  );
}

/** What the framework refuses before a handler runs: a body that is not JSON, or says to be something else. */
export function frameworkProblem(error: HTTPException): ProblemError {
  if (error.status === 415) return new ProblemError("unsupported-media", "send application/json");
  if (error.status === 400) return new ProblemError("invalid", "the body is not JSON");
  return new ProblemError(error.status < 500 ? "invalid" : "internal", error.message);
}

/** @throws ProblemError unsupported-media, invalid */
export async function parseBody<Schema extends z.ZodType>(c: Context, schema: Schema): Promise<z.infer<Schema>> {
  if (!(c.req.header("content-type") ?? "").startsWith("application/json"))
    throw new ProblemError("unsupported-media", "send application/json");
  let body: unknown;
  try {
    body = await c.req.json();
  } catch {
    throw new ProblemError("invalid", "the body is not JSON");
  }
  return parseInput(schema, body);
}
