import { cpSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { isMap, parseAllDocuments, parseDocument } from "yaml";

export interface SourceText {
  readonly name: string;
  readonly text: string;
}

const delivered = join(import.meta.dirname, "config");

/**
 * Copies the demo's templates, examples and site documents into `folder`, to be edited there, and puts the run's own addresses into the parameters of
 * each site.
 */
export function writeConfiguration(
  folder: string,
  parameters: Readonly<Record<string, Readonly<Record<string, unknown>>>>,
): void {
  mkdirSync(folder, { recursive: true });
  cpSync(delivered, folder, { recursive: true });
  for (const [site, values] of Object.entries(parameters)) {
    const file = join(folder, "sites", `${site}.yaml`);
    const document = parseDocument(readFileSync(file, "utf8"));
    for (const [name, value] of Object.entries(values)) document.setIn(["spec", "parameters", name], document.createNode(value));
    writeFileSync(file, document.toString({ lineWidth: 0 }));
  }
}

/** The files of one site for a push: its document, its template and the examples that the template names. */
export function filesOf(folder: string, site: string): SourceText[] {
  const siteFile = join("sites", `${site}.yaml`);
  const template = parseDocument(readFileSync(join(folder, siteFile), "utf8")).getIn(["spec", "template"]);
  const templateFile = `${String(template)}.yaml`;
  const read = (name: string): SourceText => ({ name, text: readFileSync(join(folder, name), "utf8") });
  return [
    read(siteFile),
    read(templateFile),
    ...exampleNames(read(templateFile).text).map((name) => read(join(dirname(templateFile), name))),
  ];
}

function exampleNames(text: string): string[] {
  const names = new Set<string>();
  for (const document of parseAllDocuments(text)) {
    const flows = "getIn" in document ? document.getIn(["spec", "flows"]) : undefined;
    if (!isMap(flows)) continue;
    for (const flow of Object.values(flows.toJSON() as Record<string, { examples?: { given: string; expect: string }[] }>)) {
      for (const { given, expect } of flow.examples ?? []) for (const name of [given, expect]) names.add(name);
    }
  }
  return [...names];
}
