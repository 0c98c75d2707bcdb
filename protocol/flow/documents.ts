import { PlantgateError } from "../base/error.ts";
import { type Bundle, bundle as bundleSchema } from "../bundle.ts";
import { type Site, site as siteSchema, type Template, template as templateSchema } from "../document.ts";
import { describeIssues } from "../message.ts";
import { grantsOf, Judge, problemAt, type ReadDocuments, type ReadExample, type Sourced } from "./judge.ts";
import { shapeProblems } from "./shape-problems.ts";
import { didYouMean } from "./suggest.ts";
import { type DocumentProblem, parseSource, type SourceFile } from "./yaml-source.ts";

export interface Validation {
  readonly problems: readonly DocumentProblem[];
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
    const sites = read.sites.filter(({ value }) => value.spec.template === template.value.metadata.name);
    for (const site of sites.length > 0 ? sites : [undefined]) await judge.template(template, site);
  }
  for (const site of read.sites) judge.site(site);
  return {
    problems: sorted([...read.problems, ...judge.problems], options.files),
    templates: read.templates.map(({ value }) => value),
    sites: read.sites.map(({ value }) => value),
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
  });
  if (!bundle.success)
    throw new PlantgateError("INVARIANT", `a bundle without problems has the wrong shape: ${describeIssues(bundle.error)}`);
  return { ok: true, bundle: bundle.data, template: template.value, siteDocument: site.value };
}

/** Documents of known kind and right shape; JSON files without an `apiVersion` are examples. */
function readDocuments(files: readonly SourceFile[]): ReadDocuments {
  const templates: Sourced<Template>[] = [];
  const sites: Sourced<Site>[] = [];
  const problems: DocumentProblem[] = [];
  const seen = new Set<string>();
  for (const file of files) {
    if (isExample(file)) continue;
    const parsed = parseSource(file);
    problems.push(...parsed.problems);
    for (const source of parsed.documents) {
      const { kind, metadata } = (source.value ?? {}) as { kind?: unknown; metadata?: { name?: unknown } };
      const schema = kind === "Template" ? templateSchema : kind === "Site" ? siteSchema : undefined;
      if (!schema) {
        const message =
          kind === undefined
            ? '"kind" is missing: Template or Site'
            : `unknown kind "${String(kind)}"${didYouMean(String(kind), ["Template", "Site"]) || ": Template or Site"}`;
        problems.push(problemAt(source, kind === undefined ? [] : ["kind"], message));
        continue;
      }
      const found = shapeProblems(schema, source.value);
      problems.push(...found.map(({ path, message, key }) => problemAt(source, path, message, { key: key ?? false })));
      if (found.length > 0) continue;
      const identity = `${String(kind)} "${String(metadata?.name)}"`;
      if (seen.has(identity)) problems.push(problemAt(source, ["metadata", "name"], `${identity} is there twice`));
      seen.add(identity);
      if (kind === "Template") templates.push({ value: templateSchema.parse(source.value), source });
      else sites.push({ value: siteSchema.parse(source.value), source });
    }
  }
  return { templates, sites, problems };
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
