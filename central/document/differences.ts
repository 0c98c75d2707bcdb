import diff from "microdiff";
import type { ValueDifference } from "../http/api/common.ts";

/** What two JSON values do not share, value by value, in the order of the paths. */
export function differencesOf(before: unknown, after: unknown): ValueDifference[] {
  const found = diff({ value: before }, { value: after }, { cyclesFix: false });
  return found
    .map((each): ValueDifference => {
      const path = each.path.slice(1).join(".");
      if (each.type === "CREATE") return { path, kind: "added", after: each.value };
      if (each.type === "REMOVE") return { path, kind: "removed", before: each.oldValue };
      return { path, kind: "changed", before: each.oldValue, after: each.value };
    })
    .toSorted((one, other) => (one.path < other.path ? -1 : 1));
}
