import { secretsIn } from "../../protocol/index.ts";
import type { Storage } from "../storage/storage.ts";

export interface SiteSecret {
  readonly site: string;
  readonly name: string;
  readonly paths: readonly string[];
}

/** Secrets that the desired configuration of each site names, and which of them have no value there. */
export async function siteSecrets(
  storage: Storage,
): Promise<{ readonly uses: readonly SiteSecret[]; readonly missing: ReadonlyMap<string, readonly string[]> }> {
  const rows = await storage
    .selectFrom("sites")
    .innerJoin("revisions", (join) =>
      join.onRef("revisions.site", "=", "sites.name").onRef("revisions.revision", "=", "sites.desired_revision"),
    )
    .select(["sites.name as site", "revisions.bundle"])
    .where("sites.revoked_at", "is", null)
    .orderBy("sites.name")
    .execute();
  const uses = rows.flatMap(({ site, bundle }) => namesIn(bundle).map(({ name, paths }) => ({ site, name, paths })));
  const held = await storage
    .selectFrom("secret_versions")
    .select(["name", "site"])
    .where("valid_until", "is", null)
    .where("sealed", "<>", "")
    .execute();
  const has = new Set(held.map(({ name, site }) => `${name}\n${site}`));
  const missing = new Map<string, string[]>();
  for (const { site, name } of uses)
    if (!has.has(`${name}\n${site}`) && !has.has(`${name}\n`)) missing.set(name, [...(missing.get(name) ?? []), site]);
  return { uses, missing };
}

/** The names in a stored bundle; one that cannot be read names none. */
export function namesIn(bundle: string): ReturnType<typeof secretsIn> {
  try {
    return secretsIn(JSON.parse(bundle) as Parameters<typeof secretsIn>[0]);
  } catch {
    return [];
  }
}
