import { sql } from "kysely";
import { type Lane, messageTypes } from "../../protocol/index.ts";
import type { Storage } from "../storage/storage.ts";
import { type SliceRow, sliceColumns } from "./lines.ts";
import { fullType } from "./splice.ts";

/** Which rows of the ledger are wanted. */
export interface RowFilter {
  readonly site: string | undefined;
  readonly lane: Lane | undefined;
  /** Its whole name. */
  readonly type: string | undefined;
  readonly repeats: boolean;
}

export function filterOf(query: {
  readonly site?: string | undefined;
  readonly lane?: Lane | undefined;
  readonly type?: string | undefined;
  readonly state?: "recorded" | "repeat" | undefined;
}): RowFilter {
  const type = query.type === undefined ? undefined : fullType(query.type);
  // a type belongs to one lane, whose index is short where samples are many
  const lane = query.lane ?? messageTypes.find((each) => each.type === type)?.lane;
  return { site: query.site, lane, type, repeats: query.state === "repeat" };
}

/**
 * The last position of so many rows from one on, of those that an index leads to; null where there are none. What no index tells is
 * looked for among them alone, so that no statement holds the process up, however rare it is.
 */
export async function lastOf(storage: Storage, filter: RowFilter, from: number, rows: number): Promise<number | null> {
  const { site, lane, repeats } = filter;
  const { last } = await storage
    .selectFrom((eb) =>
      eb
        .selectFrom("slices")
        .select("position")
        .where("position", ">=", from)
        // the few rows with repeats have an index of their own; it is only taken for this very condition
        .$if(repeats, (query) => query.where(sql<boolean>`repeats > 0`))
        .$if(!repeats && site !== undefined, (query) => query.where("site", "=", site ?? ""))
        .$if(!repeats && lane !== undefined, (query) => query.where("lane", "=", lane ?? "transaction"))
        .orderBy("position")
        .limit(rows)
        .as("ahead"),
    )
    .select((eb) => eb.fn.max<number | null>("position").as("last"))
    .executeTakeFirstOrThrow();
  return last;
}

/** The wanted rows between two positions. */
export function rowsOf(storage: Storage, filter: RowFilter, from: number, to: number): Promise<SliceRow[]> {
  const { site, lane, type, repeats } = filter;
  return storage
    .selectFrom("slices")
    .select(sliceColumns)
    .where("position", ">=", from)
    .where("position", "<=", to)
    .$if(site !== undefined, (query) => query.where("site", "=", site ?? ""))
    .$if(lane !== undefined, (query) => query.where("lane", "=", lane ?? "transaction"))
    .$if(repeats, (query) => query.where(sql<boolean>`repeats > 0`))
    .$if(!repeats && type === undefined, (query) => query.where("types", "<>", "{}"))
    .$if(!repeats && type !== undefined, (query) =>
      query.where(sql<boolean>`types like ${`%${JSON.stringify(type).replace(/[\\%_]/g, "\\$&")}:%`} escape '\\'`),
    )
    .orderBy("position")
    .execute();
}
