import { existsSync, readFileSync } from "node:fs";
import {
  type DocumentProblem,
  describeError,
  describeSelector,
  type SourceFile,
  type Validation,
  validateDocuments,
} from "../../protocol/index.ts";

/** Takes a command's text, lines ended. */
export type Output = (text: string) => unknown;

/**
 * Judges configuration files together and prints every problem and every warning with its line, as a compiler would.
 * @returns the exit code: 0 when there is no problem, 1 when there is one, 2 when a file cannot be read
 */
export async function validate(files: readonly string[], out: Output): Promise<number> {
  const sources: SourceFile[] = [];
  for (const name of files) {
    try {
      sources.push({ name, text: readFileSync(name, "utf8") });
    } catch (error) {
      out(`${name}: cannot be read: ${describeError(error)}\n`);
      return 2;
    }
  }
  const validation = await validateDocuments({ files: sources, readExample });
  for (const problem of validation.problems) out(described(problem, sources));
  for (const warning of validation.warnings) out(described({ ...warning, message: `warning: ${warning.message}` }, sources));
  const { length } = validation.problems;
  out(length === 0 ? summary(validation) : `${length} ${length === 1 ? "problem" : "problems"}\n`);
  return length === 0 ? 0 : 1;
}

/** An example file, by its path from here. */
export function readExample(path: string): string | undefined {
  return existsSync(path) ? readFileSync(path, "utf8") : undefined;
}

function described({ file, path, line, column, message, confidential }: DocumentProblem, sources: readonly SourceFile[]): string {
  const said = `${file}:${line}:${column} ${path === "" ? "" : `${path}: `}${message}\n`;
  const source = sources.find(({ name }) => name === file)?.text ?? "";
  // what this prints ends in logs of builds; where a document of a secret cannot be read, its value may stand anywhere
  if (confidential || /\bkind["']?\s*:\s*["']?Secret\b/i.test(source)) return said;
  const text = source.split("\n")[line - 1] ?? "";
  // a tab before the caret keeps it under its character
  const indent = text.slice(0, column - 1).replace(/[^\t]/g, " ");
  return `${said}  ${text}\n  ${indent}^\n`;
}

function summary({ templates, sites, policies, secrets }: Validation): string {
  const lines = [
    ...templates.map(
      ({ metadata, spec }) =>
        `Template ${metadata.name}: ${counted(spec.flows, "flow")}, ${counted(spec.connectors, "connector")}`,
    ),
    ...sites.map(({ metadata, spec }) => `Site ${metadata.name}: template ${spec.template}`),
    ...policies.map((policy) => `Policy ${policy.metadata.name}: ${describeSelector(policy)}`),
    ...secrets.map(
      ({ metadata, spec }) => `Secret ${metadata.name}: ${spec.rotate ? `every ${spec.rotate.every}` : "no schedule"}`,
    ),
  ];
  return `${lines.join("\n")}\n${lines.length === 0 ? "No documents" : "OK"}\n`;
}

function counted(things: object, word: string): string {
  const { length } = Object.keys(things);
  return `${length} ${word}${length === 1 ? "" : "s"}`;
}
