import { sql } from "kysely";
import type { Storage } from "../storage/storage.ts";
import { alarmKinds } from "./alarms.ts";

/** Kinds that say how something is, and end; the others say what has happened. */
const states = Object.entries(alarmKinds).flatMap(([kind, { lasts }]) => (lasts ? [kind] : []));

/** Whether alarms of a kind say how something is. */
export function isState(kind: string): boolean {
  return states.includes(kind);
}

/**
 * Alarms, each with its place among those of its site: errors that stand first, then warnings, then what is over; the newest first. Whoever
 * takes them by place lets no site's alarms hide another's, however many it has.
 * @param wanted of one site; since when, with those of a state that stands, however old
 */
export function rankedAlarms(storage: Storage, wanted: { readonly site?: string | undefined; readonly since?: number }) {
  const { site, since } = wanted;
  const worst = sql`CASE WHEN ended_at IS NOT NULL THEN 2 WHEN severity = 'error' THEN 0 ELSE 1 END`;
  return storage.selectFrom((eb) =>
    eb
      .selectFrom("exceptions")
      .selectAll()
      .select(sql<number>`row_number() OVER (PARTITION BY site ORDER BY ${worst}, last_at DESC)`.as("place"))
      .$if(site !== undefined, (query) => query.where("site", "=", site ?? ""))
      .$if(since !== undefined, (query) =>
        query.where((where) =>
          where.or([where("last_at", ">=", since ?? 0), where.and([where("ended_at", "is", null), where("kind", "in", states)])]),
        ),
      )
      .as("ranked"),
  );
}
