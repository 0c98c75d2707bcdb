import type { z } from "zod";
import {
  type Policy,
  policy as policySchema,
  type Secret,
  type Site,
  secret as secretSchema,
  site as siteSchema,
  type Template,
  template as templateSchema,
} from "../document.ts";
import { documentName, problemAt, type ReadDocuments, type Sourced } from "./judge.ts";
import { Mender } from "./mend.ts";
import type { ShapeProblem } from "./shape-problems.ts";
import { didYouMean, nearest } from "./suggest.ts";
import { type DocumentProblem, parseSource, type SourceFile } from "./yaml-source.ts";

const schemas = { Template: templateSchema, Site: siteSchema, Policy: policySchema, Secret: secretSchema };
type Kind = keyof typeof schemas;
const kinds = Object.keys(schemas) as Kind[];
const kindNames = "Template, Site, Policy or Secret";

/**
 * Documents of known kind, mended where their shape is wrong, so that one fault hides no other; JSON files without an `apiVersion`
 * are examples.
 */
export function readDocuments(files: readonly SourceFile[]): ReadDocuments {
  const found: Record<Kind, Sourced<unknown>[]> = { Template: [], Site: [], Policy: [], Secret: [] };
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
        // a list or an object need not have a text of its own
        const named = typeof written === "object" ? JSON.stringify(written) : String(written);
        const message =
          written === undefined
            ? `"kind" is missing: ${kindNames}`
            : `unknown kind "${named}"${didYouMean(named, kinds) || `: ${kindNames}`}`;
        problems.push(problemAt(source, written === undefined ? [] : ["kind"], message));
      }
      if (kind === undefined) {
        incomplete = true;
        continue;
      }
      const mender = new Mender();
      const value = faulty ? { ...(source.value as object), kind } : source.value;
      const mended = mender.mend<z.ZodType>(schemas[kind], value, []) as { metadata: { name: string } };
      for (const problem of mender.problems) {
        const { path, message, ...point } = kind === "Secret" ? withoutValue(problem, mended.metadata.name) : problem;
        const said = problemAt(source, mender.written(path), message, point);
        problems.push(kind === "Secret" ? { ...said, confidential: true } : said);
      }
      const identity = `${kind} "${mended.metadata.name}"`;
      if (seen.has(identity) && !mender.isStandIn(documentName))
        problems.push(problemAt(source, mender.written(documentName), `${identity} is there twice`));
      seen.add(identity);
      found[kind].push({ value: mended, source, mender });
    }
  }
  return {
    templates: found.Template as Sourced<Template>[],
    sites: found.Site as Sourced<Site>[],
    policies: found.Policy as Sourced<Policy>[],
    secrets: found.Secret as Sourced<Secret>[],
    problems,
    incomplete,
  };
}

/** A document whose kind is misspelt or left out is known by what it has. */
function kindOf(written: unknown, spec: unknown): Kind | undefined {
  const named = typeof written === "string" ? nearest(written, kinds) : undefined;
  const known = kinds.find((kind) => kind === named);
  if (known || typeof spec !== "object" || spec === null) return known;
  if ("flows" in spec || "connectors" in spec) return "Template";
  if ("selector" in spec) return "Policy";
  if ("rotate" in spec) return "Secret";
  return "template" in spec || "grants" in spec ? "Site" : undefined;
}

/** Whatever stands in a document of a secret beside what is known there may be its value: it is not repeated. */
function withoutValue(problem: ShapeProblem, name: string): ShapeProblem {
  const key = String(problem.path.at(-1));
  if (problem.key && /^(value|data|stringData|values|password|secret|token|key)$/i.test(key)) {
    const command = `plantgate secret set ${name === "?" ? "NAME" : name}`;
    return { ...problem, message: `a secret's value never stands in a document: take "${key}" out and run ${command}` };
  }
  // a value of the wrong shape may be the secret
  return problem.value ? { ...problem, message: problem.message.replace(/"[^"]*"/g, "what stands here") } : problem;
}

function isExample(file: SourceFile): boolean {
  return file.name.endsWith(".json") && !/"apiVersion"\s*:/.test(file.text);
}
