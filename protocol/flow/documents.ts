import { PlantgateError } from "../base/error.ts";
import { type Bundle, bundle as bundleSchema } from "../bundle.ts";
import { type Site, site as siteSchema, type Template, template as templateSchema } from "../document.ts";
import { describeIssues } from "../message.ts";
import { documentName, grantsOf, Judge, problemAt, type ReadDocuments, type ReadExample, type Sourced } from "./judge.ts";
import { Mender } from "./mend.ts";
import { didYouMean, nearest } from "./suggest.ts";
import { type DocumentProblem, parseSource, type SourceFile } from "./yaml-source.ts";

export interface Validation {
  readonly problems: readonly DocumentProblem[];
  /** Templates and sites of the right shape. */
  readonly templates: readonly Template[];
  readonly sites: readonly Site[];
}

export type BuiltBundle =
  | { readonly ok: true; readonly bundle: Bundle; readonly template: Template; readonly siteDocument: Site }
  | { readonly ok: false; readonly problems: readonly DocumentProblem[] };

/**
 * Judges documents together: every problem at once, in the order of files and lines. Each site is rendered with its template; a
 * template without a site is rendered with values made from its parameters' types. Examples are read from the files themselves,
 * else by `readExample`; without it an example that is not among the files is not run.
 */
export async function validateDocuments(options: {
  readonly files: readonly SourceFile[];
  readonly readExample?: ReadExample;
}): Promise<Validation> {
  const read = readDocuments(options.files);
  const judge = new Judge(read, options);
  for (const template of read.templates) {
    const sites = sitesOf(template, read);
    for (const site of sites.length > 0 ? sites : [undefined]) await judge.template(template, site);
  }
  for (const site of read.sites) judge.site(site);
  return {
    problems: sorted([...read.problems, ...judge.problems], options.files),
    templates: read.templates.filter(isSound).map(({ value }) => value),
    sites: read.sites.filter(isSound).map(({ value }) => value),
  };
}

/**
 * What one site runs. The same documents, revision and time give the same bundle, byte for byte. Groups are expanded: every source
 * and destination names one connector.
 */
export async function buildBundle(options: {
  readonly files: readonly SourceFile[];
  readonly site: string;
  readonly revision: number;
  readonly createdAt: string;
  readonly readExample?: ReadExample;
}): Promise<BuiltBundle> {
  const read = readDocuments(options.files);
  const judge = new Judge(read, options);
  const site = read.sites.find(({ value }) => value.metadata.name === options.site);
  const template = site && read.templates.find(({ value }) => value.metadata.name === site.value.spec.template);
  const file = options.files[0]?.name ?? "";
  if (!site)
    judge.problems.push({
      file,
      path: "",
      line: 1,
      column: 1,
      message: `there is no Site "${options.site}" among the documents`,
    });
  else judge.site(site);
  const rendered = template ? await judge.template(template, site) : undefined;
  const problems = sorted([...read.problems, ...judge.problems], options.files);
  if (problems.length > 0 || !site || !template || !rendered) return { ok: false, problems };
  const bundle = bundleSchema.safeParse({
    apiVersion: "plantgate/v1",
    kind: "Bundle",
    site: options.site,
    revision: options.revision,
    createdAt: options.createdAt,
    grants: grantsOf(site.value),
    codes: template.value.spec.codes,
    connectors: rendered.connectors,
    flows: rendered.flows,
    ...(site.value.spec.queue === undefined ? {} : { queue: site.value.spec.queue }),
  });
  if (!bundle.success)
    throw new PlantgateError("INVARIANT", `a bundle without problems has the wrong shape: ${describeIssues(bundle.error)}`);
  return { ok: true, bundle: bundle.data, template: template.value, siteDocument: site.value };
}

/**
 * Documents of known kind, mended where their shape is wrong, so that one fault hides no other; JSON files without an `apiVersion`
 * are examples.
 */
function readDocuments(files: readonly SourceFile[]): ReadDocuments {
  const templates: Sourced<Template>[] = [];
  const sites: Sourced<Site>[] = [];
  const problems: DocumentProblem[] = [];
  const seen = new Set<string>();
  let incomplete = false;
  for (const file of files) {
    if (isExample(file)) continue;
    const parsed = parseSource(file);
    problems.push(...parsed.problems);
    incomplete ||= parsed.documents.length === 0;
    for (const source of parsed.documents) {
      const { kind: written, spec } = (source.value ?? {}) as { kind?: unknown; spec?: unknown };
      const kind = kindOf(written, spec);
      const faulty = kind !== written;
      if (faulty) {
        const message =
          written === undefined
            ? '"kind" is missing: Template or Site'
            : `unknown kind "${String(written)}"${didYouMean(String(written), kinds) || ": Template or Site"}`;
        problems.push(problemAt(source, written === undefined ? [] : ["kind"], message));
      }
      if (kind === undefined) {
        incomplete = true;
        continue;
      }
      const mender = new Mender();
      const value = faulty ? { ...(source.value as object), kind } : source.value;
      const name = (): string => mended.value.metadata.name;
      const mended: Sourced<Template> | Sourced<Site> =
        kind === "Template"
          ? { value: mender.mend(templateSchema, value, []) as Template, source, mender }
          : { value: mender.mend(siteSchema, value, []) as Site, source, mender };
      for (const { path, message, ...point } of mender.problems)
        problems.push(problemAt(source, mender.written(path), message, point));
      const identity = `${kind} "${name()}"`;
      if (seen.has(identity) && !mender.isStandIn(documentName))
        problems.push(problemAt(source, mender.written(documentName), `${identity} is there twice`));
      seen.add(identity);
      if (kind === "Template") templates.push(mended as Sourced<Template>);
      else sites.push(mended as Sourced<Site>);
    }
  }
  return { templates, sites, problems, incomplete };
}

const kinds = ["Template", "Site"] as const;

/** A document whose kind is misspelt or left out is known by what it has. */
function kindOf(written: unknown, spec: unknown): (typeof kinds)[number] | undefined {
  const named = typeof written === "string" ? nearest(written, kinds) : undefined;
  const known = kinds.find((kind) => kind === named);
  if (known || typeof spec !== "object" || spec === null) return known;
  if ("flows" in spec || "connectors" in spec) return "Template";
  return "template" in spec || "grants" in spec ? "Site" : undefined;
}

/** The sites that run a template; those whose template is not among the documents run the one that has no proper name. */
function sitesOf(template: Sourced<Template>, { templates, sites }: ReadDocuments): readonly Sourced<Site>[] {
  const names = templates.filter(({ mender }) => !mender.isStandIn(documentName)).map(({ value }) => value.metadata.name);
  return template.mender.isStandIn(documentName)
    ? sites.filter(({ value }) => templates.length === names.length + 1 && !names.includes(value.spec.template))
    : sites.filter(({ value }) => value.spec.template === template.value.metadata.name);
}

function isSound({ mender }: { readonly mender: Mender }): boolean {
  return mender.problems.length === 0;
}

function isExample(file: SourceFile): boolean {
  return file.name.endsWith(".json") && !/"apiVersion"\s*:/.test(file.text);
}

function sorted(problems: readonly DocumentProblem[], files: readonly SourceFile[]): DocumentProblem[] {
  const order = new Map(files.map(({ name }, index) => [name, index]));
  return problems.toSorted(
    (a, b) => (order.get(a.file) ?? 0) - (order.get(b.file) ?? 0) || a.line - b.line || a.column - b.column,
  );
}
