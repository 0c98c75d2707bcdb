import { type Policy, parseSource, policy, type ReviewRule, reviewOf } from "../../protocol/index.ts";
import type { DocumentStore } from "../document/store.ts";
import type { Storage, StorageTransaction } from "../storage/storage.ts";

/** Whether changes of an environment are read by a second person, by the policies that are in force there. */
export async function reviewRule(
  db: Storage | StorageTransaction,
  documents: DocumentStore,
  environment: string,
): Promise<ReviewRule> {
  const inForce = await documents.inForce(db, environment);
  const policies = await documents.read(
    db,
    inForce.filter(({ kind }) => kind === "Policy"),
  );
  return reviewOf(
    policies.flatMap(({ text }) => parsePolicy(text)),
    environment,
  );
}

/** What is in force was judged; what cannot be read says nothing. */
function parsePolicy(text: string): Policy[] {
  const parsed = policy.safeParse(parseSource({ name: "", text }).documents[0]?.value);
  return parsed.success ? [parsed.data] : [];
}
