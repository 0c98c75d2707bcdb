import type { ChangeView } from "../../http/api/changes.ts";
import type { SourceFile } from "../api/configuration.ts";
import { documentsIn } from "./names.ts";

/** The documents that a draft carries beside those being written: it is saved, and judged, as a whole. Files that they name stay at central. */
export function others(change: ChangeView, files: readonly SourceFile[], origin: string | null): SourceFile[] {
  const written = new Set(files.flatMap(({ text }) => documentsIn(text)));
  return change.documents
    .filter(({ kind, name, revision }) => revision > 0 && `${kind}/${name}` !== origin && !written.has(`${kind}/${name}`))
    .map(({ kind, name, text }) => ({ name: `${kind.toLowerCase()}-${name}.yaml`, text }));
}
