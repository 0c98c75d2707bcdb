import { createRoute } from "@hono/zod-openapi";
import { z } from "zod";
import { PlantgateError } from "../../protocol/index.ts";
import type { Actor } from "../auth/actor.ts";
import type { Changes, Decision } from "../change/changes.ts";
import type { ChangeDiffs } from "../change/diff.ts";
import { ChangeRefused } from "../change/refused.ts";
import type { ChangeViews } from "../change/view.ts";
import { type Guards, requireRole } from "./access.ts";
import {
  changeBody,
  changeDiff,
  changeEdit,
  changeState,
  changesAnswer,
  changeView,
  commentBody,
  decisionBody,
  diffBody,
  promoteBody,
} from "./api/changes.ts";
import type { OneAtATime } from "./one-at-a-time.ts";
import { bodyProblems, callerProblems, callsOf, jsonAnswer, jsonBody, makeRouter, problems } from "./openapi.ts";
import { ProblemError } from "./problem.ts";

export interface ChangeRouteDeps {
  readonly changes: Changes;
  readonly changeViews: ChangeViews;
  readonly changeDiffs: ChangeDiffs;
  readonly guards: Guards;
  readonly oneAtATime: OneAtATime;
}

const numberPath = z.object({ number: z.coerce.number().int().min(1) });
const listQuery = z.object({
  environment: z.string().max(32).optional(),
  state: z
    .string()
    .transform((text) => text.split(","))
    .pipe(z.array(changeState))
    .optional()
    .meta({ description: "One or several, with commas between." }),
  reviewOwed: z
    .enum(["true", "false"])
    .optional()
    .meta({ description: "true: expedited ones that nobody has reviewed afterwards" }),
  limit: z.coerce.number().int().min(1).max(500).default(100),
});
const stepProblems = [...callerProblems, ...bodyProblems, "not-found", "conflict"] as const;

/** Decisions that a change is put before, with what each is called. */
const decisions = {
  submit: "Hand a draft to others to read; where nobody has to, it is approved by that",
  withdraw: "Take it back to be edited; an approval is void",
  reject: "Send it back to be edited",
  approve: "Approve what was read: `digest` names it",
  abandon: "Give it up before it is rolled out",
  start: "Hand an approved change to its rollout",
  review: "Say that an expedited change was read afterwards",
} as const;

/** Changes: written, read, approved, carried on. */
export function changeRoutes({ guards, oneAtATime, changes, changeViews, changeDiffs }: ChangeRouteDeps) {
  const app = makeRouter();
  const calls = callsOf(guards);
  const reads = { tags: ["changes"], ...calls.reads };
  const writes = { tags: ["changes"], ...calls.sends };

  const viewOf = async (number: number, actor: Actor) => {
    const view = await oneAtATime(actor, () => refusing(() => changeViews.view(number, actor)));
    if (!view) throw new ProblemError("not-found", `there is no change ${number}`);
    return view;
  };

  app.openapi(
    createRoute({
      ...reads,
      method: "get",
      path: "/changes",
      operationId: "listChanges",
      summary: "Changes",
      request: { query: listQuery },
      responses: { 200: jsonAnswer("The newest first", changesAnswer), ...problems(...callerProblems, "invalid") },
    }),
    async (c) => {
      requireRole(c.var.actor, "viewer");
      const { reviewOwed, ...query } = c.req.valid("query");
      return c.json({ changes: await changeViews.list({ ...query, reviewOwed: reviewOwed === "true" }) }, 200);
    },
  );

  app.openapi(
    createRoute({
      ...writes,
      method: "post",
      path: "/changes",
      operationId: "createChange",
      summary: "Write a change, as a draft",
      request: { body: jsonBody(changeBody) },
      responses: { 201: jsonAnswer("The draft, with what is wrong with it", changeView), ...problems(...stepProblems) },
    }),
    async (c) => {
      const { actor } = c.var;
      const number = await oneAtATime(actor, () => refusing(() => changes.create(actor, c.req.valid("json"))));
      return c.json(await viewOf(number, actor), 201);
    },
  );

  app.openapi(
    createRoute({
      ...reads,
      method: "get",
      path: "/changes/{number}",
      operationId: "getChange",
      summary: "A change, and what the one who asks may do with it",
      request: { params: numberPath },
      responses: { 200: jsonAnswer("The change", changeView), ...problems(...callerProblems, "not-found", "invalid", "busy") },
    }),
    async (c) => {
      requireRole(c.var.actor, "viewer");
      return c.json(await viewOf(c.req.valid("param").number, c.var.actor), 200);
    },
  );

  app.openapi(
    createRoute({
      ...writes,
      method: "put",
      path: "/changes/{number}",
      operationId: "editChange",
      summary: "Edit a draft; what is in force now becomes its base",
      request: { params: numberPath, body: jsonBody(changeEdit) },
      responses: { 200: jsonAnswer("The draft, with what is wrong with it", changeView), ...problems(...stepProblems) },
    }),
    async (c) => {
      const { number } = c.req.valid("param");
      await oneAtATime(c.var.actor, () => refusing(() => changes.edit(c.var.actor, number, c.req.valid("json"))));
      return c.json(await viewOf(number, c.var.actor), 200);
    },
  );

  app.openapi(
    createRoute({
      ...reads,
      method: "get",
      path: "/changes/{number}/diff",
      operationId: "diffChange",
      summary: "What a change changes: documents, the sites' bundles, results of its examples",
      request: { params: numberPath },
      responses: { 200: jsonAnswer("Side by side", changeDiff), ...problems(...callerProblems, "not-found", "invalid", "busy") },
    }),
    async (c) => {
      requireRole(c.var.actor, "viewer");
      const { number } = c.req.valid("param");
      const found = await oneAtATime(c.var.actor, () => refusing(() => changeDiffs.of(number)));
      if (!found) throw new ProblemError("not-found", `there is no change ${number}`);
      return c.json(found, 200);
    },
  );

  app.openapi(
    createRoute({
      ...writes,
      method: "post",
      path: "/diff",
      operationId: "diffFiles",
      summary: "What files would change in an environment; nothing is kept",
      request: { body: jsonBody(diffBody) },
      responses: { 200: jsonAnswer("Side by side", changeDiff), ...problems(...callerProblems, ...bodyProblems) },
    }),
    async (c) => {
      requireRole(c.var.actor, "viewer");
      const { environment, files } = c.req.valid("json");
      return c.json(await oneAtATime(c.var.actor, () => refusing(() => changeDiffs.ofFiles(environment, files))), 200);
    },
  );

  for (const [action, summary] of Object.entries(decisions) as [keyof typeof decisions, string][]) {
    app.openapi(
      createRoute({
        ...writes,
        method: "post",
        path: `/changes/{number}/${action}`,
        operationId: `${action}Change`,
        summary,
        request: { params: numberPath, body: jsonBody(decisionBody) },
        responses: { 200: jsonAnswer("The change", changeView), ...problems(...stepProblems) },
      }),
      async (c) => {
        const { number } = c.req.valid("param");
        const decision: Decision = c.req.valid("json");
        await oneAtATime(c.var.actor, () => refusing(() => changes[action](c.var.actor, number, decision)));
        return c.json(await viewOf(number, c.var.actor), 200);
      },
    );
  }

  app.openapi(
    createRoute({
      ...writes,
      method: "post",
      path: "/changes/{number}/comments",
      operationId: "commentChange",
      summary: "Say something about a change",
      request: { params: numberPath, body: jsonBody(commentBody) },
      responses: { 201: jsonAnswer("The change", changeView), ...problems(...stepProblems) },
    }),
    async (c) => {
      const { number } = c.req.valid("param");
      await refusing(() => changes.comment(c.var.actor, number, c.req.valid("json").text));
      return c.json(await viewOf(number, c.var.actor), 201);
    },
  );

  app.openapi(
    createRoute({
      ...writes,
      method: "post",
      path: "/changes/{number}/promote",
      operationId: "promoteChange",
      summary: "Carry a change that is done on to the next environment: a new draft with the same revisions",
      request: { params: numberPath, body: jsonBody(promoteBody) },
      responses: { 201: jsonAnswer("The new draft", changeView), ...problems(...stepProblems) },
    }),
    async (c) => {
      const { number } = c.req.valid("param");
      const made = await refusing(() => changes.promote(c.var.actor, number, c.req.valid("json")));
      return c.json(await viewOf(made, c.var.actor), 201);
    },
  );

  return app;
}

/** Says what was refused as a problem. */
export async function refusing<Value>(run: () => Promise<Value>): Promise<Value> {
  try {
    return await run();
  } catch (error) {
    if (error instanceof ChangeRefused)
      throw new ProblemError(error.code, error.message, error.problems.length > 0 ? { extra: { problems: error.problems } } : {});
    if (error instanceof PlantgateError && error.code === "INPUT_INVALID") throw new ProblemError("invalid", error.message);
    if (error instanceof PlantgateError && (error.code === "PEER_BUSY" || error.code === "STOPPED"))
      throw new ProblemError("busy", error.message, { headers: { "retry-after": "5" } });
    throw error;
  }
}
