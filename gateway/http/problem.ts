import { type ProblemCode, toProblem } from "../../protocol/index.ts";

/** Problem details (RFC 9457) as a response. */
export function problem(code: ProblemCode, detail?: string, headers: Record<string, string> = {}): Response {
  const body = toProblem(code, detail);
  return new Response(JSON.stringify(body), {
    status: body.status,
    headers: { "content-type": "application/problem+json", ...headers },
  });
}
