import { z } from "zod";
import { isServerFailure } from "./server-failure.ts";

/**
 * What an answer other than success means, judged by status, content type and the error's class name; texts are translated
 * and only shown to people.
 *
 * `denied`: the key or its rights; a person has to act. `missing`: the record is gone. `refused`: a business rule, it will not
 * succeed as it is. `busy`: a conflict with another transaction, nothing was applied. `fault`: the call itself is wrong, for ever.
 * `elsewhere`: not this Odoo database (a proxy, another server, a wrong database name). `no-answer`: sent, and what became of it is not said: the
 * answer is missing, or Odoo's database failed under it.
 * `unsent`: no connection, nothing was sent.
 */
export type Failure = "denied" | "missing" | "refused" | "busy" | "fault" | "elsewhere" | "no-answer" | "unsent";

export type Judgement =
  | { readonly kind: "value"; readonly value: unknown }
  | { readonly kind: "failed"; readonly failure: Failure; readonly reason: string };

// `debug` holds a server traceback and is left out on purpose: it reaches neither logs nor people
const odooError = z.looseObject({ name: z.string(), message: z.string() });

/** Classes of PostgreSQL and Odoo errors after which a repeat may succeed. */
const conflicts = new Set([
  "psycopg2.errors.SerializationFailure",
  "psycopg2.errors.LockNotAvailable",
  "psycopg2.errors.DeadlockDetected",
  "odoo.exceptions.LockError",
]);

const businessRules = new Set([
  "odoo.exceptions.UserError",
  "odoo.exceptions.ValidationError",
  "odoo.exceptions.RedirectWarning",
]);

/** Judges one HTTP answer of `/json/2`. Content type first: a wrong database or a proxy answers in HTML. */
export function judgeAnswer(status: number, contentType: string, body: string): Judgement {
  const isJson = /^application\/json\b/i.test(contentType);
  if (!isJson) return judgeForeign(status);
  let value: unknown;
  try {
    value = JSON.parse(body);
  } catch {
    return status === 200 ? failed("no-answer", "the answer is cut off") : judgeForeign(status);
  }
  if (status === 200) return { kind: "value", value };

  const parsed = odooError.safeParse(value);
  if (!parsed.success) return judgeForeign(status);
  const { name } = parsed.data;
  const message = parsed.data.message.replace(/\s+/g, " ").trim().slice(0, 400);
  if (conflicts.has(name) || status === 409) return failed("busy", `Odoo is busy with the same record (${name})`);
  if (status === 401) return failed("denied", "Odoo does not accept the API key: wrong, expired, or its user is archived");
  if (status === 403) return failed("denied", `Odoo denies access: ${message}`);
  if (name === "odoo.exceptions.MissingError") return failed("missing", "the record does not exist any more");
  if (status === 404) return failed("fault", "Odoo has no such model or method: a module is missing, or it is another version");
  if (businessRules.has(name)) return failed("refused", message);
  if (status === 429 || status === 503) return failed("busy", `Odoo asks to wait (${status})`);
  if (status >= 500 && isServerFailure(name)) return failed("no-answer", `Odoo's database or memory failed (${name})`);
  return failed("fault", `${name}: ${message}`);
}

function judgeForeign(status: number): Judgement {
  // behind a proxy these say nothing about what Odoo did with the request
  if (status === 200 || status === 502 || status === 504)
    return failed("no-answer", `an answer that is not Odoo's (HTTP ${status})`);
  if (status === 429 || status === 503) return failed("busy", `the server asks to wait (HTTP ${status})`);
  if (status >= 500) return failed("no-answer", `the server failed (HTTP ${status})`);
  return failed("elsewhere", `no Odoo with this database answers at this address (HTTP ${status})`);
}

function failed(failure: Failure, reason: string): Judgement {
  return { kind: "failed", failure, reason };
}
