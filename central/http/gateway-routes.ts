import type { OpenAPIHono } from "@hono/zod-openapi";
import type { Context } from "hono";
import { z } from "zod";
import {
  batchHeaders,
  batchLimits,
  type Clock,
  downlinkAnswer,
  downlinkRequest,
  type HelloAnswer,
  hello,
  helloAnswer,
  keyNotice,
  laneName,
  statusReport,
  toInstant,
  type WatermarkAnswer,
  watermarkAnswer,
} from "../../protocol/index.ts";
import type { Revisions } from "../document/revisions.ts";
import { type BatchHead, parseEntries } from "../ledger/batch.ts";
import type { Ingest } from "../ledger/ingest.ts";
import type { Downlink } from "../router/downlink.ts";
import { heardHello, heardStatus } from "../site/heard.ts";
import type { GatewayKey } from "../site/keys.ts";
import type { Presence } from "../site/presence.ts";
import type { Caller, SessionState, Sessions } from "../site/sessions.ts";
import type { Signing } from "../storage/signing-key.ts";
import type { GatewayEnv } from "./access.ts";
import type { Admissions } from "./admission.ts";
import { instantText } from "./api/common.ts";
import { bodyProblems, gatewayProblems, jsonAnswer, jsonBody, makeRouter, problems, security } from "./openapi.ts";
import { ProblemError, parseBody, parseInput } from "./problem.ts";

export interface GatewayRouteDeps {
  readonly sessions: Sessions;
  readonly ingest: Ingest;
  readonly downlink: Downlink;
  readonly presence: Presence;
  readonly signing: Signing;
  readonly revisions: Revisions;
  readonly admissions: Admissions;
  readonly clock: Clock;
  readonly incarnation: string;
  readonly leaseSeconds: number;
  readonly recoveryPointSeconds: number;
  /** Told with the site after a session began. */
  readonly siteChanged: (site: string) => void;
  readonly stopping: AbortSignal;
}

const count = z.coerce.number().int().min(1);
const identifier = z.string().min(1).max(128);
const batchHead = z.object({
  lane: laneName,
  [batchHeaders.session]: identifier,
  [batchHeaders.epoch]: identifier,
  [batchHeaders.firstSequence]: count,
  [batchHeaders.count]: count,
  [batchHeaders.chain]: z.string().regex(/^[0-9a-f]{64}$/, "64 hexadecimal digits"),
  [batchHeaders.frames]: z.string().max(8192),
  [batchHeaders.age]: z.coerce
    .number()
    .int()
    .min(0)
    .default(0)
    // what a gateway counts over centuries is no age
    .transform((ms) => Math.min(ms, maxAgeMs)),
});
const maxAgeMs = 100 * 365 * 86_400_000;

/** What a gateway calls: sessions, batches, downlink, status, bundles. */
export function gatewayRoutes(deps: GatewayRouteDeps): OpenAPIHono<GatewayEnv> {
  const app = makeRouter<GatewayEnv>();
  describeRoutes(app);

  app.post("/sessions", async (c) => {
    const input = await parseBody(c, heardHello);
    const begun = await deps.sessions.begin(c.var.site.name, input);
    if (begun.kind === "conflict") throw new ProblemError("conflict", begun.detail);
    // polls of older sessions end now
    deps.siteChanged(c.var.site.name);
    const answer: HelloAnswer = {
      session: begun.session,
      incarnation: deps.incarnation,
      leaseSeconds: deps.leaseSeconds,
      serverTime: toInstant(deps.clock.now()),
      watermarks: begun.watermarks,
      recoveryPointSeconds: deps.recoveryPointSeconds,
    };
    return c.json(answer);
  });

  app.post("/lanes/:lane/batches", async (c) => {
    requireMedia(c.req.header("content-type"), c.req.header("content-encoding"));
    const bytes = Number(c.req.header("content-length") ?? Number.NaN);
    if (!Number.isInteger(bytes) || bytes < 0) throw new ProblemError("invalid", "a batch says its Content-Length");
    if (bytes > batchLimits.compressedBytes)
      throw new ProblemError("too-large", `a batch has ${batchLimits.compressedBytes} bytes at most`);
    const site = c.var.site.name;
    const head = parseHead(site, c.req.param("lane"), c.req.header());
    const admission = deps.admissions.admit({ site, lane: head.lane, firstSequence: head.firstSequence, bytes });
    if (admission.kind !== "admitted") throw pushBack(admission.kind, admission.retryAfterSeconds);
    let comesBack = false;
    try {
      const body = bytes === 0 ? new Uint8Array() : new Uint8Array(await c.req.arrayBuffer());
      admission.arrived();
      const outcome = await deps.ingest.record(head, body);
      if (outcome.kind === "invalid" || outcome.kind === "too-large") throw new ProblemError(outcome.kind, outcome.detail);
      comesBack = outcome.kind === "gap";
      if (outcome.kind === "gap" || outcome.kind === "fork") throw watermarkProblem(outcome.kind, outcome.watermark);
      if (outcome.kind === "backlogged" || outcome.kind === "locked")
        throw pushBack(outcome.kind, deps.admissions.retryAfterSeconds());
      if (outcome.kind !== "recorded") {
        await deps.sessions.judge(site, head.session, callerOf(c));
        throw sessionProblem(outcome.kind);
      }
      const answer: WatermarkAnswer = { watermark: outcome.watermark, incarnation: deps.incarnation };
      return c.json(answer);
    } finally {
      admission.release(comesBack);
    }
  });

  app.post("/downlink", async (c) => {
    const input = await parseBody(c, downlinkRequest);
    const site = c.var.site.name;
    const state = await deps.sessions.judge(site, input.session, callerOf(c));
    if (state !== "current") throw sessionProblem(state);
    const outcome = await deps.downlink.poll(
      site,
      input,
      AbortSignal.any([c.req.raw.signal, deps.stopping]),
      c.var.key.fingerprint,
    );
    if (outcome.kind === "site-revoked") throw new ProblemError("site-revoked", `the access of site "${site}" was revoked`);
    if (outcome.kind !== "answer") throw sessionProblem(outcome.kind);
    return c.json({ ...outcome.answer, incarnation: deps.incarnation });
  });

  app.post("/status", async (c) => {
    const report = await parseBody(c, heardStatus);
    const site = c.var.site;
    const state = await deps.sessions.judge(site.name, report.session, callerOf(c));
    if (state !== "current") throw sessionProblem(state);
    await deps.presence.report(site, report);
    const { leaseSeconds, incarnation } = deps;
    return c.json({ serverTime: toInstant(deps.clock.now()), leaseSeconds, incarnation, key: noticeOf(c.var.key, deps) });
  });

  app.get("/bundles/:revision", async (c) => {
    const revision = parseInput(count, c.req.param("revision"));
    const found = await deps.revisions.find(c.var.site.name, revision);
    if (!found) throw new ProblemError("not-found", `site "${c.var.site.name}" has no revision ${revision}`);
    return c.json(found);
  });

  return app;
}

/** Their bodies are judged by their handlers: what is a batch, and in which order it is refused, no shape can say. */
function describeRoutes({ openAPIRegistry: registry }: OpenAPIHono<GatewayEnv>): void {
  const site = z.string();
  const shared = { tags: ["gateways"], security: security.gateway };
  const sessionProblems = ["fenced", "session-unknown"] as const;
  registry.registerPath({
    ...shared,
    method: "post",
    path: "/sessions",
    operationId: "beginSession",
    summary: "Begin a session; older ones of the site are fenced",
    request: { params: z.object({ site }), body: jsonBody(hello) },
    responses: {
      200: jsonAnswer("It has begun", helloAnswer),
      ...problems(...gatewayProblems, ...bodyProblems, "conflict"),
    },
  });
  registry.registerPath({
    ...shared,
    method: "post",
    path: "/lanes/{lane}/batches",
    operationId: "recordBatch",
    summary: "Record a batch of whole frames",
    request: {
      params: z.object({ site, lane: laneName }),
      headers: batchHead.omit({ lane: true }),
      body: {
        required: true,
        description: "One CloudEvent a line, `Content-Encoding: zstd`, whole frames as they lie in the gateway's queue",
        content: { "application/x-ndjson": { schema: z.string().meta({ format: "binary" }) } },
      },
    },
    responses: {
      200: jsonAnswer("Flushed up to the watermark", watermarkAnswer),
      ...problems(...gatewayProblems, ...bodyProblems, ...sessionProblems, "gap", "fork"),
    },
  });
  registry.registerPath({
    ...shared,
    method: "post",
    path: "/downlink",
    operationId: "pollDownlink",
    summary: "Acknowledge, and wait for messages and the desired revision",
    request: { params: z.object({ site }), body: jsonBody(downlinkRequest) },
    responses: {
      200: jsonAnswer("As soon as there is something, or at the end of `waitMs`", downlinkShape),
      ...problems(...gatewayProblems, ...bodyProblems, ...sessionProblems),
    },
  });
  registry.registerPath({
    ...shared,
    method: "post",
    path: "/status",
    operationId: "reportStatus",
    summary: "What the gateway says of itself",
    request: { params: z.object({ site }), body: jsonBody(statusReport) },
    responses: {
      200: jsonAnswer(
        "Taken",
        z.object({ serverTime: instantText, leaseSeconds: z.int(), incarnation: z.string(), key: keyNotice }),
      ),
      ...problems(...gatewayProblems, ...bodyProblems, ...sessionProblems),
    },
  });
  registry.registerPath({
    ...shared,
    method: "get",
    path: "/bundles/{revision}",
    operationId: "getBundle",
    summary: "One revision of the site's configuration, signed",
    request: { params: z.object({ site, revision: count }) },
    responses: {
      200: jsonAnswer("A compact JWS over the bundle", z.object({ revision: z.int(), digest: z.string(), jws: z.string() })),
      ...problems(...gatewayProblems, "invalid", "not-found"),
    },
  });
}

/** Any JSON of a message, which as a shape names itself without end. */
const downlinkShape = downlinkAnswer.extend({
  messages: z.array(downlinkAnswer.shape.messages.element.extend({ event: z.record(z.string(), z.unknown()) })),
});

/** Since when: by what a person, or the key before, did. */
function noticeOf(key: GatewayKey, { signing }: GatewayRouteDeps): z.infer<typeof keyNotice> {
  return {
    fingerprint: key.fingerprint,
    since: toInstant(key.confirmed_at ?? key.created_at),
    rotate: key.rotate_asked_at !== null,
    seals: key.seal_key !== null,
    signingKey: signing.kid,
  };
}

/** The site's row was read before the body, and whatever else a call waits for. */
function callerOf(c: Context<GatewayEnv>): Caller {
  const { signal } = c.req.raw;
  return { newestThen: c.var.site.session, isGone: () => signal.aborted };
}

function requireMedia(type: string | undefined, encoding: string | undefined): void {
  if (type?.split(";")[0]?.trim() !== "application/x-ndjson")
    throw new ProblemError("unsupported-media", "a batch is application/x-ndjson");
  if (encoding !== "zstd") throw new ProblemError("unsupported-media", "a batch has Content-Encoding: zstd");
}

function parseHead(site: string, lane: string, headers: Record<string, string>): BatchHead {
  const input = parseInput(batchHead, { ...headers, lane });
  const entries = parseEntries(input[batchHeaders.frames]);
  if (!entries) {
    const shape = `count/bytes of each frame, count~reason~chain of each hole, ${batchLimits.frames} at most`;
    throw new ProblemError("invalid", `${batchHeaders.frames}: ${shape}`);
  }
  return {
    site,
    lane: input.lane,
    session: input[batchHeaders.session],
    epoch: input[batchHeaders.epoch],
    firstSequence: input[batchHeaders.firstSequence],
    count: input[batchHeaders.count],
    chain: input[batchHeaders.chain],
    entries,
    ageMs: input[batchHeaders.age],
  };
}

function pushBack(kind: "limited" | "busy" | "backlogged" | "locked", retryAfterSeconds: number): ProblemError {
  const details = {
    limited: "this site has as many batches in work as one site may",
    busy: "central takes in as much as it can",
    locked: "this lane is held by another replica of central, or by a session that begins",
    backlogged: "more of this site waits for projection than one site may have waiting",
  };
  const code = kind === "limited" ? "limited" : "busy";
  return new ProblemError(code, details[kind], { headers: { "retry-after": String(retryAfterSeconds) } });
}

function watermarkProblem(kind: "gap" | "fork", watermark: number): ProblemError {
  const detail =
    kind === "gap"
      ? `everything up to ${watermark} is recorded, the batch begins later`
      : "the same sequences are recorded with other content";
  return new ProblemError(kind, detail, { extra: { watermark } });
}

function sessionProblem(state: Exclude<SessionState, "current">): ProblemError {
  const details = {
    fenced: "a newer session of this site has begun",
    "session-unknown": "begin a session that names this lane's epoch",
  };
  return new ProblemError(state, details[state]);
}
