import { createRoute } from "@hono/zod-openapi";
import { streamSSE } from "hono/streaming";
import { z } from "zod";
import { laneName } from "../../protocol/index.ts";
import type { Completeness } from "../ledger/completeness.ts";
import type { OrderSearch } from "../ledger/order-search.ts";
import type { Pages } from "../ledger/pages.ts";
import type { Records } from "../ledger/records.ts";
import type { Spliced } from "../ledger/splice.ts";
import type { Timeline } from "../ledger/timeline.ts";
import type { LiveOverview } from "../site/live-overview.ts";
import type { Overview } from "../site/overview.ts";
import type { SiteRegistry } from "../site/registry.ts";
import { type Guards, requireSite } from "./access.ts";
import { callerProblems, callsOf, jsonAnswer, makeRouter, problems } from "./openapi.ts";
import { ProblemError, parseInput } from "./problem.ts";
import {
  completenessAnswer,
  exceptionsAnswer,
  ledgerMessage,
  messagesAnswer,
  ordersAnswer,
  orderView,
  quarantineAnswer,
  sitesAnswer,
} from "./views.ts";

export interface ReadRouteDeps {
  readonly guards: Guards;
  readonly registry: SiteRegistry;
  readonly overview: Overview;
  readonly liveOverview: LiveOverview;
  readonly timeline: Timeline;
  readonly orders: OrderSearch;
  readonly pages: Pages;
  readonly completeness: Completeness;
  readonly records: Records;
  readonly incarnation: string;
  readonly stopping: AbortSignal;
}

const number = (max: number, fallback: number) => z.coerce.number().int().min(0).max(max).default(fallback);
/** Messages of one answer at most: of lines, and of one JSON text. */
const lineLimit = 50_000;
const jsonLimit = 5000;
/** Text of the messages of one JSON answer. */
const jsonBytes = 16 * 1024 * 1024;
const messagesQuery = z.object({
  after: number(Number.MAX_SAFE_INTEGER, 0),
  limit: number(lineLimit, 200).transform((limit) => Math.max(1, limit)),
  site: z.string().max(128).optional(),
  lane: laneName.optional(),
  type: z.string().max(128).optional(),
  state: z.enum(["recorded", "repeat"]).optional(),
  waitMs: number(30_000, 0),
});

/** What people and their tools read (central/http/views.ts): whoever is signed in, with whatever role. */
export function readRoutes({ guards, ...deps }: ReadRouteDeps) {
  const app = makeRouter();
  const calls = callsOf(guards);
  const shared = { method: "get" as const, tags: ["ledger"], ...calls.reads };

  app.openapi(
    createRoute({
      ...shared,
      path: "/sites",
      operationId: "listSites",
      summary: "All sites, as central knows them and as their gateways last said",
      tags: ["sites"],
      responses: { 200: jsonAnswer("By name", sitesAnswer), ...problems(...callerProblems) },
    }),
    async (c) => c.json(await deps.overview.sites(), 200),
  );

  app.openapi(
    createRoute({
      ...shared,
      path: "/orders",
      operationId: "findOrders",
      summary: "Orders whose id or name, also a former one, begins with a text",
      request: { query: z.object({ q: z.string().max(128).default(""), limit: number(500, 50) }) },
      responses: { 200: jsonAnswer("The last touched first", ordersAnswer), ...problems(...callerProblems, "invalid") },
    }),
    async (c) => {
      const { q, limit } = c.req.valid("query");
      return c.json(await deps.orders.search(q.trim(), limit), 200);
    },
  );

  app.openAPIRegistry.registerPath({
    ...shared,
    path: "/orders/{order}",
    operationId: "getOrder",
    summary: "One order's way; of orders with one name the newest",
    request: { params: z.object({ order: z.string().meta({ description: "Id or name, which may hold slashes." }) }) },
    responses: { 200: jsonAnswer("Its messages, in time order", orderView), ...problems(...callerProblems, "not-found") },
  });
  // an order's name holds slashes: WH/MO/00042
  app.get("/orders/:order{.+}", guards.signedIn, async (c) => {
    const name = c.req.param("order");
    const order = await deps.timeline.order(name);
    if (!order) throw new ProblemError("not-found", `there is no order "${name}"`);
    return c.json(order);
  });

  app.openAPIRegistry.registerPath({
    ...shared,
    path: "/messages",
    operationId: "readMessages",
    summary: "The ledger, in the order in which it was recorded",
    request: { query: messagesQuery },
    responses: {
      200: {
        description: `As JSON ${jsonLimit} at most, one a line ${lineLimit}`,
        content: { "application/json": { schema: messagesAnswer }, [lines]: { schema: ledgerMessage } },
      },
      ...problems(...callerProblems, "invalid"),
    },
  });
  app.get("/messages", guards.signedIn, async (c) => {
    const query = parseInput(messagesQuery, c.req.query());
    const signal = AbortSignal.any([c.req.raw.signal, deps.stopping]);
    // positions are of this ledger: whoever keeps one can tell that it was restored since
    const { incarnation } = deps;
    if ((c.req.header("accept") ?? "").includes(lines)) return answerLines(deps.pages.read(query, signal), incarnation);
    if (query.limit > jsonLimit) throw new ProblemError("invalid", `limit: ${jsonLimit} at most, ${lineLimit} as ${lines}`);
    return answerJson(deps.pages.read({ ...query, maxBytes: jsonBytes }, signal), query.limit, incarnation);
  });

  app.openapi(
    createRoute({
      ...shared,
      path: "/quarantine",
      operationId: "listQuarantine",
      summary: "Messages that were set aside",
      request: { query: z.object({ limit: number(1000, 100) }) },
      responses: { 200: jsonAnswer("The newest first", quarantineAnswer), ...problems(...callerProblems, "invalid") },
    }),
    async (c) => c.json(await deps.records.quarantine(c.req.valid("query").limit), 200),
  );

  app.openapi(
    createRoute({
      ...shared,
      path: "/exceptions",
      operationId: "listExceptions",
      summary: "Alarms, and messages that nobody takes",
      request: { query: z.object({ site: z.string().max(128).optional() }) },
      responses: { 200: jsonAnswer("The last seen first", exceptionsAnswer), ...problems(...callerProblems, "invalid") },
    }),
    async (c) => c.json(await deps.records.exceptions(c.req.valid("query").site), 200),
  );

  app.openapi(
    createRoute({
      ...shared,
      path: "/completeness",
      operationId: "getCompleteness",
      summary: "Of a site's lanes: what is recorded, what will never come and why",
      request: { query: z.object({ site: z.string().min(1).max(128) }) },
      responses: {
        200: jsonAnswer("Lane by lane", completenessAnswer),
        ...problems(...callerProblems, "invalid", "site-unknown"),
      },
    }),
    async (c) => {
      const { site } = c.req.valid("query");
      await requireSite(deps.registry, site);
      return c.json(await deps.completeness.of(site), 200);
    },
  );

  app.openAPIRegistry.registerPath({
    ...shared,
    path: "/events",
    operationId: "followSites",
    summary: "All sites, again whenever something changed",
    tags: ["sites"],
    responses: {
      200: { description: "Server-Sent Events `sites`", content: { "text/event-stream": { schema: z.string() } } },
      ...problems(...callerProblems),
    },
  });
  app.get("/events", guards.signedIn, (c) =>
    streamSSE(c, async (stream) => {
      const closed = new AbortController();
      stream.onAbort(() => closed.abort());
      const ended = guards.whileSignedIn(c, AbortSignal.any([closed.signal, deps.stopping]));
      for await (const data of deps.liveOverview.follow(ended)) await stream.writeSSE({ event: "sites", data });
    }),
  );

  return app;
}

const lines = "application/x-ndjson";

/** The messages as they are read from the ledger, one a line, however many. */
async function answerLines(parts: AsyncGenerator<Spliced>, incarnation: string): Promise<Response> {
  // the first one first: what cannot be read is still a problem then, and no half of an answer
  const first = await parts.next();
  const body = new ReadableStream<Uint8Array>(
    {
      start(controller) {
        if (first.done) controller.close();
        else controller.enqueue(first.value.text);
      },
      async pull(controller) {
        const next = await parts.next();
        if (next.done) controller.close();
        else controller.enqueue(next.value.text);
      },
      async cancel() {
        await parts.return(undefined);
      },
    },
    { highWaterMark: 1 },
  );
  return new Response(body, { headers: headersOf(lines, incarnation) });
}

/** The same as one `MessagesAnswer`. */
async function answerJson(parts: AsyncGenerator<Spliced>, limit: number, incarnation: string): Promise<Response> {
  const texts: Record<Spliced["kind"], string[]> = { messages: [], gap: [] };
  let [count, last, passed] = [0, 0, false];
  for await (const part of parts) {
    if (part.text.byteLength > 0) texts[part.kind].push(part.text.toString("utf8").slice(0, -1).replaceAll("\n", ","));
    count += part.count;
    last = part.last;
    passed = part.kind === "gap" || part.full;
  }
  // a gap at the end is passed, so that whoever waits behind it does not meet it again
  const next = count === limit || passed ? last : null;
  const gaps = texts.gap.length === 0 ? "" : `"gaps":[${texts.gap.join(",")}],`;
  const body = `{"messages":[${texts.messages.join(",")}],${gaps}"next":${next},"incarnation":${JSON.stringify(incarnation)}}`;
  return new Response(body, { headers: headersOf("application/json", incarnation) });
}

function headersOf(type: string, incarnation: string): Record<string, string> {
  return { "content-type": type, "cache-control": "no-store", "plantgate-incarnation": incarnation };
}
