import type { Policy, Site } from "../document.ts";
import type { EffectiveValue, ValueOrigin } from "./origin.ts";
import { compareRank, describeSelector, labelsOf, selects, whyBefore } from "./precedence.ts";

/** A value as the template writes it. */
export interface Written {
  readonly value: unknown;
  readonly origin: ValueOrigin;
}

/** One question to all that may say a value. */
export interface Question {
  readonly path: string;
  /** What the Site document or a policy says; undefined: nothing. */
  readonly said: (spec: Policy["spec"] | Site["spec"]) => unknown;
  readonly written?: Written | undefined;
  readonly fallback?: unknown;
  /** What holds without a value. */
  readonly absent?: string | undefined;
}

interface Heard extends Written {
  readonly policy?: Policy;
  /** Said by the Site document itself, and not through a parameter of the template. */
  readonly isOwn?: true;
}

/** Who says something of a site's values, in the order in which they are heard (precedence.ts): its document, its template, its policies. */
export class Voices {
  readonly #site: Site;
  /** Those that select the site, by rank. */
  readonly policies: readonly Policy[];

  constructor(site: Site, policies: readonly Policy[]) {
    this.#site = site;
    const labels = labelsOf(site);
    this.policies = policies.filter((policy) => selects(policy, labels)).toSorted(compareRank);
  }

  /** The value that counts, and what it overrides. */
  hear({ path, said, written, fallback, absent }: Question): EffectiveValue {
    const policies = this.policies.flatMap((policy): (Heard & { policy: Policy })[] => {
      const value = said(policy.spec);
      const document = `Policy/${policy.metadata.name}`;
      return value === undefined ? [] : [{ value, policy, origin: { from: "policy", document, because: "" } }];
    });
    const own = said(this.#site.spec);
    const document = `Site/${this.#site.metadata.name}`;
    const heard: Heard[] = [
      ...(own === undefined
        ? []
        : [
            {
              value: own,
              origin: { from: "site", document, because: "the Site document says it" } as const,
              isOwn: true as const,
            },
          ]),
      ...policies.filter(({ policy }) => policy.spec.enforce),
      ...(written ? [written] : []),
      ...policies.filter(({ policy }) => !policy.spec.enforce),
    ];
    const because =
      heard.length > 0 ? "the default" : `no document says ${absent === undefined ? "otherwise" : `one: ${absent}`}`;
    if (heard.length === 0 || fallback !== undefined)
      heard.push({ value: fallback ?? null, origin: { from: "default", because } });
    const [first, ...overrides] = heard.map(({ value, origin, policy }, index) => ({
      value,
      origin: policy ? { ...origin, because: whyHere(policy, heard[index - 1], heard[index + 1]) } : origin,
    }));
    return { path, ...(first as Written), overrides };
  }
}

/** Why a policy stands where it does between what is heard before it and after it. */
function whyHere(policy: Policy, before: Heard | undefined, after: Heard | undefined): string {
  const selects = `it selects ${describeSelector(policy)}`;
  if (before?.policy)
    return `${selects}; "${before.policy.metadata.name}" goes before it because it ${whyBefore(before.policy, policy)}`;
  if (before) return `${selects}; ${before.isOwn ? "the Site document" : "the template"} goes before it`;
  if (after?.policy) return `${selects}; it goes first because it ${whyBefore(policy, after.policy)}`;
  if (after && after.origin.from !== "default") return `${selects} and enforces, so it goes before the template`;
  return `${selects}, and no other document says one`;
}
