import { createHash, randomBytes, timingSafeEqual } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { Hono } from "hono";
import { type Clock, describeError } from "../../protocol/index.ts";
import { type Decisions, decision } from "../delivery/decisions.ts";
import type { ShadowView } from "../rehearsal/shadow-flow.ts";
import type { Logger } from "../telemetry/logger.ts";
import { isNoRoom, writeFlushed } from "../write-flushed.ts";
import { problem } from "./problem.ts";

/** Where a command on the same machine finds the gateway: in its data folder, readable by its owner alone. */
export interface LocalAccess {
  readonly url: string;
  readonly token: string;
}

export function localAccessFile(dataDir: string): string {
  return join(dataDir, "local.json");
}

/** The token that commands on this machine show; made at the first start. */
export function localToken(dataDir: string): string {
  const file = localAccessFile(dataDir);
  if (existsSync(file)) {
    try {
      return (JSON.parse(readFileSync(file, "utf8")) as LocalAccess).token;
    } catch {
      // what a crash or a hand left behind is made anew
    }
  }
  return randomBytes(32).toString("base64url");
}

const retryMs = 1000;

/** Tells commands on this machine where the gateway is: at once, or as soon as the disk lets it. */
export async function keepLocalAccess(
  dataDir: string,
  access: LocalAccess,
  { clock, log }: { clock: Clock; log: Logger },
  signal: AbortSignal,
): Promise<void> {
  const content = Buffer.from(`${JSON.stringify(access)}\n`);
  for (let told = false; !signal.aborted; told = true) {
    try {
      return writeFlushed(localAccessFile(dataDir), content);
    } catch (error) {
      if (!isNoRoom(error)) throw error;
      if (!told)
        log.warn(
          { event: "local.access.delayed", reason: describeError(error) },
          "commands on this machine do not find the gateway until there is room on its disk",
        );
      await clock.sleep(retryMs, signal);
    }
  }
}

/** What is decided on the spot, also while central is away; each call shows the folder's token. */
export function localRoutes(deps: {
  readonly token: string;
  readonly decisions: () => Decisions;
  readonly shadow: () => readonly ShadowView[];
  /** For whoever looks into this gateway: settings, link, connectors, configuration; no secret. */
  readonly status: () => object;
}): (app: Hono) => void {
  return (app) => {
    app.use("/local/*", async (context, next) => {
      const shown = /^Bearer (\S+)$/i.exec(context.req.header("authorization") ?? "")?.[1];
      // hashes have one length, so that the comparison tells nothing about the token
      if (shown === undefined || !timingSafeEqual(hash(shown), hash(deps.token)))
        return problem("not-signed", "the token is in local.json of the gateway's data folder");
      return next();
    });
    app.get("/local/v1/status", (context) => context.json(deps.status()));
    app.get("/local/v1/shadow", (context) => context.json({ flows: deps.shadow() }));
    app.post("/local/v1/deliveries/:id/decision", async (context) => {
      const said = decision.safeParse(await context.req.json().catch(() => undefined));
      if (!said.success)
        return problem("invalid", said.error.issues.map(({ path, message }) => `${path.join(".")}: ${message}`).join("; "));
      const id = Number(context.req.param("id"));
      const outcome = Number.isSafeInteger(id) ? await deps.decisions().decide(id, said.data) : { kind: "unknown" as const };
      if (outcome.kind === "unknown") return problem("not-found", `there is no delivery ${context.req.param("id")}`);
      if (outcome.kind === "not-undecided")
        return problem("conflict", `delivery ${id} waits for no decision: it is ${outcome.state}`);
      return context.json({ id, decided: said.data.decision });
    });
  };
}

function hash(text: string): Buffer {
  return createHash("sha256").update(text).digest();
}
