import { readFileSync } from "node:fs";
import { z } from "zod";
import { connectorReport, type Holder, parseJson } from "../../protocol/index.ts";
import { localAccessFile } from "../http/local-routes.ts";

const health = z.looseObject({
  site: z.string(),
  version: z.string(),
  link: z.string(),
  reason: z.string().optional(),
  stalled: z.record(z.string(), z.string()).optional(),
});
export type Health = z.infer<typeof health>;

/** What the gateway says on this machine of itself (`GET /local/v1/status`). */
export const localStatus = z.looseObject({
  pid: z.int(),
  startedAt: z.string(),
  centralTime: z.string().optional(),
  settings: z.looseObject({ site: z.string(), centralUrl: z.string(), host: z.string(), port: z.int() }),
  connectors: z.array(connectorReport),
  configuration: z.looseObject({ reported: z.int() }).optional(),
});
export type LocalStatus = z.infer<typeof localStatus>;

/** `silent`: a process holds the folder, and does not answer. */
export type Running =
  | { readonly kind: "stopped" }
  | { readonly kind: "silent"; readonly pid: number | undefined }
  | {
      readonly kind: "running";
      readonly pid: number | undefined;
      readonly url: string;
      readonly health: Health;
      /** Undefined: one of before it had that, or its token cannot be read. */
      readonly status: LocalStatus | undefined;
      /** When its status came, by our clock. */
      readonly askedAt: number;
    };

const patienceMs = 5000;

/** Whether a gateway works on this folder, which a process holds or none; nothing is locked for that. */
export async function findRunning(dataDir: string, holder: Holder | undefined): Promise<Running> {
  const access = readAccess(dataDir);
  const said = access && health.safeParse(await ask(`${access.url}/health`)).data;
  if (!access || !said) return holder ? { kind: "silent", pid: holder.pid } : { kind: "stopped" };
  const status = localStatus.safeParse(await ask(`${access.url}/local/v1/status`, access.token)).data;
  // what listens there may be the gateway of another folder, if this one is stopped
  if (!holder && !status) return { kind: "stopped" };
  return { kind: "running", pid: holder?.pid ?? status?.pid, url: access.url, health: said, status, askedAt: Date.now() };
}

async function ask(url: string, token?: string): Promise<unknown> {
  try {
    const headers: Record<string, string> = token === undefined ? {} : { authorization: `Bearer ${token}` };
    const answer = await fetch(url, { headers, redirect: "error", signal: AbortSignal.timeout(patienceMs) });
    return answer.ok ? parseJson(await answer.text()) : undefined;
  } catch {
    return undefined;
  }
}

function readAccess(dataDir: string): { readonly url: string; readonly token: string } | undefined {
  try {
    const access = z.object({ url: z.url(), token: z.string() });
    return access.safeParse(parseJson(readFileSync(localAccessFile(dataDir), "utf8"))).data;
  } catch {
    return undefined;
  }
}
