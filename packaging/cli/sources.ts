import { readdirSync, readFileSync, statSync } from "node:fs";
import { posix, sep } from "node:path";
import { splitDocuments } from "../../central/document/split.ts";
import { PlantgateError, type SourceFile } from "../../protocol/index.ts";
import { readExample } from "./validate.ts";

/**
 * Documents of files and folders, and the files that they name, wherever those lie. In a folder what begins with a dot is passed over.
 * @throws PlantgateError USAGE for what cannot be read
 */
export function readSources(paths: readonly string[]): SourceFile[] {
  const names = [...new Set(paths.flatMap((path) => filesOf(withSlashes(path))))];
  const files: SourceFile[] = names.map((name) => ({ name, text: readFileSync(name, "utf8") }));
  const known = new Set(names);
  for (const file of [...files]) {
    for (const reference of splitDocuments([file]).documents.flatMap(({ missing }) => missing)) {
      const name = posix.join(posix.dirname(file.name), reference);
      const text = known.has(name) ? undefined : readExample(name);
      if (text !== undefined) files.push({ name, text });
      known.add(name);
    }
  }
  return files;
}

/** As documents name files, on Windows too, which takes both. */
export function withSlashes(path: string, separator: string = sep): string {
  return separator === "\\" ? path.replaceAll("\\", "/") : path;
}

function filesOf(path: string): string[] {
  try {
    if (!statSync(path).isDirectory()) return [path];
    return readdirSync(path, { withFileTypes: true })
      .filter(({ name }) => !name.startsWith(".") && name !== "node_modules")
      .toSorted((one, other) => (one.name < other.name ? -1 : 1))
      .flatMap((entry) => {
        const inside = posix.join(path, entry.name);
        return entry.isDirectory() ? filesOf(inside) : /\.(ya?ml|json)$/i.test(entry.name) ? [inside] : [];
      });
  } catch (cause) {
    throw new PlantgateError("USAGE", `${path} cannot be read`, { cause });
  }
}
