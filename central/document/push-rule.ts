import { type ReviewRule, reviewOf } from "../../protocol/index.ts";
import type { Database } from "../storage/storage.ts";
import { otherHomeOf } from "./store.ts";

/** Whether changes of an environment are read by a second person. */
export type ReviewOf = (db: Database, environment: string) => Promise<ReviewRule>;

/** What applies where no policy is in force. */
export const plainReview: ReviewOf = async (_db, environment) => reviewOf([], environment);

/**
 * A push skips review, so it is for environments that ask for none. A site belongs to one environment: to the one that it was made for, else to that of
 * the first document that it gets. One that runs something and belongs to none counts as prod does.
 * @returns the environment, or why it is refused
 */
export async function judgePush(
  db: Database,
  push: { readonly site: string; readonly labels: Readonly<Record<string, string>>; readonly reviewOf: ReviewOf },
): Promise<{ readonly environment: string } | { readonly refused: string }> {
  const { site, labels } = push;
  const known = await db
    .selectFrom("sites")
    .select(["environment", "desired_revision"])
    .where("name", "=", site)
    .executeTakeFirstOrThrow();
  const own = known.environment;
  if (own === "" && known.desired_revision > 0)
    return refused(`site "${site}" runs something and belongs to no environment, so that it counts as prod`, "prod");
  const environment = own === "" ? labels.environment : own;
  if (environment === undefined)
    return {
      refused: `the Site document of "${site}" says no environment: give it the label environment (what is for dev may be pushed), or write a change: plantgate apply -f FILE --environment prod`,
    };
  const { required, because } = await push.reviewOf(db, environment);
  if (required) return refused(`site "${site}" belongs to ${environment}: ${because}`, environment);
  if (labels.environment !== environment)
    return {
      refused: `site "${site}" belongs to "${environment}" for good, and its document says ${labels.environment === undefined ? "no environment" : `environment: ${labels.environment}`}`,
    };
  if (own === environment) return { environment };
  const elsewhere = await otherHomeOf(db, site, environment);
  return elsewhere === undefined ? { environment } : refused(`Site "${site}" is in force in ${elsewhere}`, elsewhere);
}

function refused(why: string, environment: string): { readonly refused: string } {
  return { refused: `${why}. Write a change instead: plantgate apply -f FILE --environment ${environment}` };
}
