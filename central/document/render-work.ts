import {
  type DocumentProblem,
  parseSource,
  type RenderedSite,
  renderSite,
  type SourceFile,
  validateDocuments,
} from "../../protocol/index.ts";
import { contentOf } from "./content.ts";
import { completePush } from "./merge.ts";
import type { DocumentRef, Planned } from "./planned.ts";
import { splitDocuments, type WrittenDocument } from "./split.ts";

/** A stored revision, as it is judged and rendered. */
export interface DocumentSource extends DocumentRef {
  readonly text: string;
  readonly attachments: Readonly<Record<string, string>>;
}

/** What is done with documents that somebody wrote: in a thread of its own, as it takes as long as they want. */
export type RenderJob =
  | { readonly kind: "split"; readonly files: readonly SourceFile[] }
  /** Judges `documents`, beside those of `others` that they need; runs their examples. */
  | { readonly kind: "judge"; readonly documents: readonly DocumentSource[]; readonly others: readonly DocumentSource[] }
  /** Judges files as they lie in a folder, beside those of `others` that they need. */
  | { readonly kind: "validate"; readonly files: readonly SourceFile[]; readonly others: readonly DocumentSource[] }
  /** Renders the sites that one of `touched` (`Kind/name`) has a part in. */
  | { readonly kind: "render"; readonly documents: readonly DocumentSource[]; readonly touched: readonly string[] }
  /** Completes what is pushed to a site from its last files, and renders that. */
  | {
      readonly kind: "push";
      readonly site: string;
      readonly revision: number;
      readonly pushed: readonly SourceFile[];
      readonly last: readonly SourceFile[];
    };

export interface ExampleResult {
  readonly template: string;
  readonly flow: string;
  readonly given: string;
  readonly ok: boolean;
  readonly differences: readonly string[];
}

export type SiteRendering =
  | { readonly kind: "rendered"; readonly planned: Planned }
  | { readonly kind: "failed"; readonly site: string; readonly problems: readonly DocumentProblem[] };

export interface RenderResults {
  split: { readonly documents: readonly WrittenDocument[]; readonly problems: readonly DocumentProblem[] };
  judge: { readonly problems: readonly DocumentProblem[]; readonly examples: readonly ExampleResult[] };
  validate: { readonly problems: readonly DocumentProblem[]; readonly warnings: readonly DocumentProblem[] };
  render: { readonly sites: readonly SiteRendering[] };
  push: { readonly files: readonly SourceFile[]; readonly rendered: RenderedSite };
}

export function runRenderJob(job: RenderJob): Promise<RenderResults[RenderJob["kind"]]> {
  switch (job.kind) {
    case "split":
      return split(job.files);
    case "judge":
      return judge(job.documents, job.others);
    case "validate":
      return validate(job.files, job.others);
    case "render":
      return renderSites(job.documents, job.touched);
    case "push":
      return renderPush(job);
  }
}

/** The one job that is also done where no thread is at hand. */
export async function renderPush(job: Extract<RenderJob, { kind: "push" }>): Promise<RenderResults["push"]> {
  const files = completePush(job.pushed, job.last);
  return { files, rendered: await renderSite({ files, site: job.site, revision: job.revision }) };
}

/** A document of a secret that is not as it should be is not even kept: its value may stand in it. */
async function split(files: readonly SourceFile[]): Promise<RenderResults["split"]> {
  const { documents, problems } = splitDocuments(files);
  const secrets = documents.filter(({ kind }) => kind === "Secret");
  const judged = await validateDocuments({ files: secrets.map((secret) => ({ name: nameOf(secret), text: secret.text })) });
  return { documents, problems: [...problems, ...judged.problems] };
}

async function judge(documents: readonly DocumentSource[], others: readonly DocumentSource[]): Promise<RenderResults["judge"]> {
  const needed = neededBy(documents.map(parsed), others, new Set(documents.map(nameOf)));
  const { problems } = await judged([...documents, ...needed].map(toFile), [...documents, ...needed]);
  const own = new Set(documents.map(nameOf));
  const examples = documents.filter(({ kind }) => kind === "Template").flatMap((template) => examplesOf(template, problems));
  // what is wrong with others was wrong before
  return { problems: problems.filter(({ file }) => own.has(file)), examples };
}

async function validate(files: readonly SourceFile[], others: readonly DocumentSource[]): Promise<RenderResults["validate"]> {
  const split = splitDocuments(files);
  const own = new Set(split.documents.map(nameOf));
  const needed = neededBy(split.documents.map(parsed), others, own);
  const names = new Set(files.map(({ name }) => name));
  const sites = others.filter((other) => other.kind === "Site" && !own.has(nameOf(other))).map(labelsOf);
  const { problems, warnings } = await judged([...files, ...needed.map(toFile)], needed, sites);
  const isOwn = ({ file }: DocumentProblem): boolean => names.has(file);
  return { problems: problems.filter(isOwn), warnings: warnings.filter(isOwn) };
}

/** Each by its name, without the end that makes it a folder for its examples. */
async function judged(
  files: readonly SourceFile[],
  known: readonly DocumentSource[],
  sites: readonly Readonly<Record<string, string>>[] = [],
): Promise<RenderResults["validate"]> {
  const attachments = new Map(
    known.flatMap((document): [string, string][] =>
      Object.entries(document.attachments).map(([name, text]) => [`${nameOf(document)}/${name}`, text]),
    ),
  );
  const readExample = (path: string): string | undefined => attachments.get(path);
  const { problems, warnings } = await validateDocuments({ files, readExample, elsewhere: { sites } });
  return { problems: problems.map(withPlainName), warnings: warnings.map(withPlainName) };
}

/** Of a site that is not judged, as selectors see them. */
function labelsOf(site: DocumentSource): Readonly<Record<string, string>> {
  const { labels } = record(record(parsed(site)).metadata);
  return { ...(record(labels) as Record<string, string>), site: site.name };
}

/** Templates of the sites among them, all policies and secrets: the rest of an environment has no part in what is judged. */
function neededBy(
  documents: readonly unknown[],
  others: readonly DocumentSource[],
  own: ReadonlySet<string>,
): readonly DocumentSource[] {
  const templates = new Set(documents.map((value) => templateOf(value)));
  return others.filter(
    (other) =>
      !own.has(nameOf(other)) &&
      (other.kind === "Policy" || other.kind === "Secret" || (other.kind === "Template" && templates.has(other.name))),
  );
}

async function renderSites(documents: readonly DocumentSource[], touched: readonly string[]): Promise<RenderResults["render"]> {
  const names = new Set(touched);
  const everywhere = touched.some((name) => name.startsWith("Policy/"));
  const shared = documents.filter(({ kind }) => kind === "Policy" || kind === "Secret");
  const templates = new Map(documents.filter(({ kind }) => kind === "Template").map((each) => [each.name, each]));
  const sites: SiteRendering[] = [];
  for (const site of documents) {
    if (site.kind !== "Site") continue;
    const template = templateOf(parsed(site)) ?? "";
    if (!everywhere && !names.has(nameOf(site)) && !names.has(`Template/${template}`)) continue;
    const found = templates.get(template);
    sites.push(await renderOne(site.name, [site, ...(found ? [found] : []), ...shared]));
  }
  return { sites };
}

async function renderOne(site: string, documents: readonly DocumentSource[]): Promise<SiteRendering> {
  const files = documents.map(toFile);
  // a number stands in: it is given when the revision is stored
  const built = await renderSite({ files, site, revision: 1 });
  if (!built.ok) return { kind: "failed", site, problems: built.problems.map(withPlainName) };
  const { revision: _, ...bundle } = built.bundle;
  const labels = built.siteDocument.metadata.labels ?? {};
  const names = new Set(built.documents.map(nameOf));
  const used = documents.filter((document) => names.has(nameOf(document)));
  return {
    kind: "rendered",
    planned: {
      ...{ site, bundle, labels, content: contentOf(bundle, labels), origins: built.origins },
      documents: used.map(({ kind, name, revision }) => ({ kind, name, revision })),
      files: used.map((document) => ({ name: `${nameOf(document)}.yaml`, text: document.text })),
    },
  };
}

/** An example's results are the problems that stand at it; where its flow has others, it could not be run. */
function examplesOf(template: DocumentSource, problems: readonly DocumentProblem[]): ExampleResult[] {
  const own = problems.filter(({ file }) => file === nameOf(template));
  const { flows } = record(record(parsed(template)).spec);
  return Object.entries(record(flows)).flatMap(([flow, value]) => {
    const { examples } = record(value);
    if (!Array.isArray(examples)) return [];
    const place = `spec.flows.${flow}`;
    const faulty = own.some(({ path }) => path.startsWith(`${place}.`) && !path.startsWith(`${place}.examples.`));
    return (examples as unknown[]).map((example, index): ExampleResult => {
      const said = own.filter(({ path }) => `${path}.`.startsWith(`${place}.examples.${index}.`)).map(({ message }) => message);
      const differences = faulty && said.length === 0 ? ["it was not run: its flow has problems"] : said;
      const { given } = record(example);
      return { template: template.name, flow, given: String(given), ok: differences.length === 0, differences };
    });
  });
}

function nameOf({ kind, name }: Pick<DocumentRef, "kind" | "name">): string {
  return `${kind}/${name}`;
}

/** Its name ends as a folder's does: files that it names are looked for behind that. */
function toFile(document: DocumentSource): SourceFile {
  return { name: `${nameOf(document)}/`, text: document.text };
}

function withPlainName(problem: DocumentProblem): DocumentProblem {
  return { ...problem, file: problem.file.replace(/\/$/, "") };
}

function parsed({ text }: { readonly text: string }): unknown {
  return parseSource({ name: "", text }).documents[0]?.value;
}

function templateOf(value: unknown): string | undefined {
  const { kind, spec } = record(value);
  const { template } = record(spec);
  return kind === "Site" && typeof template === "string" ? template : undefined;
}

function record(value: unknown): Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Record<string, unknown>) : {};
}
