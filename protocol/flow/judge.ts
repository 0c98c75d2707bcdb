import type { Bundle } from "../bundle.ts";
import type { Policy, Secret, Site, Template } from "../document.ts";
import { type ConnectorConfig, connectorConfig } from "../flow-config.ts";
import type { ExpandedFlow } from "../policy/deliveries.ts";
import { findMessageType, messageTypes } from "../types/index.ts";
import { compileFlow } from "./compile.ts";
import { type CompiledFlow, expandFlow, type FlowContext, type FlowProblem, instancesOf, shortName } from "./compiled-flow.ts";
import { doubledDestinations } from "./destinations.ts";
import { runExample } from "./examples.ts";
import { mendFlow } from "./flow-shape.ts";
import { isGenerous, keyOf, Mender } from "./mend.ts";
import { declarationProblems, sampleParameters, siteParameters } from "./parameters.ts";
import { type Path, type RenderedPart, type RenderedTemplate, type RenderSite, renderTemplate, unspliced } from "./render.ts";
import type { ShapeProblem } from "./shape-problems.ts";
import { didYouMean, nearest } from "./suggest.ts";
import type { DocumentProblem, Point, SourceDocument, SourceFile } from "./yaml-source.ts";

/** Reads an example by its path (relative to where the documents' paths are); undefined when there is none. */
export type ReadExample = (path: string) => string | undefined;

/** A document, of the right shape or mended, and where it came from. */
export interface Sourced<Value> {
  readonly value: Value;
  readonly source: SourceDocument;
  readonly mender: Mender;
}

export interface ReadDocuments {
  readonly templates: readonly Sourced<Template>[];
  readonly sites: readonly Sourced<Site>[];
  readonly policies: readonly Sourced<Policy>[];
  readonly secrets: readonly Sourced<Secret>[];
  readonly problems: readonly DocumentProblem[];
  /** A file could not be read as YAML: what is missing may be in it. */
  readonly incomplete: boolean;
}

/** A template as it comes out for one site. */
export interface JudgedTemplate {
  readonly parameters: Readonly<Record<string, unknown>>;
  readonly rendered: RenderedTemplate;
  readonly connectors: Bundle["connectors"];
  readonly flows: readonly ExpandedFlow[];
}

export interface ExampleFiles {
  readonly files: readonly SourceFile[];
  readonly readExample?: ReadExample;
}

type Problem = Omit<ShapeProblem, "path"> & { readonly offset?: number };
type Say = (path: Path, problem: Problem) => void;

export const documentName: Path = ["metadata", "name"];

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
  site({ value, source, mender }: Sourced<Site>): void {
    const { spec } = value;
    const say: Say = (path, problem) => {
      if (!mender.isStandIn(path)) this.#say(source, mender.written(path), problem);
    };
    const templates = this.#read.templates.map((template) => template.value.metadata.name);
    const known = this.#read.templates.every((template) => !template.mender.isStandIn(documentName)) && !this.#read.incomplete;
    if (known && !templates.includes(spec.template)) {
      const message = `there is no Template "${spec.template}" among the documents${didYouMean(spec.template, templates)}`;
      say(["spec", "template"], { message });
    }
    if (!isTimeZone(spec.timeZone))
      say(["spec", "timeZone"], { message: `"${spec.timeZone}" is not an IANA time zone such as Europe/Paris` });
    const types = messageTypes.map(({ type }) => shortName(type));
    for (const right of ["send", "receive"] as const) {
      spec.grants[right].forEach((name, index) => {
        if (findMessageType(name)) return;
        say(["spec", "grants", right, index], { message: `unknown message type "${name}"${didYouMean(name, types)}` });
      });
    }
  }

  /** Renders a template for a site, or with samples, and judges all that comes out. */
  async template(template: Sourced<Template>, site: Sourced<Site> | undefined): Promise<JudgedTemplate> {
    const { value, source } = template;
    const sayOf: Say = (path, problem) => {
      if (!template.mender.isStandIn(path)) this.#say(source, template.mender.written(path), problem);
    };
    for (const { path, ...problem } of declarationProblems(value)) {
      const [name = ""] = path;
      if (!template.mender.hasStandIn(["spec", "parameters", name])) sayOf(["spec", "parameters", ...path], problem);
    }
    const { parameters, invented } = this.#parameters(template, site);
    const renderFor = site ? renderSite(site.value) : { name: "sample", timeZone: "UTC", labels: {} };
    const rendered = renderTemplate(value, renderFor, parameters, invented);
    const open = template.mender.isStandIn(["spec", "parameters"]);
    for (const { path, ...problem } of rendered.problems)
      if (!open || !problem.message.includes("there is no parameter")) sayOf(path, problem);
    const { connectors, openItems } = this.#connectors(template, rendered);
    const flows = await this.#flows(template, rendered, {
      site: renderFor.name,
      connectors,
      openItems,
      groups: new Set(Object.keys(value.spec.connectors)),
      openConnectors: template.mender.isStandIn(["spec", "connectors"]),
      codes: value.spec.codes,
      limits: exampleLimits,
      ...(site ? { grants: judgedGrants(site) } : {}),
    });
    return { parameters, rendered, connectors, flows };
  }

  /** A site's values; what it leaves out or has wrong is a problem of the site, and the template is judged with a sample in its place. */
  #parameters(
    { value: template, mender }: Sourced<Template>,
    site: Sourced<Site> | undefined,
  ): { parameters: Record<string, unknown>; invented: ReadonlySet<string> } {
    const samples = sampleParameters(template);
    // what a parameter is that is declared wrongly nobody knows
    const faulty = new Set(declarationProblems(template).map(({ path }) => path[0]));
    const open = Object.keys(template.spec.parameters).filter(
      (name) => faulty.has(name) || mender.hasStandIn(["spec", "parameters", name]),
    );
    const unknown = Object.fromEntries(open.map((name) => [name, undefined]));
    if (!site) return { parameters: { ...samples.values, ...unknown }, invented: new Set([...samples.invented, ...open]) };
    const given = siteParameters(template, site.value.spec.parameters);
    const base = ["spec", "parameters"];
    const wrong = new Set([...given.problems.flatMap(({ path }) => (path[0] === undefined ? [] : [String(path[0])])), ...open]);
    for (const { path, ...problem } of given.problems) {
      if (open.includes(String(path[0])) || site.mender.isStandIn([...base, ...path]) || mender.isStandIn(base)) continue;
      this.#say(site.source, site.mender.written([...base, ...path]), problem);
    }
    const values = Object.entries(given.values).filter(([name]) => !wrong.has(name));
    const missing = Object.keys(samples.values).filter((name) => !Object.hasOwn(given.values, name));
    return {
      parameters: { ...samples.values, ...Object.fromEntries(values), ...unknown },
      invented: new Set([...missing, ...wrong]),
    };
  }

  /** Says what is found in one part of a template, but not what follows from something made up or standing in. */
  #sayOf({ source, mender: document }: Sourced<Template>, part: RenderedPart, rendered: RenderedTemplate, mender: Mender): Say {
    return (path, { missing, offset, ...problem }) => {
      const written = mender.written(path);
      // a key that should not be there is a fault whatever its value
      const whole = problem.key ? written.slice(0, -1) : missing === undefined ? written : [...written, missing];
      if (document.isStandIn(path) || whole.some((_step, index) => rendered.invented.has(keyOf(whole.slice(0, index + 1)))))
        return;
      const splices = part.splices.get(keyOf(written)) ?? [];
      const moved = offset === undefined ? undefined : unspliced(splices, offset);
      if (!problem.key && splices.some(({ invented }) => invented) && moved === undefined) return;
      this.#say(source, document.written(written), { ...problem, ...(moved === undefined ? {} : { offset: moved }) });
    };
  }

  #mender(part: RenderedPart, { invented }: RenderedTemplate): Mender {
    return new Mender(
      (path) =>
        invented.has(keyOf(path)) ||
        (isGenerous(path) && (part.splices.get(keyOf(path)) ?? []).some((splice) => splice.invented)),
    );
  }

  #connectors(
    template: Sourced<Template>,
    rendered: RenderedTemplate,
  ): { connectors: Bundle["connectors"]; openItems: ReadonlySet<string> } {
    const connectors: Record<string, { group: string; config: ConnectorConfig }> = {};
    const openItems = new Set<string>();
    for (const part of rendered.connectors) {
      const base = ["spec", "connectors", part.group];
      const mender = this.#mender(part, rendered);
      const config = mender.mend(connectorConfig, part.value, base);
      const say = this.#sayOf(template, part, rendered, mender);
      for (const { path, ...problem } of mender.problems) say(path, problem);
      for (const field of ["url", "endpoint"]) {
        const message = "an address holds no user and password: name them beside it, the password as a secret";
        if (holdsCredentials(part.value[field]) && !mender.problems.some(({ path }) => path.at(-1) === field))
          say([...base, field], { message });
      }
      if (config) connectors[part.name] = { group: part.group, config };
      if (mender.isStandIn([...base, "items"])) openItems.add(part.name);
    }
    return { connectors, openItems };
  }

  async #flows(template: Sourced<Template>, rendered: RenderedTemplate, context: FlowContext): Promise<ExpandedFlow[]> {
    const flows: ExpandedFlow[] = [];
    for (const written of rendered.flows) {
      const part = withModeAsWord(written);
      const base = ["spec", "flows", part.group];
      const mender = this.#mender(part, rendered);
      const config = mendFlow(part.value, base, mender);
      const sayAll = this.#sayOf(template, part, rendered, mender);
      const say: Say = (path, problem) => {
        if (!mender.isStandIn(path)) sayAll(path, problem);
      };
      for (const { path, ...problem } of mender.problems) sayAll(path, problem);
      if (!config) continue;
      const isStandIn = (path: Path): boolean => mender.hasStandIn([...base, ...path]);
      const compiled = compileFlow(part.name, config, { ...context, isStandIn });
      const { flow } = compiled;
      const problems = [...compiled.problems, ...doubledDestinations(flow, isStandIn)];
      for (const { path, aside: _aside, ...problem } of problems) say([...base, ...path], problem);
      await this.#runExamples(template, flow, problems, base, isStandIn, say);
      const expanded = expandFlow(config, context.connectors);
      // a site whose list of machines is empty has no such flow
      if ((Array.isArray(expanded.from) && expanded.from.length === 0) || expanded.to.length === 0) continue;
      const writtenAs = config.to.flatMap((to, index) =>
        "connector" in to ? instancesOf(to.connector, context.connectors).map(() => index) : [index],
      );
      flows.push({ name: part.name, part, config: expanded, writtenAs });
    }
    return flows;
  }

  /** Runs a flow's examples where what they go through is without fault. */
  async #runExamples(
    { source }: Sourced<Template>,
    flow: CompiledFlow,
    problems: readonly FlowProblem[],
    base: Path,
    isStandIn: (path: Path) => boolean,
    say: Say,
  ): Promise<void> {
    const { config } = flow;
    const through = flow.type ? ["split", "as", "map", "key", "idempotencyKey", "from"] : ["from", "to"];
    const faulty = through.some((field) => isStandIn([field]) || problems.some(({ path, aside }) => !aside && path[0] === field));
    const written = config.to.filter((to) => "connector" in to).length;
    const whole = flow.type || new Set(flow.destinations.map(({ writtenAs }) => writtenAs)).size === written;
    for (const [index, reference] of (config.examples ?? []).entries()) {
      const path = [...base, "examples", index];
      if (isStandIn(["examples", index])) continue;
      const given = this.#example(source, reference.given, (problem) => say([...path, "given"], problem));
      const expect = this.#example(source, reference.expect, (problem) => say([...path, "expect"], problem));
      if (given === undefined || expect === undefined || faulty || !whole) continue;
      const example = { given, expect, ...(reference.topic === undefined ? {} : { topic: reference.topic }) };
      for (const difference of await runExample(flow, example)) {
        say([...path, "expect"], { message: `example ${reference.expect}: ${difference}` });
      }
    }
  }

  /** Beside the document that names it, among the files or read; at central files may lie under another folder. */
  #example(source: SourceDocument, reference: string, say: (problem: Problem) => void): string | undefined {
    const { files, readExample } = this.#examples;
    const folder = source.file.includes("/") ? source.file.slice(0, source.file.lastIndexOf("/") + 1) : "";
    const among =
      files.find(({ name }) => name === folder + reference || name === reference) ??
      files.find(({ name }) => name.endsWith(`/${reference}`));
    const text = among?.text ?? readExample?.(folder + reference);
    if (text === undefined && readExample) say({ message: `there is no file "${reference}"` });
    return text;
  }

  #say(source: SourceDocument, path: Path, { message, offset, key, value }: Problem): void {
    const problem = problemAt(source, path, message, {
      ...(offset === undefined ? {} : { offset }),
      ...(key === undefined ? {} : { key }),
      ...(value === undefined ? {} : { value }),
    });
    const said = JSON.stringify(problem);
    if (!this.#said.has(said)) this.problems.push(problem);
    this.#said.add(said);
  }
}

/** YAML 1.1 reads `off` as a boolean, and so may whatever wrote the JSON. */
function withModeAsWord(part: RenderedPart): RenderedPart {
  return part.value.mode === false ? { ...part, value: { ...part.value, mode: "off" } } : part;
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

/** The grants that flows are judged against: what a site has wrong there is said there, and not at every flow again. */
function judgedGrants({ value, mender }: Sourced<Site>): Bundle["grants"] {
  const all = messageTypes.map(({ type }) => type);
  const short = all.map(shortName);
  const meant = (right: "send" | "receive"): string[] =>
    mender.hasStandIn(["spec", "grants", right])
      ? all
      : value.spec.grants[right].map(
          (name) => findMessageType(findMessageType(name) ? name : (nearest(name, short) ?? ""))?.type ?? name,
        );
  return { send: meant("send"), receive: meant("receive") };
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

export function problemAt(source: SourceDocument, path: Path, message: string, point: Point = {}): DocumentProblem {
  return { file: source.file, path: path.join("."), ...source.locate(path, point), message };
}
