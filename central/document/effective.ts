import { z } from "zod";
import { type Bundle, type EffectiveValue, type SourceFile, secretsIn } from "../../protocol/index.ts";
import { documentKind } from "../http/api/common.ts";
import { type EffectiveView, valueOrigin } from "../http/api/sites.ts";
import type { Storage } from "../storage/storage.ts";
import type { DocumentRef } from "./planned.ts";
import type { DocumentSource, SiteRendering } from "./render-work.ts";
import type { Renderer } from "./renderer.ts";
import { splitDocuments } from "./split.ts";
import type { DocumentStore } from "./store.ts";

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

interface StoredRevision {
  readonly content: string;
  readonly origins: string | null;
  readonly files: string;
}

export interface EffectiveDeps {
  /** For what is only read. */
  readonly storage: Storage;
  readonly documents: Pick<DocumentStore, "inForce" | "read">;
  readonly renderer: Pick<Renderer, "run">;
}

/** Sites whose explanation is kept. */
const mostKept = 100;

/** What sites run and why: each value with the document that it comes from, and what that overrides. */
export class Effective {
  readonly #deps: EffectiveDeps;
  /** By site, for the documents and the content that `key` names. */
  readonly #explained = new Map<string, { readonly key: string; readonly explained: Explained }>();

  constructor(deps: EffectiveDeps) {
    this.#deps = deps;
  }

  /** A site's configuration as it should run. Undefined: there is no such site. */
  async view(site: string): Promise<EffectiveView | undefined> {
    const { storage } = this.#deps;
    const row = await storage
      .selectFrom("sites")
      .select(["environment", "labels", "desired_revision", "reported_revision"])
      .where("name", "=", site)
      .executeTakeFirst();
    if (!row) return undefined;
    const revision = await storage
      .selectFrom("revisions")
      .select(["digest", "content", "change", "origins", "files", "bundle"])
      .where("site", "=", site)
      .where("revision", "=", row.desired_revision)
      .executeTakeFirst();
    const explained = revision ? await this.#explain(site, row.environment, revision) : { documents: [], values: [] };
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
      secrets: revision ? await this.#secrets(site, JSON.parse(revision.bundle) as Bundle) : [],
    };
  }

  /**
   * By the documents that are in force now, where they say the same as the revision does: one and the same content may come from other documents
   * than when it was rendered. Else as was noted then; of what was pushed, by rendering it again.
   */
  async #explain(site: string, environment: string, revision: StoredRevision): Promise<Explained> {
    const { storage, documents } = this.#deps;
    const all = await documents.inForce(storage, environment);
    const concerned = all.filter(({ kind, name }) => kind !== "Site" || name === site);
    const inForce = concerned.some(({ kind }) => kind === "Site") ? concerned : [];
    const key = JSON.stringify([revision.content, inForce]);
    const known = this.#explained.get(site);
    if (known?.key === key) return known.explained;
    const explained = await this.#explainAnew(site, inForce, revision);
    this.#explained.delete(site);
    this.#explained.set(site, { key, explained });
    if (this.#explained.size > mostKept) this.#explained.delete(this.#explained.keys().next().value ?? "");
    return explained;
  }

  async #explainAnew(site: string, inForce: readonly DocumentRef[], revision: StoredRevision): Promise<Explained> {
    const { storage, documents } = this.#deps;
    if (inForce.length > 0) {
      const now = await this.#render(site, await documents.read(storage, inForce));
      if (now.kind === "rendered" && now.planned.content === revision.content) return explainedBy(now.planned);
    }
    if (revision.origins !== null) return storedOrigins.parse(JSON.parse(revision.origins));
    const pushed = splitDocuments(JSON.parse(revision.files) as SourceFile[]).documents;
    const again = await this.#render(
      site,
      pushed.map((document) => ({ ...document, revision: 0 })),
    );
    if (again.kind === "rendered") return explainedBy(again.planned);
    const [first] = again.problems;
    const reason = first ? `${first.file}:${first.line}: ${first.message}` : "nothing is known of them";
    return { documents: [], values: [], unexplained: `its documents would not be taken today: ${reason}` };
  }

  async #render(site: string, documents: readonly DocumentSource[]): Promise<SiteRendering> {
    const { sites } = await this.#deps.renderer.run({ kind: "render", documents, touched: [`Site/${site}`] });
    const found = sites.find((each) => (each.kind === "rendered" ? each.planned.site : each.site) === site);
    return found ?? { kind: "failed", site, problems: [] };
  }

  /** Which versions central has of the secrets that a site names: its own before those that all may use. */
  async #secrets(site: string, bundle: Bundle): Promise<EffectiveView["secrets"]> {
    const uses = secretsIn(bundle);
    if (uses.length === 0) return [];
    const names = uses.map(({ name }) => name);
    const rows = await this.#deps.storage
      .selectFrom("secret_versions")
      .select(["name", "site", (eb) => eb.fn.max("version").as("version")])
      .where("name", "in", names)
      .where("site", "in", [site, ""])
      .groupBy(["name", "site"])
      .execute();
    return uses.map(({ name, paths }) => {
      const own = rows.filter((each) => each.name === name).toSorted((a, b) => b.site.length - a.site.length)[0];
      return { name, version: own?.version ?? null, missing: own === undefined, paths: [...paths] };
    });
  }
}

function explainedBy({ documents, origins }: Extract<SiteRendering, { kind: "rendered" }>["planned"]): Explained {
  return {
    documents: [...documents],
    values: origins.map((value) => ({ ...value, overrides: [...value.overrides] })),
  };
}
