import { sql } from "kysely";
import { z } from "zod";
import { type Clock, type Lane, lanes } from "../../protocol/index.ts";
import type { Logger } from "../telemetry/logger.ts";
import { LedgerClient } from "./password-file.ts";
import { clientConfig } from "./pool.ts";
import type { Storage } from "./storage.ts";

/** What a replica tells the others. */
export interface Notice {
  /** Lanes that have more to project. */
  readonly lanes?: readonly { readonly site: string; readonly lane: Lane }[];
  /** Sites that have something to fetch, or whose session or rights changed. */
  readonly sites?: readonly string[];
  /** The ledger holds more than before. */
  readonly ledger?: true;
}
/** `everything`: what happened could not be said, or not be read. */
export type Heard = Notice | "everything";
/** Tells other replicas; nothing rests on it, as whoever waits also looks once a second (rule 13). */
export interface Notices {
  tell(notice: Notice): void;
  stop(): Promise<void>;
}

const channel = "plantgate";
/** What comes together is told together: a notice costs a transaction. */
const gatherMs = 5;
const reconnectMs = 1000;
/** PostgreSQL takes payloads of less than 8,000 bytes; an empty one says that something changed, and everybody looks. */
const maxPayload = 7000;

/** There is only this process: what happens is known. */
export const noNotices: Notices = { tell: () => {}, stop: async () => {} };

/** LISTEN on a connection of its own, NOTIFY on the pool's. */
export function openNotices(
  deps: { readonly storage: Storage; readonly url: string; readonly clock: Clock; readonly log: Logger },
  heard: (notice: Heard) => void,
): Notices {
  const { storage, clock, log } = deps;
  const stopping = new AbortController();
  const gathered = { lanes: new Set<string>(), sites: new Set<string>(), ledger: false };
  let telling: Promise<void> | undefined;

  const send = async (): Promise<void> => {
    await clock.sleep(gatherMs, stopping.signal);
    const payload = JSON.stringify({ from: process.pid, l: [...gathered.lanes], s: [...gathered.sites], m: gathered.ledger });
    gathered.lanes.clear();
    gathered.sites.clear();
    gathered.ledger = false;
    telling = undefined;
    const text = payload.length > maxPayload ? "" : payload;
    await sql`SELECT pg_notify(${channel}, ${text})`.execute(storage);
  };
  const listening = listen(deps.url, clock, log, stopping.signal, (payload) => heard(parseNotice(payload)));
  return {
    tell(notice) {
      if (stopping.signal.aborted) return;
      for (const { site, lane } of notice.lanes ?? []) gathered.lanes.add(`${site}/${lane}`);
      for (const site of notice.sites ?? []) gathered.sites.add(site);
      gathered.ledger ||= notice.ledger === true;
      // lost with the connection: the others look by themselves
      telling ??= send().catch(() => {});
    },
    async stop() {
      stopping.abort();
      await Promise.all([listening, telling]);
    },
  };
}

/** Keeps one connection that listens, for as long as the signal lasts. */
async function listen(
  url: string,
  clock: Clock,
  log: Logger,
  signal: AbortSignal,
  heard: (payload: string) => void,
): Promise<void> {
  while (!signal.aborted) {
    const client = new LedgerClient(clientConfig(url));
    try {
      const ended = new Promise<void>((resolve) => {
        client.on("error", () => resolve());
        client.on("end", () => resolve());
        signal.addEventListener("abort", () => resolve(), { once: true });
      });
      client.on("notification", ({ payload }) => heard(payload ?? ""));
      await client.connect();
      await client.query(`LISTEN ${channel}`);
      await ended;
    } catch (err) {
      log.warn(
        { event: "notices.connection.failed", err },
        "other replicas are not heard; this one looks by itself once a second",
      );
    }
    await client.end().catch(() => {});
    await clock.sleep(reconnectMs, signal);
  }
}

const told = z.object({
  l: z.array(z.string()).default([]),
  s: z.array(z.string()).default([]),
  m: z.boolean().default(false),
});

/** Any role of the database may send a notice, whatever it holds: what cannot be read says that something changed. */
function parseNotice(payload: string): Heard {
  let json: unknown;
  try {
    json = JSON.parse(payload);
  } catch {
    return "everything";
  }
  const { data: notice } = told.safeParse(json);
  if (!notice) return "everything";
  const changed = notice.l.flatMap((key) => {
    const [site = "", name] = key.split("/");
    const lane = lanes.find((each) => each === name);
    return lane === undefined ? [] : [{ site, lane }];
  });
  return { lanes: changed, sites: notice.s, ...(notice.m ? { ledger: true as const } : {}) };
}
