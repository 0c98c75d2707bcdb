import { Hono } from "hono";
import { setCookie } from "hono/cookie";
import { type Operators, sessionLifeMs } from "../auth/operators.ts";
import { sessionCookie } from "./access.ts";
import { ProblemError } from "./problem.ts";

/** One-time links: a code, once, becomes a browser's session. */
export function signinRoutes(operators: Operators): Hono {
  const app = new Hono();
  app.get("/signin", async (c) => {
    const secret = await operators.signIn(c.req.query("code") ?? "");
    if (secret === undefined)
      throw new ProblemError("not-signed", "this link was used or is too old; make a new one on the command line");
    const secure = new URL(c.req.url).protocol === "https:" || c.req.header("x-forwarded-proto") === "https";
    setCookie(c, sessionCookie, secret, { httpOnly: true, sameSite: "Strict", path: "/", maxAge: sessionLifeMs / 1000, secure });
    c.header("cache-control", "no-store");
    c.header("referrer-policy", "no-referrer");
    return c.redirect("/");
  });
  return app;
}
