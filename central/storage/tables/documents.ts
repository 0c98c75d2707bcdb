import type { Generated } from "kysely";

/** Documents, the changes that carry them, and what each environment has of them. */
export interface DocumentTables {
  /** Never changed once written. */
  document_revisions: {
    kind: string;
    name: string;
    /** Rises by one with each of a document. */
    revision: number;
    /** SHA-256 over `text` and `attachments`. */
    digest: string;
    text: string;
    /** Files that the document names, such as examples: `{ "examples/two-lots.json": "…" }`. */
    attachments: string;
    owner: string;
    purpose: string;
    labels: string;
    created_at: number;
    created_by: string;
    /** The change that it was written in. */
    change: number;
  };
  changes: {
    number: number;
    title: string;
    description: string;
    environment: string;
    state: string;
    author: string;
    /** How it is rolled out, as written. */
    strategy: string;
    /** 1: urgent; it skips waves and the run in test, and is reviewed afterwards. */
    expedited: number;
    /** The change whose revisions it carries on to the next environment. */
    promoted_from: number | null;
    /** The version of gateways that it carries instead of documents, with the packages as they were then (JSON); empty: it carries documents. */
    release: Generated<string>;
    /** SHA-256 over what it carries: what an approval is about. */
    digest: string;
    /** Rises with each edit: an edit of an older version is refused. */
    version: number;
    created_at: number;
    updated_at: number;
    /** Why it ended as it did. */
    reason: string | null;
    /** Since when an expedited one waits for its review afterwards; null: none is owed. */
    review_due_since: number | null;
  };
  /** What a change carries. `revision` 0: the document is removed. `base`: what the environment had when the draft began; 0: nothing. */
  change_documents: { change: number; kind: string; name: string; revision: number; base: number };
  /** What was said and decided, in order. `digest`: of the change, for approvals. */
  change_events: {
    change: number;
    number: number;
    at: number;
    actor: string;
    kind: string;
    text: string;
    digest: string;
  };
  /** What is in force in an environment: the revisions of the last change that was rolled out there. */
  environment_documents: { environment: string; kind: string; name: string; revision: number; change: number; since: number };
}
