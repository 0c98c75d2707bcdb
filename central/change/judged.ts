import { createHash } from "node:crypto";
import { type DocumentProblem, PlantgateError } from "../../protocol/index.ts";
import type { DocumentRef, Planned } from "../document/planned.ts";
import type { DocumentSource, ExampleResult, SiteRendering } from "../document/render-work.ts";
import type { Renderer } from "../document/renderer.ts";
import type { DocumentStore, InForce } from "../document/store.ts";
import type { Storage } from "../storage/storage.ts";
import { isTakenBy } from "./checks.ts";
import type { ChangeRecord } from "./record.ts";

/** What a change would do now: judged and rendered with what is in force. */
export interface Judged {
  /** Of its documents, and of the sites that do not render with them. */
  readonly problems: readonly DocumentProblem[];
  readonly examples: readonly ExampleResult[];
  /** Sites of the environment that its documents have a part in. */
  readonly sites: readonly SiteRendering[];
}

type Named = Pick<DocumentRef, "kind" | "name">;

/** How many are kept: a change is looked at several times while it is read, and its bundles are large. */
const kept = 8;

/** Judges changes as a whole, each once as long as neither it nor what is in force moves. */
export class Judge {
  readonly #deps: { readonly storage: Storage; readonly documents: DocumentStore; readonly renderer: Renderer };
  readonly #known = new Map<string, Promise<Judged>>();

  constructor(deps: { readonly storage: Storage; readonly documents: DocumentStore; readonly renderer: Renderer }) {
    this.#deps = deps;
  }

  /** Outside of any transaction. @throws PlantgateError INPUT_INVALID, PEER_BUSY, STOPPED as {@link Renderer.run} does */
  async judge(record: ChangeRecord, inForce: readonly InForce[]): Promise<Judged> {
    // a version says nothing of any document
    if (record.release) return { problems: [], examples: [], sites: [] };
    const key = `${record.row.number} ${record.row.digest} ${fingerprint(inForce)}`;
    let judged = this.#known.get(key);
    if (!judged) {
      judged = this.#judge(record, inForce).catch(tooMuch);
      this.#known.set(key, judged);
      judged.catch(() => this.#known.delete(key));
      const [oldest] = this.#known.keys();
      if (this.#known.size > kept && oldest !== undefined) this.#known.delete(oldest);
    }
    return this.#concerning(record.row.environment, record.documents, await judged);
  }

  async #judge({ documents: carried }: ChangeRecord, inForce: readonly InForce[]): Promise<Judged> {
    const { storage, documents } = this.#deps;
    const own = await documents.read(storage, carried);
    return this.#whole(own.map(plain), carried, inForce);
  }

  /** What documents that are stored nowhere would make of an environment. */
  async trial(environment: string, own: readonly DocumentSource[], inForce: readonly InForce[]): Promise<Judged> {
    return this.#concerning(environment, own, await this.#whole(own, own, inForce));
  }

  /** @param moved all that moves: the documents, and what is removed */
  async #whole(own: readonly DocumentSource[], moved: readonly Named[], inForce: readonly InForce[]): Promise<Judged> {
    const { storage, documents, renderer } = this.#deps;
    const touched = new Set(moved.map(nameOf));
    const kept = inForce.filter((each) => !touched.has(nameOf(each)));
    const others = (await documents.read(storage, kept)).map(plain);
    const { problems, examples } = await renderer.run({ kind: "judge", documents: own, others });
    const { sites } = await renderer.run({ kind: "render", documents: [...own, ...others], touched: [...touched] });
    return { problems, examples, sites };
  }

  /** Leaves out what is in force of sites that belong elsewhere, or are not there yet: that is nothing to roll out. */
  async #concerning(environment: string, moved: readonly Named[], judged: Judged): Promise<Judged> {
    const rows = await this.#deps.storage.selectFrom("sites").select(["name", "environment", "desired_revision"]).execute();
    const taken = new Set(rows.filter((row) => isTakenBy(environment, row)).map(({ name }) => name));
    const touched = new Set(moved.map(nameOf));
    const sites = judged.sites.filter((each) => {
      const name = each.kind === "rendered" ? each.planned.site : each.site;
      return taken.has(name) || touched.has(`Site/${name}`);
    });
    const said = new Set(judged.problems.map((problem) => JSON.stringify(problem)));
    const failed = sites.flatMap((site) => (site.kind === "failed" ? site.problems : []));
    const further = failed.filter((problem) => !said.has(JSON.stringify(problem)) && said.add(JSON.stringify(problem)));
    return { ...judged, problems: [...judged.problems, ...further], sites };
  }

  /** Sites whose content is not what they desire. */
  async affected({ row }: ChangeRecord, { sites }: Judged): Promise<Planned[]> {
    const found: Planned[] = [];
    for (const rendered of sites) {
      if (rendered.kind === "failed") continue;
      const { planned } = rendered;
      const site = await this.#deps.storage
        .selectFrom("sites")
        .leftJoin("revisions", (join) =>
          join.onRef("revisions.site", "=", "sites.name").onRef("revisions.revision", "=", "sites.desired_revision"),
        )
        .select(["sites.environment", "sites.desired_revision", "revisions.content"])
        .where("sites.name", "=", planned.site)
        .executeTakeFirst();
      if (site && isTakenBy(row.environment, site) && site.content !== planned.content) found.push(planned);
    }
    return found;
  }
}

/** What takes too long once takes too long again: it is a problem of the documents. @throws whatever else it is */
function tooMuch(error: unknown): Judged {
  if (!(error instanceof PlantgateError) || error.code !== "INPUT_INVALID") throw error;
  return { problems: [{ file: "", path: "", line: 1, column: 1, message: error.message }], examples: [], sites: [] };
}

/** Tells one state of an environment from another. */
export function fingerprint(inForce: readonly InForce[]): string {
  const refs = inForce.map(({ kind, name, revision }) => [kind, name, revision]);
  return createHash("sha256").update(JSON.stringify(refs)).digest("hex");
}

function nameOf({ kind, name }: Named): string {
  return `${kind}/${name}`;
}

function plain({ kind, name, revision, text, attachments }: DocumentSource): DocumentSource {
  return { kind, name, revision, text, attachments };
}
