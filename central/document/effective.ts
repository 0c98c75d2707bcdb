import { z } from "zod";
import { type Bundle, type EffectiveValue, renderSite, type SourceFile, secretsIn } from "../../protocol/index.ts";
import { documentKind } from "../http/api/common.ts";
import { type EffectiveView, valueOrigin } from "../http/api/sites.ts";
import type { Storage } from "../storage/storage.ts";

/** What `revisions.origins` holds. */
const storedOrigins = z.object({
  documents: z.array(z.object({ kind: documentKind, name: z.string(), revision: z.int() })),
  values: z.array(
    z.object({
      path: z.string(),
      value: z.unknown(),
      origin: valueOrigin,
      overrides: z.array(z.object({ value: z.unknown(), origin: valueOrigin })),
    }),
  ),
});
type Explained = Pick<EffectiveView, "documents" | "values" | "unexplained">;

/** A site's configuration as it should run, each value with the document that it comes from. Undefined: there is no such site. */
export async function effectiveView(storage: Storage, site: string): Promise<EffectiveView | undefined> {
  const row = await storage
    .selectFrom("sites")
    .select(["environment", "labels", "desired_revision", "reported_revision"])
    .where("name", "=", site)
    .executeTakeFirst();
  if (!row) return undefined;
  const revision = await storage
    .selectFrom("revisions")
    .select(["revision", "digest", "change", "origins", "files", "bundle"])
    .where("site", "=", site)
    .where("revision", "=", row.desired_revision)
    .executeTakeFirst();
  const explained = revision ? await explain(site, revision) : { documents: [], values: [] };
  const revisions = new Map(explained.documents.map(({ kind, name, revision: number }) => [`${kind}/${name}`, number]));
  const dated = (origin: EffectiveValue["origin"]): EffectiveView["values"][number]["origin"] => {
    const number = origin.document === undefined ? undefined : revisions.get(origin.document);
    return number === undefined || number === 0 ? origin : { ...origin, revision: number };
  };
  return {
    site,
    environment: row.environment,
    labels: JSON.parse(row.labels) as Record<string, string>,
    desiredRevision: row.desired_revision,
    reportedRevision: row.reported_revision,
    digest: revision?.digest ?? null,
    change: revision?.change || null,
    ...explained,
    values: explained.values.map(({ origin, overrides, ...value }) => ({
      ...value,
      origin: dated(origin),
      overrides: overrides.map((each) => ({ ...each, origin: dated(each.origin) })),
    })),
    secrets: revision ? await secretsOf(storage, site, JSON.parse(revision.bundle) as Bundle) : [],
  };
}

/** From what was noted when it was rendered; of what was pushed, by rendering it again. */
async function explain(
  site: string,
  { revision, origins, files }: { readonly revision: number; readonly origins: string | null; readonly files: string },
): Promise<Explained> {
  if (origins !== null) return storedOrigins.parse(JSON.parse(origins));
  const rendered = await renderSite({ files: JSON.parse(files) as SourceFile[], site, revision });
  if (!rendered.ok) {
    const [first] = rendered.problems;
    const reason = first ? `${first.file}:${first.line}: ${first.message}` : "nothing is known of them";
    return { documents: [], values: [], unexplained: `its documents would not be taken today: ${reason}` };
  }
  return {
    documents: rendered.documents.map((document) => ({ ...document, revision: 0 })),
    values: rendered.origins.map((value) => ({ ...value, overrides: [...value.overrides] })),
  };
}

/** Which versions central has of the secrets that a site names: its own before those that all may use. */
async function secretsOf(storage: Storage, site: string, bundle: Bundle): Promise<EffectiveView["secrets"]> {
  const uses = secretsIn(bundle);
  if (uses.length === 0) return [];
  const rows = await storage
    .selectFrom("secret_versions")
    .select(["name", "site", (eb) => eb.fn.max("version").as("version")])
    .where(
      "name",
      "in",
      uses.map(({ name }) => name),
    )
    .where("site", "in", [site, ""])
    .groupBy(["name", "site"])
    .execute();
  return uses.map(({ name, paths }) => {
    const own = rows.filter((each) => each.name === name).toSorted((a, b) => b.site.length - a.site.length)[0];
    return { name, version: own?.version ?? null, missing: own === undefined, paths: [...paths] };
  });
}
