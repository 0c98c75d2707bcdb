import { PlantgateError } from "../base/error.ts";
import type { Bundle } from "../bundle.ts";
import { bundle as bundleSchema } from "../bundle.ts";
import {
  type ConnectorConfig,
  connectorConfig,
  type FlowConfig,
  type Site,
  site as siteSchema,
  type Template,
  template as templateSchema,
} from "../document.ts";
import { describeIssues } from "../message.ts";
import { findMessageType, messageTypes } from "../types/index.ts";
import { compileFlow, expandFlow, type FlowContext, shortName } from "./compile.ts";
import { runExample } from "./examples.ts";
import { parseFlow } from "./flow-shape.ts";
import {
  declarationProblems,
  type Path,
  type RenderSite,
  renderSite,
  renderTemplate,
  sampleParameters,
  siteParameters,
} from "./render.ts";
import { shapeProblems } from "./shape-problems.ts";
import { didYouMean } from "./suggest.ts";
import { type DocumentProblem, parseSource, type SourceDocument, type SourceFile } from "./yaml-source.ts";

/** Reads an example by its path (relative to where the documents' paths are); undefined when there is none. */
export type ReadExample = (path: string) => string | undefined;

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

interface Sourced<Value> {
  readonly value: Value;
  readonly source: SourceDocument;
}

interface ReadDocuments {
  readonly templates: readonly Sourced<Template>[];
  readonly sites: readonly Sourced<Site>[];
  readonly problems: readonly DocumentProblem[];
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
        problems.push(at(source, kind === undefined ? [] : ["kind"], message));
        continue;
      }
      const found = shapeProblems(schema, source.value);
      problems.push(...found.map(({ path, message, key }) => at(source, path, message, { key: key ?? false })));
      if (found.length > 0) continue;
      const identity = `${String(kind)} "${String(metadata?.name)}"`;
      if (seen.has(identity)) problems.push(at(source, ["metadata", "name"], `${identity} is there twice`));
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

/** Collects what is wrong; one judge for all documents, so that a problem that two sites share is said once. */
class Judge {
  readonly problems: DocumentProblem[] = [];
  readonly #read: ReadDocuments;
  readonly #files: readonly SourceFile[];
  readonly #readExample: ReadExample | undefined;
  readonly #said = new Set<string>();

  constructor(read: ReadDocuments, options: { readonly files: readonly SourceFile[]; readonly readExample?: ReadExample }) {
    this.#read = read;
    this.#files = options.files;
    this.#readExample = options.readExample;
  }

  #say(
    source: SourceDocument,
    path: Path,
    message: string,
    options: { readonly offset?: number; readonly key?: boolean } = {},
  ): void {
    const problem = at(source, path, message, options);
    const said = JSON.stringify(problem);
    if (!this.#said.has(said)) this.problems.push(problem);
    this.#said.add(said);
  }

  /** What a site's document says beside its parameters, which are judged with the template. */
  site({ value, source }: Sourced<Site>): void {
    const { spec } = value;
    if (!this.#read.templates.some((template) => template.value.metadata.name === spec.template)) {
      const known = this.#read.templates.map((template) => template.value.metadata.name);
      this.#say(
        source,
        ["spec", "template"],
        `there is no Template "${spec.template}" among the documents${didYouMean(spec.template, known)}`,
      );
    }
    if (!isTimeZone(spec.timeZone))
      this.#say(source, ["spec", "timeZone"], `"${spec.timeZone}" is not an IANA time zone such as Europe/Paris`);
    for (const right of ["send", "receive"] as const) {
      spec.grants[right].forEach((name, index) => {
        if (findMessageType(name)) return;
        const known = messageTypes.map(({ type }) => shortName(type));
        this.#say(source, ["spec", "grants", right, index], `unknown message type "${name}"${didYouMean(name, known)}`);
      });
    }
  }

  /** Renders a template for a site, or with samples, and judges all that comes out. */
  async template(template: Sourced<Template>, site: Sourced<Site> | undefined): Promise<Pick<Bundle, "connectors" | "flows">> {
    const { value, source } = template;
    for (const { path, message } of declarationProblems(value)) this.#say(source, ["spec", "parameters", ...path], message);
    const sample = site ? undefined : sampleParameters(value);
    const given = site ? siteParameters(value, site.value.spec.parameters) : { values: sample?.values ?? {}, problems: [] };
    // what a site leaves out is a problem of the site; the template is judged with a sample in its place
    const samples = sampleParameters(value);
    const missing = new Set(Object.keys(samples.values).filter((name) => !Object.hasOwn(given.values, name)));
    const parameters = { ...samples.values, ...given.values };
    if (site) for (const { path, message } of given.problems) this.#say(site.source, ["spec", "parameters", ...path], message);
    const renderFor: RenderSite = site ? renderSite(site.value) : { name: "sample", timeZone: "UTC", labels: {} };
    const wrong = new Set(given.problems.map(({ path }) => String(path[0] ?? "")));
    const rendered = renderTemplate(value, renderFor, parameters, new Set([...(sample?.invented ?? []), ...missing, ...wrong]));
    for (const { path, message, offset } of rendered.problems)
      this.#say(source, path, message, offset === undefined ? {} : { offset });
    const invented = (path: Path): boolean =>
      path.some((_step, index) => rendered.invented.has(path.slice(0, index + 1).join("\n")));

    const connectors: Record<string, { group: string; config: ConnectorConfig }> = {};
    for (const { name, group, value: written } of rendered.connectors) {
      const base = ["spec", "connectors", group];
      const problems = shapeProblems(connectorConfig, written);
      for (const { path, message, key } of problems) {
        if (!invented([...base, ...path])) this.#say(source, [...base, ...path], message, { key: key ?? false });
      }
      for (const field of ["url", "endpoint"] as const) {
        if (holdsCredentials(written[field]))
          this.#say(
            source,
            [...base, field],
            "an address holds no user and password: name them beside it, the password as a secret",
          );
      }
      const parsed = connectorConfig.safeParse(written);
      if (parsed.success) connectors[name] = { group, config: parsed.data };
    }

    const context: FlowContext = {
      site: renderFor.name,
      connectors,
      groups: new Set(Object.keys(value.spec.connectors)),
      codes: value.spec.codes,
      limits: { timeoutMs: 2000, sequence: 100_000 },
      ...(site ? { grants: grantsOf(site.value) } : {}),
    };
    const flows: Record<string, FlowConfig> = {};
    for (const { name, group, value: written } of rendered.flows) {
      const base = ["spec", "flows", group];
      const parsed = parseFlow(written);
      if ("problems" in parsed) {
        for (const { path, message, key } of parsed.problems)
          if (!invented([...base, ...path])) this.#say(source, [...base, ...path], message, { key: key ?? false });
        continue;
      }
      const { flow, problems } = compileFlow(name, parsed.flow, context);
      for (const { path, message, offset } of problems) {
        if (!invented([...base, ...path])) this.#say(source, [...base, ...path], message, offset === undefined ? {} : { offset });
      }
      if (problems.length === 0) {
        for (const [index, reference] of (parsed.flow.examples ?? []).entries()) {
          const path = [...base, "examples", index];
          const [givenText, expectText] = [
            this.#example(source, [...path, "given"], reference.given),
            this.#example(source, [...path, "expect"], reference.expect),
          ];
          if (givenText === undefined || expectText === undefined) continue;
          const example = {
            given: givenText,
            expect: expectText,
            ...(reference.topic === undefined ? {} : { topic: reference.topic }),
          };
          for (const difference of await runExample(flow, example))
            this.#say(source, [...path, "expect"], `example ${reference.expect}: ${difference}`);
        }
      }
      const expanded = expandFlow(parsed.flow, connectors);
      // a site whose list of machines is empty has no such flow
      if ((!Array.isArray(expanded.from) || expanded.from.length > 0) && expanded.to.length > 0) flows[name] = expanded;
    }
    return { connectors, flows };
  }

  #example(source: SourceDocument, path: Path, reference: string): string | undefined {
    const folder = source.file.includes("/") ? source.file.slice(0, source.file.lastIndexOf("/") + 1) : "";
    const names = [folder + reference, reference];
    const among =
      this.#files.find(({ name }) => names.includes(name)) ?? this.#files.find(({ name }) => name.endsWith(`/${reference}`));
    const text = among?.text ?? this.#readExample?.(folder + reference);
    if (text === undefined && this.#readExample) this.#say(source, path, `there is no file "${reference}"`);
    return text;
  }
}

function grantsOf(site: Site): Bundle["grants"] {
  const full = (names: readonly string[]): string[] => names.map((name) => findMessageType(name)?.type ?? name);
  return { send: full(site.spec.grants.send), receive: full(site.spec.grants.receive) };
}

function holdsCredentials(address: unknown): boolean {
  return typeof address === "string" && /^[a-z][a-z0-9+.-]*:\/\/[^/?#]*@/i.test(address);
}

function isTimeZone(zone: string): boolean {
  try {
    new Intl.DateTimeFormat("en", { timeZone: zone });
    return true;
  } catch {
    return false;
  }
}

function at(
  source: SourceDocument,
  path: Path,
  message: string,
  options: { readonly offset?: number; readonly key?: boolean } = {},
): DocumentProblem {
  return { file: source.file, path: path.join("."), ...source.locate(path, options), message };
}

function sorted(problems: readonly DocumentProblem[], files: readonly SourceFile[]): DocumentProblem[] {
  const order = new Map(files.map(({ name }, index) => [name, index]));
  return problems.toSorted(
    (a, b) => (order.get(a.file) ?? 0) - (order.get(b.file) ?? 0) || a.line - b.line || a.column - b.column,
  );
}
