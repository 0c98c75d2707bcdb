import { describe, expect, it } from "vitest";
import { type Failure, judgeAnswer } from "../../../../gateway/connector/odoo/answer.ts";

const json = "application/json; charset=utf-8";
const error = (name: string, message = "Nein, danke.") =>
  JSON.stringify({ name, message, arguments: [message], context: {}, debug: "Traceback: secret" });

describe("an answer of Odoo", () => {
  it.each<[string, number, string, Failure]>([
    ["a wrong key", 401, error("werkzeug.exceptions.Unauthorized"), "denied"],
    ["a missing right", 403, error("odoo.exceptions.AccessError"), "denied"],
    ["a record that is gone", 404, error("odoo.exceptions.MissingError"), "missing"],
    ["a method that does not exist", 404, error("werkzeug.exceptions.NotFound"), "fault"],
    ["a business rule, in whatever language", 422, error("odoo.exceptions.UserError"), "refused"],
    ["a constraint", 422, error("odoo.exceptions.ValidationError"), "refused"],
    ["a wrong argument", 422, error("werkzeug.exceptions.UnprocessableEntity"), "fault"],
    ["a locked record", 409, error("odoo.exceptions.LockError"), "busy"],
    ["a conflict of transactions, though it comes as 500", 500, error("psycopg2.errors.SerializationFailure"), "busy"],
    ["an unknown field, which is no transient failure though it comes as 500", 500, error("builtins.ValueError"), "fault"],
    ["a database that shuts down", 500, error("psycopg2.errors.AdminShutdown"), "no-answer"],
    ["a database that is gone", 500, error("psycopg2.OperationalError"), "no-answer"],
    ["a connection that was closed", 500, error("psycopg2.InterfaceError"), "no-answer"],
    ["no connection left in the pool", 500, error("psycopg2.pool.PoolError"), "no-answer"],
    ["a query that was cancelled", 500, error("psycopg2.errors.QueryCanceled"), "no-answer"],
    ["a full disk of the database", 500, error("psycopg2.errors.DiskFull"), "no-answer"],
    ["a server without memory", 500, error("builtins.MemoryError"), "no-answer"],
    ["a value that no column takes", 500, error("psycopg2.errors.NumericValueOutOfRange"), "fault"],
    ["a value of a wrong type", 500, error("psycopg2.ProgrammingError"), "fault"],
    ["a constraint that Odoo does not explain", 500, error("psycopg2.errors.UniqueViolation"), "fault"],
    ["a column that is not there", 500, error("psycopg2.errors.UndefinedColumn"), "fault"],
    ["a rule of a trigger in the database", 500, error("psycopg2.errors.RaiseException"), "fault"],
  ])("says %s", (_, status, body, failure) => {
    const judged = judgeAnswer(status, json, body);
    expect(judged).toMatchObject({ kind: "failed", failure });
    expect(JSON.stringify(judged)).not.toContain("Traceback");
  });

  it.each<[string, number, string, Failure]>([
    ["a wrong database name", 404, "<html>Not Found</html>", "elsewhere"],
    ["a login page before Odoo", 200, "<html>Sign in</html>", "no-answer"],
    ["a proxy that lost Odoo half-way", 502, "<html>Bad Gateway</html>", "no-answer"],
    ["a proxy that gave up waiting", 504, "<html>Timeout</html>", "no-answer"],
    ["a server in maintenance", 503, "<html>Soon</html>", "busy"],
  ])("is not mistaken when HTML comes instead: %s", (_, status, body, failure) => {
    expect(judgeAnswer(status, "text/html", body)).toMatchObject({ kind: "failed", failure });
  });

  it("is the bare value when it is one, also null and false", () => {
    expect(judgeAnswer(200, json, "null")).toEqual({ kind: "value", value: null });
    expect(judgeAnswer(200, json, "false")).toEqual({ kind: "value", value: false });
  });

  it("leaves the outcome open when it is cut off", () => {
    expect(judgeAnswer(200, json, '[{"id": 1')).toMatchObject({ kind: "failed", failure: "no-answer" });
  });
});
