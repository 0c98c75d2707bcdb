import type { Policy } from "../document.ts";
import { compareRank, selectorOf } from "./precedence.ts";

/** Whether a change of an environment is read by a second person before it reaches a site. */
export interface ReviewRule {
  readonly required: boolean;
  /** For a person, one sentence. */
  readonly because: string;
}

/**
 * `policies`: those in force in the environment. Sites without an environment (`""`) are treated like prod: no policy takes the review away
 * from either.
 */
export function reviewOf(policies: readonly Policy[], environment: string): ReviewRule {
  if (environment === "") return { required: true, because: "what belongs to no environment is always read by a second person" };
  if (environment === "prod") return { required: true, because: "changes of prod are always read by a second person" };
  const [policy] = policies
    .filter((each) => {
      const { review } = each.spec;
      const { environment: selected, ...others } = selectorOf(each);
      if (!review || Object.keys(others).length > 0) return false;
      return selected === environment || (selected === undefined && review.required);
    })
    .toSorted(compareRank);
  if (policy?.spec.review) {
    const { required } = policy.spec.review;
    const name = `policy "${policy.metadata.name}"`;
    return { required, because: required ? `${name} asks for it in ${environment}` : `${name} asks for none in ${environment}` };
  }
  return environment === "dev"
    ? { required: false, because: "dev is without review unless a policy asks for one" }
    : { required: true, because: `changes of ${environment} are read by a second person unless a policy says otherwise` };
}
