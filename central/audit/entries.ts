import type { Storage } from "../storage/storage.ts";

export interface EntriesQuery {
  readonly after: number;
  /** Those before it instead; 0: the last ones. */
  readonly before?: number | undefined;
  readonly limit: number;
  readonly actor?: string | undefined;
  readonly action?: string | undefined;
  readonly subject?: string | undefined;
}
interface Entry {
  readonly number: number;
  readonly at: string;
  readonly actor: string;
  readonly action: string;
  readonly subject: string;
  readonly detail?: Record<string, unknown>;
  readonly hash: string;
}

const pageRows = 500;
/** Entries that one call looks at; where few of them fit, the next call goes on there. */
const mostLooked = 5000;

/** Reads entries that fit, newest last. `next`: all up to there was looked at. */
export async function readEntries(storage: Storage, query: EntriesQuery): Promise<{ entries: Entry[]; next: number }> {
  const backwards = query.before !== undefined;
  const found: Entry[] = [];
  let next = backwards ? query.before || Number.MAX_SAFE_INTEGER : query.after;
  for (let looked = 0; looked < mostLooked; ) {
    const rows = await storage
      .selectFrom("audit")
      .selectAll()
      .where("number", backwards ? "<" : ">", next)
      .orderBy("number", backwards ? "desc" : "asc")
      .limit(pageRows)
      .execute();
    for (const row of rows) {
      if (found.length === query.limit) break;
      next = row.number;
      const entry = { ...parse(row), hash: row.hash };
      if (fits(entry, query)) found.push(entry);
    }
    looked += rows.length;
    if (rows.length < pageRows || found.length === query.limit) break;
  }
  if (backwards) found.reverse();
  return { entries: found, next: next === Number.MAX_SAFE_INTEGER ? 0 : next };
}

function fits({ actor, action, subject }: Entry, query: EntriesQuery): boolean {
  if (query.actor !== undefined && actor !== query.actor) return false;
  if (query.action !== undefined && action !== query.action && !action.startsWith(`${query.action}.`)) return false;
  return query.subject === undefined || subject === query.subject || subject.startsWith(`${query.subject}/`);
}

function parse({ number, entry }: { readonly number: number; readonly entry: string }): Omit<Entry, "hash"> {
  try {
    return JSON.parse(entry) as Omit<Entry, "hash">;
  } catch {
    // somebody wrote over it: the others are read all the same, and verify says where the log was changed
    return { number, at: "", actor: "", action: "unreadable", subject: "" };
  }
}
