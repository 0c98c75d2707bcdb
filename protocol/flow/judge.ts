import type { Bundle } from "../bundle.ts";
import { type ConnectorConfig, connectorConfig, type FlowConfig, type Site, type Template } from "../document.ts";
import { findMessageType, messageTypes } from "../types/index.ts";
import { compileFlow } from "./compile.ts";
import { expandFlow, type FlowContext, shortName } from "./compiled-flow.ts";
import { runExample } from "./examples.ts";
import { parseFlow } from "./flow-shape.ts";
import { declarationProblems, sampleParameters, siteParameters } from "./parameters.ts";
import { type Path, type RenderedPart, type RenderSite, renderTemplate } from "./render.ts";
import { type ShapeProblem, shapeProblems } from "./shape-problems.ts";
import { didYouMean } from "./suggest.ts";
import type { DocumentProblem, SourceDocument, SourceFile } from "./yaml-source.ts";

/** Reads an example by its path (relative to where the documents' paths are); undefined when there is none. */
export type ReadExample = (path: string) => string | undefined;

/** A document of the right shape, and where it came from. */
export interface Sourced<Value> {
  readonly value: Value;
  readonly source: SourceDocument;
}

export interface ReadDocuments {
  readonly templates: readonly Sourced<Template>[];
  readonly sites: readonly Sourced<Site>[];
  readonly problems: readonly DocumentProblem[];
}

export interface ExampleFiles {
  readonly files: readonly SourceFile[];
  readonly readExample?: ReadExample;
}

type Say = (path: Path, problem: Pick<ShapeProblem, "message" | "key" | "missing"> & { readonly offset?: number }) => void;

/** An example of a template that is judged without limits of its own would hang the reviewer, not a plant. */
const exampleLimits = { timeoutMs: 2000, sequence: 100_000 };

/** Collects what is wrong; one judge for all documents, so that a problem that two sites share is said once. */
export class Judge {
  readonly problems: DocumentProblem[] = [];
  readonly #read: ReadDocuments;
  readonly #examples: ExampleFiles;
  readonly #said = new Set<string>();

  constructor(read: ReadDocuments, examples: ExampleFiles) {
    this.#read = read;
    this.#examples = examples;
  }

  /** What a site's document says beside its parameters, which are judged with the template. */
  site({ value, source }: Sourced<Site>): void {
    const { spec } = value;
    const templates = this.#read.templates.map((template) => template.value.metadata.name);
    if (!templates.includes(spec.template)) {
      const message = `there is no Template "${spec.template}" among the documents${didYouMean(spec.template, templates)}`;
      this.#say(source, ["spec", "template"], { message });
    }
    if (!isTimeZone(spec.timeZone)) {
      const message = `"${spec.timeZone}" is not an IANA time zone such as Europe/Paris`;
      this.#say(source, ["spec", "timeZone"], { message });
    }
    const types = messageTypes.map(({ type }) => shortName(type));
    for (const right of ["send", "receive"] as const) {
      spec.grants[right].forEach((name, index) => {
        if (findMessageType(name)) return;
        const message = `unknown message type "${name}"${didYouMean(name, types)}`;
        this.#say(source, ["spec", "grants", right, index], { message });
      });
    }
  }

  /** Renders a template for a site, or with samples, and judges all that comes out. */
  async template(template: Sourced<Template>, site: Sourced<Site> | undefined): Promise<Pick<Bundle, "connectors" | "flows">> {
    const { value, source } = template;
    for (const { path, message } of declarationProblems(value)) this.#say(source, ["spec", "parameters", ...path], { message });
    const { parameters, invented } = this.#parameters(value, site);
    const renderFor = site ? renderSite(site.value) : { name: "sample", timeZone: "UTC", labels: {} };
    const rendered = renderTemplate(value, renderFor, parameters, invented);
    for (const problem of rendered.problems) this.#say(source, problem.path, problem);
    // the shape of a made-up value says nothing about the template
    const say: Say = (path, problem) => {
      const whole = problem.missing === undefined ? path : [...path, problem.missing];
      if (!whole.some((_step, index) => rendered.invented.has(whole.slice(0, index + 1).join("\n"))))
        this.#say(source, path, problem);
    };
    const connectors = judgeConnectors(rendered.connectors, say);
    const flows = await this.#flows(source, rendered.flows, say, {
      site: renderFor.name,
      connectors,
      groups: new Set(Object.keys(value.spec.connectors)),
      codes: value.spec.codes,
      limits: exampleLimits,
      ...(site ? { grants: grantsOf(site.value) } : {}),
    });
    return { connectors, flows };
  }

  /** A site's values; what it leaves out or has wrong is a problem of the site, and the template is judged with a sample in its place. */
  #parameters(
    template: Template,
    site: Sourced<Site> | undefined,
  ): { parameters: Record<string, unknown>; invented: ReadonlySet<string> } {
    const samples = sampleParameters(template);
    if (!site) return { parameters: samples.values, invented: samples.invented };
    const given = siteParameters(template, site.value.spec.parameters);
    for (const problem of given.problems) this.#say(site.source, ["spec", "parameters", ...problem.path], problem);
    const missing = Object.keys(samples.values).filter((name) => !Object.hasOwn(given.values, name));
    const wrong = given.problems.flatMap(({ path }) => (path[0] === undefined ? [] : [String(path[0])]));
    return { parameters: { ...samples.values, ...given.values }, invented: new Set([...missing, ...wrong]) };
  }

  async #flows(
    source: SourceDocument,
    parts: readonly RenderedPart[],
    say: Say,
    context: FlowContext,
  ): Promise<Record<string, FlowConfig>> {
    const flows: Record<string, FlowConfig> = {};
    for (const { name, group, value } of parts) {
      const base = ["spec", "flows", group];
      const parsed = parseFlow(value);
      if ("problems" in parsed) {
        for (const problem of parsed.problems) say([...base, ...problem.path], problem);
        continue;
      }
      const { flow, problems } = compileFlow(name, parsed.flow, context);
      for (const problem of problems) say([...base, ...problem.path], problem);
      const written = parsed.flow.to.filter((to) => "connector" in to).length;
      const whole = new Set(flow.destinations.map(({ writtenAs }) => writtenAs)).size === written;
      for (const [index, reference] of (problems.length === 0 && whole ? (parsed.flow.examples ?? []) : []).entries()) {
        const path = [...base, "examples", index];
        const [given, expect] = [
          this.#example(source, [...path, "given"], reference.given),
          this.#example(source, [...path, "expect"], reference.expect),
        ];
        if (given === undefined || expect === undefined) continue;
        const example = { given, expect, ...(reference.topic === undefined ? {} : { topic: reference.topic }) };
        for (const difference of await runExample(flow, example)) {
          say([...path, "expect"], { message: `example ${reference.expect}: ${difference}` });
        }
      }
      const expanded = expandFlow(parsed.flow, context.connectors);
      // a site whose list of machines is empty has no such flow
      if ((!Array.isArray(expanded.from) || expanded.from.length > 0) && expanded.to.length > 0) flows[name] = expanded;
    }
    return flows;
  }

  /** Beside the document that names it, among the files or read; at central files may lie under another folder. */
  #example(source: SourceDocument, path: Path, reference: string): string | undefined {
    const { files, readExample } = this.#examples;
    const folder = source.file.includes("/") ? source.file.slice(0, source.file.lastIndexOf("/") + 1) : "";
    const among =
      files.find(({ name }) => name === folder + reference || name === reference) ??
      files.find(({ name }) => name.endsWith(`/${reference}`));
    const text = among?.text ?? readExample?.(folder + reference);
    if (text === undefined && readExample) this.#say(source, path, { message: `there is no file "${reference}"` });
    return text;
  }

  #say(source: SourceDocument, path: Path, { message, offset, key }: { message: string; offset?: number; key?: boolean }): void {
    const problem = problemAt(source, path, message, {
      ...(offset === undefined ? {} : { offset }),
      ...(key === undefined ? {} : { key }),
    });
    const said = JSON.stringify(problem);
    if (!this.#said.has(said)) this.problems.push(problem);
    this.#said.add(said);
  }
}

function judgeConnectors(parts: readonly RenderedPart[], say: Say): Bundle["connectors"] {
  const connectors: Record<string, { group: string; config: ConnectorConfig }> = {};
  for (const { name, group, value } of parts) {
    const base = ["spec", "connectors", group];
    for (const problem of shapeProblems(connectorConfig, value)) say([...base, ...problem.path], problem);
    for (const field of ["url", "endpoint"]) {
      const message = "an address holds no user and password: name them beside it, the password as a secret";
      if (holdsCredentials(value[field])) say([...base, field], { message });
    }
    // a made-up address has the scheme of no kind in particular
    const parsed = [value, withSampleAddress(value)]
      .map((each) => connectorConfig.safeParse(each))
      .find(({ success }) => success);
    if (parsed?.success) connectors[name] = { group, config: parsed.data };
  }
  return connectors;
}

function withSampleAddress(value: Readonly<Record<string, unknown>>): Record<string, unknown> {
  if (value.type === "opcua") return { ...value, endpoint: "opc.tcp://sample.example:4840" };
  return { ...value, url: value.type === "mqtt" ? "mqtt://sample.example" : "https://sample.example" };
}

/** What `${…}` can name of a site beside its parameters. */
function renderSite(site: Site): RenderSite {
  return { name: site.metadata.name, timeZone: site.spec.timeZone, labels: site.metadata.labels ?? {} };
}

/** A site's grants with the full names of the types. */
export function grantsOf(site: Site): Bundle["grants"] {
  const full = (names: readonly string[]): string[] => names.map((name) => findMessageType(name)?.type ?? name);
  return { send: full(site.spec.grants.send), receive: full(site.spec.grants.receive) };
}

function holdsCredentials(address: unknown): boolean {
  return typeof address === "string" && /^[a-z][a-z0-9+.-]*:\/\/[^/?#]*@/i.test(address);
}

function isTimeZone(zone: string): boolean {
  try {
    return new Intl.DateTimeFormat("en", { timeZone: zone }) !== undefined;
  } catch {
    return false;
  }
}

export function problemAt(
  source: SourceDocument,
  path: Path,
  message: string,
  options: { readonly offset?: number; readonly key?: boolean } = {},
): DocumentProblem {
  return { file: source.file, path: path.join("."), ...source.locate(path, options), message };
}
