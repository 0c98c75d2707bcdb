import { PlantgateError } from "../base/error.ts";
import { type Bundle, bundle as bundleSchema } from "../bundle.ts";
import type { Document, Policy, Secret, Site, Template } from "../document.ts";
import { describeIssues } from "../message.ts";
import { effectiveConfiguration } from "../policy/effective.ts";
import { type Elsewhere, judgePolicies } from "../policy/judge.ts";
import type { EffectiveValue } from "../policy/origin.ts";
import { type SecretUse, secretsIn } from "../policy/secret-uses.ts";
import { Voices } from "../policy/voices.ts";
import { documentName, grantsOf, Judge, type ReadDocuments, type ReadExample, type Sourced } from "./judge.ts";
import type { Mender } from "./mend.ts";
import { readDocuments } from "./read-documents.ts";
import type { DocumentProblem, SourceFile } from "./yaml-source.ts";

export interface Validation {
  readonly problems: readonly DocumentProblem[];
  /** What is possible and probably not meant. */
  readonly warnings: readonly DocumentProblem[];
  /** Documents of the right shape. */
  readonly templates: readonly Template[];
  readonly sites: readonly Site[];
  readonly policies: readonly Policy[];
  readonly secrets: readonly Secret[];
}

export type RenderedSite =
  | {
      readonly ok: true;
      readonly bundle: Bundle;
      /** Where each of its values comes from: every path once. */
      readonly origins: readonly EffectiveValue[];
      /** What was used: the template, the site, the policies that select it, and the documents of the secrets that it names. */
      readonly documents: readonly { readonly kind: Document["kind"]; readonly name: string }[];
      readonly secrets: readonly SecretUse[];
      readonly template: Template;
      readonly siteDocument: Site;
      readonly warnings: readonly DocumentProblem[];
    }
  | { readonly ok: false; readonly problems: readonly DocumentProblem[] };

/**
 * Judges documents together: every problem at once, in the order of files and lines. Each site is rendered with its template; a
 * template without a site is rendered with values made from its parameters' types. Examples are read from the files themselves,
 * else by `readExample`; without it an example that is not among the files is not run.
 */
export async function validateDocuments(options: {
  readonly files: readonly SourceFile[];
  readonly readExample?: ReadExample;
  readonly elsewhere?: Elsewhere;
}): Promise<Validation> {
  const read = readDocuments(options.files);
  const judge = new Judge(read, options);
  for (const template of read.templates) {
    const sites = sitesOf(template, read);
    for (const site of sites.length > 0 ? sites : [undefined]) await judge.template(template, site);
  }
  for (const site of read.sites) judge.site(site);
  const policies = judgePolicies(read, options.elsewhere);
  return {
    problems: sorted([...read.problems, ...judge.problems, ...policies.problems], options.files),
    warnings: sorted(policies.warnings, options.files),
    templates: soundOf(read.templates),
    sites: soundOf(read.sites),
    policies: soundOf(read.policies),
    secrets: soundOf(read.secrets),
  };
}

/**
 * What one site runs: its template, filled in, with the policies that select it. Pure: the same documents and revision give the same bundle,
 * byte for byte, in whatever order the files and their policies come. Groups are expanded: every source and destination names one connector.
 */
export async function renderSite(options: {
  readonly files: readonly SourceFile[];
  readonly site: string;
  readonly revision: number;
  readonly readExample?: ReadExample;
}): Promise<RenderedSite> {
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
  const judged = template ? await judge.template(template, site) : undefined;
  const policies = judgePolicies(read);
  const problems = sorted([...read.problems, ...judge.problems, ...policies.problems], options.files);
  if (problems.length > 0 || !site || !template || !judged) return { ok: false, problems };
  const voices = new Voices(
    site.value,
    read.policies.map(({ value }) => value),
  );
  const effective = effectiveConfiguration({ site: site.value, template: template.value, judged, voices });
  const bundle = bundleSchema.safeParse({
    apiVersion: "plantgate/v1",
    kind: "Bundle",
    site: options.site,
    revision: options.revision,
    grants: grantsOf(site.value),
    codes: template.value.spec.codes,
    connectors: judged.connectors,
    flows: effective.flows,
    ...effective.settings,
  });
  if (!bundle.success)
    throw new PlantgateError("INVARIANT", `a bundle without problems has the wrong shape: ${describeIssues(bundle.error)}`);
  const secrets = secretsIn(bundle.data);
  const used = new Set(secrets.map(({ name }) => name));
  return {
    ok: true,
    bundle: bundle.data,
    origins: effective.values,
    documents: [
      { kind: "Template", name: template.value.metadata.name },
      { kind: "Site", name: options.site },
      ...named("Policy", voices.policies),
      ...named(
        "Secret",
        read.secrets.map(({ value }) => value).filter(({ metadata }) => used.has(metadata.name)),
      ),
    ],
    secrets,
    template: template.value,
    siteDocument: site.value,
    warnings: sorted(policies.warnings, options.files),
  };
}

function named<Kind extends Document["kind"]>(kind: Kind, documents: readonly Document[]): { kind: Kind; name: string }[] {
  return documents.map(({ metadata }) => ({ kind, name: metadata.name })).toSorted((a, b) => (a.name < b.name ? -1 : 1));
}

/** The sites that run a template; those whose template is not among the documents run the one that has no proper name. */
function sitesOf(template: Sourced<Template>, { templates, sites }: ReadDocuments): readonly Sourced<Site>[] {
  const names = templates.filter(({ mender }) => !mender.isStandIn(documentName)).map(({ value }) => value.metadata.name);
  return template.mender.isStandIn(documentName)
    ? sites.filter(({ value }) => templates.length === names.length + 1 && !names.includes(value.spec.template))
    : sites.filter(({ value }) => value.spec.template === template.value.metadata.name);
}

function soundOf<Value>(documents: readonly { readonly value: Value; readonly mender: Mender }[]): Value[] {
  return documents.filter(({ mender }) => mender.problems.length === 0).map(({ value }) => value);
}

function sorted(problems: readonly DocumentProblem[], files: readonly SourceFile[]): DocumentProblem[] {
  const order = new Map(files.map(({ name }, index) => [name, index]));
  return problems.toSorted(
    (a, b) => (order.get(a.file) ?? 0) - (order.get(b.file) ?? 0) || a.line - b.line || a.column - b.column,
  );
}
