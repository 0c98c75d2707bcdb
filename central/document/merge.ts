import { parseAllDocuments } from "yaml";
import type { SourceFile } from "../../protocol/index.ts";

/**
 * A push completed from the site's last revision: documents that it brings (by kind and name) and files of the same name replace
 * the old ones, all else stays as it was. So a changed template can be pushed by itself. Examples are left out: they are run where
 * documents are reviewed (`plantgate validate`), not by central, whose thread they would hold.
 */
export function completePush(brings: readonly SourceFile[], last: readonly SourceFile[]): SourceFile[] {
  const pushed = brings.filter((file) => !isExample(file));
  const brought = new Set(pushed.flatMap((file) => documentsOf(file).map(({ name }) => name)));
  const names = new Set(pushed.map((file) => file.name));
  const kept = last.flatMap((file): SourceFile[] => {
    const documents = documentsOf(file);
    if (documents.length === 0) return [];
    const stay = documents.filter(({ name }) => !brought.has(name));
    if (stay.length === documents.length) return [{ ...file, name: unusedName(file.name, names) }];
    return stay.length === 0 ? [] : [{ name: unusedName(file.name, names), text: stay.map(({ text }) => text).join("---\n") }];
  });
  return [...pushed, ...kept];
}

/** JSON that does not say it is a document. What cannot be read stays, to be reported. */
function isExample(file: SourceFile): boolean {
  if (!file.name.endsWith(".json")) return false;
  try {
    const value: unknown = JSON.parse(file.text);
    return typeof value !== "object" || value === null || !("kind" in value || "apiVersion" in value);
  } catch {
    return false;
  }
}

/** Documents by `kind/name`. */
function documentsOf(file: SourceFile): { name: string; text: string }[] {
  return parseAllDocuments(file.text).flatMap((document) => {
    // what is wrong with it is reported where it is judged
    if (document.errors.length > 0) return [];
    let value: { kind?: unknown; metadata?: { name?: unknown } } | null;
    try {
      value = document.toJS({ maxAliasCount: 100 }) as typeof value;
    } catch {
      return [];
    }
    if (typeof value?.kind !== "string" || typeof value.metadata?.name !== "string") return [];
    return [{ name: `${value.kind}/${value.metadata.name}`, text: document.toString() }];
  });
}

/** Problems name files, so two never share a name. */
function unusedName(name: string, used: ReadonlySet<string>): string {
  return used.has(name) ? `last revision/${name}` : name;
}
