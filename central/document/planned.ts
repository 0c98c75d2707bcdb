import type { Bundle, EffectiveValue, SourceFile } from "../../protocol/index.ts";
import type { DocumentKind } from "../http/api/common.ts";

/** One revision of a document. 0: none, or removed. */
export interface DocumentRef {
  readonly kind: DocumentKind;
  readonly name: string;
  readonly revision: number;
}

/** What one site is to run, rendered from documents: all of a revision but its number. */
export interface Planned {
  readonly site: string;
  readonly bundle: Omit<Bundle, "revision">;
  /** SHA-256 of what it says: the same content is the same revision. */
  readonly content: string;
  /** Of the site's document. */
  readonly labels: Readonly<Record<string, string>>;
  /** Where each value comes from. */
  readonly origins: readonly EffectiveValue[];
  /** What it was rendered from. */
  readonly documents: readonly DocumentRef[];
  /** The same as texts. */
  readonly files: readonly SourceFile[];
}
