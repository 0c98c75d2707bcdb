import type { StorageTransaction } from "../storage/storage.ts";

const over = ["done", "aborted", "rolled-back", "abandoned"];

/** What still needs a version's packages, as a sentence; undefined: nothing does. Under the lock of changes. */
export async function wantedBy(tx: StorageTransaction, version: string): Promise<string | undefined> {
  const change = await tx
    .selectFrom("changes")
    .select(["number", "state"])
    .where("release", "like", `{"version":${JSON.stringify(version)},%`)
    .where("state", "not in", over)
    .orderBy("number")
    .executeTakeFirst();
  if (change) return `change ${change.number} is ${change.state}`;
  const back = await tx
    .selectFrom("rollout_sites as each")
    .innerJoin("rollouts", "rollouts.number", "each.rollout")
    .select("rollouts.number")
    .where("each.from_version", "=", version)
    .where("rollouts.state", "not in", over)
    .executeTakeFirst();
  if (back) return `sites of rollout ${back.number} may have to go back to it`;
  const sites = await tx
    .selectFrom("sites")
    .select(["name", "status", "desired_version", "desired_package"])
    .where("revoked_at", "is", null)
    .orderBy("name")
    .execute();
  const isThere = ({ status }: { readonly status: string | null }): boolean => runningVersion(status) === version;
  const late = sites.filter((site) => site.desired_version === version && site.desired_package !== "" && !isThere(site));
  if (late.length > 0) return `${some(late, "has", "have")} yet to get it`;
  const running = sites.filter(isThere);
  if (running.length > 0) return `${some(running, "runs", "run")} it`;
  const before = await cameFrom(tx, version);
  const would = sites.filter(({ name }) => before.has(name));
  return would.length === 0 ? undefined : `${some(would, "ran", "ran")} it before, and would go back to it`;
}

/** Sites whose last rollout of a version found this one there: what they go back to when the newer one disappoints after all (P8). */
async function cameFrom(tx: StorageTransaction, version: string): Promise<Set<string>> {
  const rows = await tx
    .selectFrom("rollout_sites")
    .select(["site", "rollout", "from_version"])
    .where("from_version", "is not", null)
    .where("state", "!=", "put-back")
    .orderBy("rollout")
    .execute();
  const last = new Map(rows.map(({ site, from_version: from }) => [site, from]));
  return new Set([...last].filter(([, from]) => from === version).map(([site]) => site));
}

function some(sites: readonly { readonly name: string }[], one: string, many: string): string {
  return sites.length === 1 ? `site ${sites[0]?.name} ${one}` : `${sites.length} sites ${many}`;
}

function runningVersion(status: string | null): string | undefined {
  return status === null ? undefined : (JSON.parse(status) as { gatewayVersion?: string }).gatewayVersion;
}
