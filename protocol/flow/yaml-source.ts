import { type Document, isMap, isNode, isScalar, isSeq, type Node, parseAllDocuments, type Scalar } from "yaml";
import type { Path } from "./render.ts";

/** One problem of one file, as a person looks for it. Lines and columns count from 1. */
export interface DocumentProblem {
  readonly file: string;
  /** `spec.flows.picks.map`; empty for the whole document. */
  readonly path: string;
  readonly line: number;
  readonly column: number;
  readonly message: string;
  /** What stands there may be secret: it is not to be shown or kept. */
  readonly confidential?: true;
}

export interface SourceFile {
  readonly name: string;
  readonly text: string;
}

/** One YAML or JSON document, with the way from a path in it back to line and column. */
export interface SourceDocument {
  readonly file: string;
  readonly value: unknown;
  /** Where a path stands. What is not there stands where its nearest parent does. */
  locate(path: Path, point?: Point): { readonly line: number; readonly column: number };
}

/** What of a path is meant: its key; its value, where an object or a list else is found by its key; a character of its text. */
export interface Point {
  readonly key?: boolean;
  readonly value?: boolean;
  readonly offset?: number;
}

/** Configuration is written by people; a larger file is a mistake or an attack. */
export const maxFileBytes = 1024 * 1024;

/** The documents of a file. A file that is not YAML has problems and no documents. */
export function parseSource(file: SourceFile): {
  readonly documents: readonly SourceDocument[];
  readonly problems: readonly DocumentProblem[];
} {
  const problem = (line: number, column: number, message: string, path: Path = []): DocumentProblem => ({
    file: file.name,
    path: path.join("."),
    line,
    column,
    message,
  });
  if (file.text.length > maxFileBytes)
    return { documents: [], problems: [problem(1, 1, `the file is larger than ${maxFileBytes} bytes`)] };
  const parsed = parseAllDocuments(file.text, { uniqueKeys: false, prettyErrors: false, version: "1.2" });
  if (!Array.isArray(parsed)) return { documents: [], problems: [problem(1, 1, "the file holds no document")] };
  const problems: DocumentProblem[] = [];
  const documents: SourceDocument[] = [];
  for (const document of parsed as Document.Parsed[]) {
    for (const error of [...document.errors, ...document.warnings]) {
      const { line, column } = positionOf(file.text, error.pos[0]);
      problems.push(problem(line, column, `not valid YAML: ${error.message}`));
    }
    if (document.errors.length > 0 || document.contents === null) continue;
    for (const { path, at } of dropRepeated(document.contents)) {
      const { line, column } = positionOf(file.text, at);
      problems.push(problem(line, column, `the key "${path.at(-1)}" is there twice; keys are unique`, path));
    }
    try {
      documents.push({
        file: file.name,
        value: document.toJS({ maxAliasCount: 50 }) as unknown,
        locate: (path, options = {}) => locate(file.text, document, path, options),
      });
    } catch (error) {
      problems.push(problem(1, 1, `not valid YAML: ${error instanceof Error ? error.message : "too many aliases"}`));
    }
  }
  return { documents, problems };
}

/** A key that is there again: the first is judged, the others are named and left out. */
function dropRepeated(node: Node | null, path: Path = []): { readonly path: Path; readonly at: number }[] {
  if (isSeq(node)) return node.items.flatMap((item, index) => (isNode(item) ? dropRepeated(item, [...path, index]) : []));
  if (!isMap(node)) return [];
  const seen = new Set<string>();
  const found: { path: Path; at: number }[] = [];
  node.items = node.items.filter(({ key, value }) => {
    if (!isScalar(key)) return true;
    const name = String(key.value);
    if (seen.has(name)) found.push({ path: [...path, name], at: key.range?.[0] ?? 0 });
    else if (isNode(value)) found.push(...dropRepeated(value, [...path, name]));
    return !seen.has(name) && seen.add(name) !== undefined;
  });
  return found;
}

function locate(
  text: string,
  document: Document.Parsed,
  path: Path,
  { offset, key, value }: Point,
): { readonly line: number; readonly column: number } {
  let node: Node | null = document.contents;
  let keyNode: Node | null = null;
  let complete = true;
  for (const step of path) {
    const next = child(node, step);
    if (!next) {
      complete = false;
      break;
    }
    node = next.value ?? next.key ?? node;
    keyNode = next.key;
  }
  // an object or a list is found by the key that names it, and nothing by the key that it belongs to
  const written = node?.range && node.range[0] < node.range[1];
  const points = complete && written && !key && (value || isScalar(node)) ? node : (keyNode ?? node);
  const start = points?.range?.[0] ?? 0;
  const inner = complete && offset !== undefined && points === node && isScalar(node) ? positionIn(text, node, offset) : start;
  return positionOf(text, inner);
}

function child(node: Node | null, step: string | number): { readonly key: Node | null; readonly value: Node | null } | undefined {
  if (isMap(node)) {
    const pair = node.items.find(({ key }) => (isScalar(key) ? String(key.value) : undefined) === String(step));
    return pair ? { key: isNode(pair.key) ? pair.key : null, value: isNode(pair.value) ? pair.value : null } : undefined;
  }
  const item = isSeq(node) && typeof step === "number" ? node.items[step] : undefined;
  return isNode(item) ? { key: null, value: item } : undefined;
}

function positionOf(text: string, offset: number): { readonly line: number; readonly column: number } {
  const before = text.slice(0, offset);
  return { line: before.split("\n").length, column: offset - before.lastIndexOf("\n") };
}

/** The place in the file of a character of a scalar's value: quotes, escapes, folded lines and indentation lie in between. */
function positionIn(text: string, node: Scalar, offset: number): number {
  const [start, end] = node.range ?? [0, 0];
  const value = String(node.value);
  const style = node.type;
  let at = start;
  if (style === "QUOTE_SINGLE" || style === "QUOTE_DOUBLE") at += 1;
  else if (style === "BLOCK_LITERAL" || style === "BLOCK_FOLDED") at = text.indexOf("\n", start) + 1;
  if (typeof node.value !== "string") return start;
  for (let i = 0; i <= Math.min(offset, value.length - 1) && at < end; i++) {
    const wanted = value[i] as string;
    if (/\s/.test(wanted)) {
      if (text[at] === wanted && wanted !== "\n") at++;
      else while (at < end && /\s/.test(text[at] as string)) at++;
      continue;
    }
    while (at < end && text[at] !== wanted && /\s/.test(text[at] as string)) at++;
    if (i === offset) break;
    if (style === "QUOTE_SINGLE" && wanted === "'") at += 2;
    else if (style === "QUOTE_DOUBLE" && text[at] === "\\") at += text[at + 1] === "u" ? 6 : text[at + 1] === "x" ? 4 : 2;
    else at++;
  }
  return Math.min(at, Math.max(start, end - 1));
}
