import { createHash } from "node:crypto";
import { type DocumentProblem, parseSource, type SourceFile } from "../../protocol/index.ts";
import { type DocumentKind, documentKinds, documentName } from "../http/api/common.ts";

/** A document as it was handed in, by itself: one of its file, with the files that it names. */
export interface WrittenDocument {
  readonly kind: DocumentKind;
  readonly name: string;
  readonly text: string;
  /** By the name that the document has for them. */
  readonly attachments: Readonly<Record<string, string>>;
  /** Files that it names and that were not handed in with it. */
  readonly missing: readonly string[];
  readonly owner: string;
  readonly purpose: string;
  readonly labels: Readonly<Record<string, string>>;
}

/** What an owner of a document is at most; longer ones are problems where the document is judged. */
const maxText = 2000;

/**
 * Files taken apart: each document by itself, whatever is wrong with what it says; but it has to say what it is.
 * @returns problems for what cannot be kept: it is not YAML, has no kind or name, or is there twice
 */
export function splitDocuments(files: readonly SourceFile[]): {
  readonly documents: readonly WrittenDocument[];
  readonly problems: readonly DocumentProblem[];
} {
  const documents = new Map<string, WrittenDocument>();
  const problems: DocumentProblem[] = [];
  for (const file of files) {
    if (!holdsDocuments(file)) continue;
    for (const part of partsOf(file)) {
      const parsed = parseSource(part);
      const say = (message: string): void =>
        void problems.push({ file: file.name, path: "", line: part.line, column: 1, message });
      if (parsed.problems.length > 0 && parsed.documents.length === 0)
        problems.push(...parsed.problems.map((problem) => ({ ...problem, line: problem.line + part.line - 1 })));
      if (parsed.documents.length > 1) {
        say("between two documents stands --- on a line of its own");
        continue;
      }
      for (const { value } of parsed.documents) {
        const head = headOf(value);
        if (typeof head === "string") say(head);
        else if (documents.has(`${head.kind}/${head.name}`)) say(`${head.kind} "${head.name}" is there twice`);
        else documents.set(`${head.kind}/${head.name}`, { ...head, text: part.text, ...attachmentsOf(value, file, files) });
      }
    }
  }
  return { documents: [...documents.values()], problems };
}

/** What tells two revisions of a document apart. */
export function documentDigest({ text, attachments }: Pick<WrittenDocument, "text" | "attachments">): string {
  const files = Object.entries(attachments).toSorted(([one], [other]) => (one < other ? -1 : 1));
  return createHash("sha256")
    .update(JSON.stringify([text, files]))
    .digest("hex");
}

/** Examples are JSON without an `apiVersion`; what has another ending is a file that a document names. */
function holdsDocuments({ name, text }: SourceFile): boolean {
  return /\.ya?ml$/i.test(name) || !/\.[a-z0-9]+$/i.test(name) || (/\.json$/i.test(name) && /"apiVersion"\s*:/.test(text));
}

/** YAML keeps `---` at the beginning of a line for itself, whatever stands around it. */
function partsOf({ name, text }: SourceFile): (SourceFile & { readonly line: number })[] {
  const parts: { name: string; text: string; line: number }[] = [];
  let [begun, line] = [0, 1];
  const add = (end: number): void => {
    const part = text.slice(begun, end);
    if (/^[ \t]*[^#\s]/m.test(part)) parts.push({ name, text: part, line });
  };
  for (const { index, 0: mark } of text.matchAll(/^---(?:[ \t]*(?:#.*)?\r?\n|[ \t]*$)/gm)) {
    add(index);
    line += text.slice(begun, index).split("\n").length - 1 + (mark.includes("\n") ? 1 : 0);
    begun = index + mark.length;
  }
  add(text.length);
  return parts;
}

/** @returns what is wrong, as text */
function headOf(value: unknown): Pick<WrittenDocument, "kind" | "name" | "owner" | "purpose" | "labels"> | string {
  const { kind, metadata } = asRecord(value);
  const known = documentKinds.find((each) => each === kind);
  if (known === undefined) return `a document says its kind: ${documentKinds.join(", ")}`;
  const { name, owner, purpose, labels } = asRecord(metadata);
  if (!documentName.safeParse(name).success)
    return `${known}: metadata.name has to be a name: a letter or digit, then letters, digits, dot, dash, underscore`;
  const text = (given: unknown): string => (typeof given === "string" ? given.slice(0, maxText) : "");
  const pairs = Object.entries(asRecord(labels)).map(([label, given]) => [label, text(String(given))]);
  return { kind: known, name: String(name), owner: text(owner), purpose: text(purpose), labels: Object.fromEntries(pairs) };
}

/** Files that the examples of a template's flows name; beside the document, else under any folder. */
function attachmentsOf(
  value: unknown,
  { name }: SourceFile,
  files: readonly SourceFile[],
): Pick<WrittenDocument, "attachments" | "missing"> {
  const folder = name.includes("/") ? name.slice(0, name.lastIndexOf("/") + 1) : "";
  const attachments: [string, string][] = [];
  const missing: string[] = [];
  for (const reference of examplesOf(value)) {
    const wanted = normalPath(folder + reference);
    const found =
      files.find((file) => normalPath(file.name) === wanted || file.name === reference) ??
      files.find((file) => file.name.endsWith(`/${reference}`));
    if (found) attachments.push([reference, found.text]);
    else missing.push(reference);
  }
  return { attachments: Object.fromEntries(attachments), missing };
}

function examplesOf(value: unknown): string[] {
  const flows = Object.values(asRecord(asRecord(asRecord(value).spec).flows));
  const examples = flows.flatMap((flow) => {
    const list = asRecord(flow).examples;
    return Array.isArray(list) ? (list as unknown[]) : [];
  });
  const names = examples.flatMap((example) => [asRecord(example).given, asRecord(example).expect]);
  return [...new Set(names.filter((each) => typeof each === "string"))];
}

/** `a/../b` is `b`: paths are as whoever sent them wrote them, and nothing is opened by them. */
function normalPath(path: string): string {
  const parts: string[] = [];
  for (const part of path.split("/")) {
    if (part === ".." && parts.length > 0 && parts.at(-1) !== "..") parts.pop();
    else if (part !== "." && part !== "") parts.push(part);
  }
  return parts.join("/");
}

function asRecord(value: unknown): Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Record<string, unknown>) : {};
}
