import type { ChangeView } from "../../http/api/changes.ts";
import type { SourceFile } from "../api/configuration.ts";
import { documentsIn } from "./names.ts";

type Held = ChangeView["documents"][number];

/** The documents that a draft carries beside those being written: it is saved, and judged, as a whole. Files that they name stay at central. */
export function others(change: ChangeView, files: readonly SourceFile[], origin: string | null): SourceFile[] {
  const taken = placesTaken(files, origin);
  return change.documents
    .filter((document) => document.revision > 0 && !taken.has(keyOf(document)))
    .map(({ kind, name, text }) => ({ name: `${kind.toLowerCase()}-${name}.yaml`, text }));
}

/** Documents of a draft that would be replaced although they are not what the writing began with: somebody else's, or one's own from elsewhere. */
export function replaced(
  change: ChangeView,
  files: readonly SourceFile[],
  base: readonly SourceFile[],
  origin: string | null,
): string[] {
  const taken = placesTaken(files, origin);
  const known = new Set([...base, ...files].map(({ text }) => text.trim()));
  return change.documents
    .filter((document) => document.revision > 0 && taken.has(keyOf(document)) && !known.has(document.text.trim()))
    .map(keyOf);
}

function placesTaken(files: readonly SourceFile[], origin: string | null): ReadonlySet<string> {
  return new Set([...files.flatMap(({ text }) => documentsIn(text)), ...(origin === null ? [] : [origin])]);
}

function keyOf({ kind, name }: Held): string {
  return `${kind}/${name}`;
}
