import type { HttpBindings } from "@hono/node-server";
import { createRoute, type OpenAPIHono } from "@hono/zod-openapi";
import { z } from "zod";
import { packageFile, releaseLimits, releaseVersion } from "../../protocol/index.ts";
import { may } from "../auth/actor.ts";
import { type Download, Downloads } from "../release/downloads.ts";
import type { Packages } from "../release/packages.ts";
import { readPart } from "../release/part.ts";
import { releaseSites } from "../release/sites.ts";
import type { Storage } from "../storage/storage.ts";
import { type GatewayEnv, type Guards, requireRole } from "./access.ts";
import { releasesAnswer, uploadAnswer, uploadBody } from "./api/releases.ts";
import { refusing } from "./change-routes.ts";
import {
  bodyProblems,
  callerProblems,
  callsOf,
  gatewayProblems,
  jsonAnswer,
  jsonBody,
  makeRouter,
  problems,
  security,
} from "./openapi.ts";
import { ProblemError, parseInput } from "./problem.ts";

export interface ReleaseRouteDeps {
  readonly packages: Packages;
  /** What only reads. */
  readonly reading: Storage;
  readonly guards: Guards;
}

const uploadPath = z.object({ upload: z.uuid() });
const chunkPath = uploadPath.extend({ number: z.coerce.number().int().min(0).max(255) });
const versionPath = z.object({ version: releaseVersion });
/** Who looks after the program: whoever writes changes. */
const keeper = "engineer";

/** Releases: versions of gateways, as packages that rollouts bring to sites. */
export function releaseRoutes({ guards, packages, reading }: ReleaseRouteDeps) {
  const app = makeRouter();
  const calls = callsOf(guards);
  const tags = ["releases"];

  app.openapi(
    createRoute({
      method: "get",
      path: "/releases",
      operationId: "listReleases",
      summary: "Versions of gateways that are here, and which one each site runs",
      tags,
      ...calls.reads,
      responses: { 200: jsonAnswer("Releases", releasesAnswer), ...problems(...callerProblems) },
    }),
    async (c) => {
      const { actor } = c.var;
      requireRole(actor, "viewer");
      const list = await packages.list();
      const sites = await releaseSites(reading, list.central.version);
      const seen = sites.filter(({ environment }) => may(actor, "viewer", environment === "" ? undefined : environment));
      return c.json({ ...list, sites: seen }, 200);
    },
  );

  app.openapi(
    createRoute({
      tags,
      method: "post",
      path: "/releases/uploads",
      operationId: "beginReleaseUpload",
      summary: "Begin to send a package, or go on with what broke off",
      ...calls.sends,
      request: { body: jsonBody(uploadBody) },
      responses: {
        200: jsonAnswer("Where its chunks go, and how many are here", uploadAnswer),
        ...problems(...callerProblems, ...bodyProblems, "conflict"),
      },
    }),
    async (c) => {
      const { actor } = c.var;
      requireRole(actor, keeper);
      const begun = await refusing(() => packages.begin(actor, c.req.valid("json")));
      const { chunkBytes } = releaseLimits;
      if (begun.kind === "here")
        return c.json({ upload: null, received: 0, chunkBytes, ...(begun.vouched ? { vouched: true as const } : {}) }, 200);
      return c.json({ upload: begun.upload, received: begun.received, chunkBytes }, 200);
    },
  );

  app.openapi(
    createRoute({
      tags,
      method: "put",
      path: "/releases/uploads/{upload}/chunks/{number}",
      operationId: "putReleaseChunk",
      summary: "Send one chunk of a package: a mebibyte, or what is left",
      ...calls.changes,
      request: {
        params: chunkPath,
        body: {
          required: true,
          content: { "application/octet-stream": { schema: z.string().meta({ format: "binary" }) } },
        },
      },
      responses: {
        200: jsonAnswer("On disk", z.object({ number: z.int() })),
        ...problems(...callerProblems, "invalid", "unsupported-media", "too-large", "not-found", "conflict"),
      },
    }),
    async (c) => {
      requireRole(c.var.actor, keeper);
      const { upload, number } = c.req.valid("param");
      const bytes = Number(c.req.header("content-length") ?? Number.NaN);
      if (c.req.header("content-type") !== "application/octet-stream")
        throw new ProblemError("unsupported-media", "a chunk is application/octet-stream");
      // by the length that it announces, before anything of it is held (rule 21)
      if (c.req.header("transfer-encoding") !== undefined || !Number.isInteger(bytes))
        throw new ProblemError("invalid", "a chunk says its Content-Length");
      if (bytes > releaseLimits.chunkBytes)
        throw new ProblemError("too-large", `a chunk has ${releaseLimits.chunkBytes} bytes at most`);
      const body = new Uint8Array(await c.req.arrayBuffer());
      await refusing(() => packages.receive(upload, number, body));
      return c.json({ number }, 200);
    },
  );

  app.openapi(
    createRoute({
      tags,
      method: "post",
      path: "/releases/uploads/{upload}/complete",
      operationId: "completeReleaseUpload",
      summary: "Check that all of a package came as it was sent; from then on rollouts may bring it to sites",
      ...calls.sends,
      request: { params: uploadPath, body: jsonBody(z.object({})) },
      responses: {
        200: jsonAnswer("It is here", z.object({ version: z.string(), file: z.string() })),
        ...problems(...callerProblems, ...bodyProblems, "not-found", "conflict"),
      },
    }),
    async (c) => {
      const { actor } = c.var;
      requireRole(actor, keeper);
      const { version, file } = await refusing(() => packages.complete(actor, c.req.valid("param").upload));
      return c.json({ version, file }, 200);
    },
  );

  app.openapi(
    createRoute({
      tags,
      method: "delete",
      path: "/releases/uploads/{upload}",
      operationId: "dropReleaseUpload",
      summary: "Take away what was begun and not ended: by whoever began it, or an engineer of every environment",
      ...calls.changes,
      request: { params: uploadPath },
      responses: {
        200: jsonAnswer("It is gone", z.object({ version: z.string(), file: z.string() })),
        ...problems(...callerProblems, "invalid", "not-found"),
      },
    }),
    async (c) => {
      const { actor } = c.var;
      requireRole(actor, keeper);
      const { version, file } = await refusing(() => packages.drop(actor, c.req.valid("param").upload));
      return c.json({ version, file }, 200);
    },
  );

  app.openapi(
    createRoute({
      tags,
      method: "delete",
      path: "/releases/{version}",
      operationId: "removeRelease",
      summary: "Take a version away with its packages; refused while a change or a site wants it",
      ...calls.changes,
      request: { params: versionPath },
      responses: {
        200: jsonAnswer("It is gone", z.object({ version: z.string() })),
        ...problems(...callerProblems, "invalid", "not-found", "conflict"),
      },
    }),
    async (c) => {
      const { actor } = c.var;
      // a version belongs to no environment: every one of them may need it
      requireRole(actor, keeper, "*");
      const { version } = c.req.valid("param");
      await refusing(() => packages.remove(actor, version));
      return c.json({ version }, 200);
    },
  );

  return app;
}

/** What is given at once: whoever takes less than that in a minute takes nothing. */
const pieceBytes = 64 * 1024;

/** What a gateway fetches: the package that it is to install, and no other (P9). */
export function gatewayReleaseRoutes({ packages }: Pick<ReleaseRouteDeps, "packages">): OpenAPIHono<GatewayEnv> {
  const app = makeRouter<GatewayEnv>();
  const downloads = new Downloads();
  app.openAPIRegistry.registerPath({
    method: "get",
    path: "/releases/{file}",
    operationId: "getRelease",
    summary: "The package that the site is to install, or a part of it (Range)",
    tags: ["gateways"],
    security: security.gateway,
    request: { params: z.object({ site: z.string(), file: packageFile }), headers: z.object({ range: z.string().optional() }) },
    responses: {
      200: {
        description: "All of it",
        content: { "application/octet-stream": { schema: z.string().meta({ format: "binary" }) } },
      },
      206: {
        description: "The part",
        content: { "application/octet-stream": { schema: z.string().meta({ format: "binary" }) } },
      },
      ...problems(...gatewayProblems, "not-found", "invalid", "busy"),
    },
  });

  app.get("/releases/:file", async (c) => {
    const file = parseInput(packageFile, c.req.param("file"));
    const { site } = c.var;
    const found = site.desired_package === file ? await packages.find(file) : undefined;
    if (!found) throw new ProblemError("not-found", `site "${site.name}" is not to install ${file}`);
    const part = readPart(c.req.header("range"), found.size);
    if (part === undefined) throw new ProblemError("invalid", `Range: one range of 0 to ${found.size - 1}`);
    if (downloads.isFullFor(site.name))
      throw new ProblemError("busy", "enough packages are on their way", { headers: { "retry-after": "5" } });
    const { signal } = c.req.raw;
    const ended = new AbortController();
    // counted while it is read: of a HEAD nobody reads anything
    let download: Download | undefined;
    const close = (): void => download?.end();
    signal.addEventListener("abort", close, { once: true });
    let [at, left] = [part.first, part.last - part.first + 1];
    let held: { readonly number: number; readonly bytes: Uint8Array } | undefined;
    const body = new ReadableStream<Uint8Array>(
      {
        async pull(controller) {
          download ??= downloads.begin(site.name, () => {
            ended.abort(new Error(`${file} is no longer given to ${site.name}: it took nothing, or asked again`));
            held = undefined;
            // what waits for its line to drain is never read again: the connection goes
            const { outgoing } = c.env as Partial<HttpBindings>;
            if (outgoing) outgoing.destroy();
            else controller.error(ended.signal.reason);
          });
          download.moved();
          try {
            signal.throwIfAborted();
            const number = Math.floor(at / releaseLimits.chunkBytes);
            if (held?.number !== number) {
              const bytes = await packages.chunk(found.upload, number);
              // taken away meanwhile: what is cut off is asked for again, and then refused with a sentence
              if (!bytes) throw new Error(`chunk ${number} of ${file} is gone`);
              held = { number, bytes };
            }
            ended.signal.throwIfAborted();
            const from = at - number * releaseLimits.chunkBytes;
            const piece = held.bytes.subarray(from, from + Math.min(left, pieceBytes));
            at += piece.length;
            left -= piece.length;
            controller.enqueue(new Uint8Array(piece));
            if (left > 0) return;
            close();
            controller.close();
          } catch (error) {
            close();
            if (!ended.signal.aborted) controller.error(error);
          }
        },
        cancel: close,
      },
      { highWaterMark: 0 },
    );
    const headers = {
      "content-type": "application/octet-stream",
      "content-length": String(left),
      "accept-ranges": "bytes",
      etag: `"${found.sha256}"`,
    };
    if (!part.isPart) return c.body(body, 200, headers);
    return c.body(body, 206, { ...headers, "content-range": `bytes ${part.first}-${part.last}/${found.size}` });
  });

  return app;
}
