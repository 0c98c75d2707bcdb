import type { Bundle, SourceFile } from "../../protocol/index.ts";
import { differencesOf } from "../document/differences.ts";
import type { DocumentSource } from "../document/render-work.ts";
import type { Renderer } from "../document/renderer.ts";
import type { Revisions } from "../document/revisions.ts";
import type { DocumentStore } from "../document/store.ts";
import type { ChangeDiff } from "../http/api/changes.ts";
import type { Storage } from "../storage/storage.ts";
import type { Changes } from "./changes.ts";
import type { Judge, Judged } from "./judged.ts";
import type { ChangeRecord } from "./record.ts";
import { ChangeRefused } from "./refused.ts";

export interface ChangeDiffsDeps {
  readonly storage: Storage;
  readonly documents: DocumentStore;
  readonly revisions: Pick<Revisions, "bundle" | "desired">;
  readonly renderer: Renderer;
  readonly changes: Changes;
  readonly judge: Judge;
}

type SiteDiff = ChangeDiff["sites"][number];

/** What a change changes: its documents side by side, the sites' bundles value by value, and what its examples gave. */
export class ChangeDiffs {
  readonly #deps: ChangeDiffsDeps;

  constructor(deps: ChangeDiffsDeps) {
    this.#deps = deps;
  }

  async of(number: number): Promise<ChangeDiff | undefined> {
    const now = await this.#deps.changes.now(number);
    if (!now) return undefined;
    const { record, inForce } = now;
    const documents = await this.#documents(record);
    const rolled = record.release ? undefined : await this.#rolledOut(number);
    // what has begun is compared as it was told, whatever has moved since
    if (record.release) return { documents, sites: [], examples: [] };
    if (rolled || !["draft", "review", "approved"].includes(record.row.state))
      return { documents, sites: rolled ?? [], examples: [] };
    if (record.documents.length === 0) return { documents, sites: [], examples: [] };
    const judged = await this.#deps.judge.judge(record, inForce);
    return { documents, ...(await this.#compared(judged)) };
  }

  /** What files that lie somewhere would change in an environment; nothing is kept. */
  async ofFiles(environment: string, files: readonly SourceFile[]): Promise<ChangeDiff> {
    const { storage, documents, renderer, judge } = this.#deps;
    const { documents: written, problems } = await renderer.run({ kind: "split", files });
    if (problems.length > 0)
      throw new ChangeRefused("invalid", "the files hold what cannot be told apart as documents", problems);
    const inForce = await documents.inForce(storage, environment);
    const found: ChangeDiff["documents"] = [];
    const own: DocumentSource[] = [];
    for (const { kind, name, text, attachments } of written) {
      const known = inForce.find((each) => each.kind === kind && each.name === name);
      const [before] = known ? await documents.read(storage, [known]) : [];
      own.push({ kind, name, revision: 0, text, attachments: { ...before?.attachments, ...attachments } });
      found.push({
        ...{ kind, name, after: { revision: 0, text } },
        before: before ? { revision: before.revision, text: before.text } : null,
      });
    }
    return { documents: found, ...(await this.#compared(await judge.trial(environment, own, inForce))) };
  }

  async #compared(judged: Judged): Promise<Pick<ChangeDiff, "sites" | "examples">> {
    const sites: SiteDiff[] = [];
    for (const rendered of judged.sites) {
      const site = rendered.kind === "rendered" ? rendered.planned.site : rendered.site;
      const before = await this.#desired(site);
      const after = rendered.kind === "rendered" ? rendered.planned.bundle : null;
      const differences = after === null ? [] : differencesOf(without(before?.bundle), after);
      const problems = rendered.kind === "failed" ? [...rendered.problems] : [];
      if (differences.length === 0 && problems.length === 0 && before) continue;
      sites.push({ site, before: before ?? null, after: after && { bundle: after }, differences, problems });
    }
    const examples = judged.examples.map((example) => ({ ...example, differences: [...example.differences] }));
    return { sites, examples };
  }

  async #documents({ documents: carried }: ChangeRecord): Promise<ChangeDiff["documents"]> {
    const { storage, documents } = this.#deps;
    const side = async (ref: Parameters<DocumentStore["read"]>[1][number]) => {
      const [found] = await documents.read(storage, [ref]);
      return found ? { revision: found.revision, text: found.text } : null;
    };
    const found: ChangeDiff["documents"] = [];
    for (const { kind, name, revision, base } of carried) {
      const [before, after] = [await side({ kind, name, revision: base }), await side({ kind, name, revision })];
      found.push({ kind, name, before, after });
    }
    return found;
  }

  /** The sites of its last rollout, from what they had to what they were given. */
  async #rolledOut(number: number): Promise<SiteDiff[] | undefined> {
    const { storage } = this.#deps;
    const rows = await storage
      .selectFrom("rollout_sites")
      .innerJoin("rollouts", "rollouts.number", "rollout_sites.rollout")
      .select(["rollout_sites.site", "rollout_sites.from_revision", "rollout_sites.to_revision"])
      .where("rollouts.change", "=", number)
      .orderBy("rollout_sites.site")
      .execute();
    if (rows.length === 0) return undefined;
    const sites: SiteDiff[] = [];
    for (const { site, from_revision: from, to_revision: to } of rows) {
      const before = await this.#bundle(site, from);
      const after = await this.#bundle(site, to);
      sites.push({
        site,
        before: before ?? null,
        after: after ? { bundle: after.bundle } : null,
        differences: differencesOf(without(before?.bundle), without(after?.bundle)),
        problems: [],
      });
    }
    return sites;
  }

  async #desired(site: string): Promise<{ revision: number; bundle: Bundle } | undefined> {
    const { revision } = await this.#deps.revisions.desired(site);
    return this.#bundle(site, revision);
  }

  async #bundle(site: string, revision: number): Promise<{ revision: number; bundle: Bundle } | undefined> {
    const bundle = await this.#deps.revisions.bundle(site, revision);
    return bundle && { revision, bundle };
  }
}

/** What a bundle says, without its number. */
function without(bundle: Bundle | undefined): Omit<Bundle, "revision"> | undefined {
  if (!bundle) return undefined;
  const { revision: _, createdAt: __, ...says } = bundle;
  return says;
}
