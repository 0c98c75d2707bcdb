import type { Policy, Site } from "../document.ts";

/**
 * Whose word counts, first to last:
 *
 * 1. the Site document itself;
 * 2. policies that `enforce`, by rank;
 * 3. what the template says;
 * 4. all other policies, by rank;
 * 5. the default.
 *
 * The rank of a policy is, in this order: the highest of the labels it selects by (`site`, `businessUnit`, `region`, `environment`, any other,
 * none), how many labels those are, its `priority`, and at last its name.
 */
export const rankedLabels = ["site", "businessUnit", "region", "environment"] as const;

export type Labels = Readonly<Record<string, string>>;

/** A site's labels as selectors see them: `site` is its name. */
export function labelsOf(site: Site): Labels {
  return { ...site.metadata.labels, site: site.metadata.name };
}

export function selects(policy: Policy, labels: Labels): boolean {
  return Object.entries(selectorOf(policy)).every(([label, value]) => Object.hasOwn(labels, label) && labels[label] === value);
}

export function selectorOf(policy: Policy): Labels {
  return policy.spec.selector.labels;
}

/** Negative where `a` is heard before `b`. Only two policies of one name are equal. */
export function compareRank(a: Policy, b: Policy): number {
  return (
    Number(b.spec.enforce) - Number(a.spec.enforce) ||
    highest(a) - highest(b) ||
    Object.keys(selectorOf(b)).length - Object.keys(selectorOf(a)).length ||
    b.spec.priority - a.spec.priority ||
    (a.metadata.name < b.metadata.name ? -1 : a.metadata.name > b.metadata.name ? 1 : 0)
  );
}

/** Whether nothing but their names puts one before the other. */
export function haveEqualRank(a: Policy, b: Policy): boolean {
  const named = { ...a, metadata: { ...a.metadata, name: b.metadata.name } };
  return compareRank(named, b) === 0;
}

/** Why `a` is heard before `b`: what follows "because it". */
export function whyBefore(a: Policy, b: Policy): string {
  const other = `"${b.metadata.name}"`;
  if (a.spec.enforce !== b.spec.enforce) return `enforces, which ${other} does not`;
  if (highest(a) !== highest(b)) return `selects by ${rankName(a)}, which goes before ${rankName(b)} of ${other}`;
  const [more, fewer] = [Object.keys(selectorOf(a)).length, Object.keys(selectorOf(b)).length];
  if (more !== fewer) return `selects by ${more} labels, ${other} by ${fewer}`;
  if (a.spec.priority !== b.spec.priority) return `has priority ${a.spec.priority}, ${other} has ${b.spec.priority}`;
  return `comes first by its name: ${other} selects as specifically`;
}

/** `environment=prod, region=eu`; `all sites`. */
export function describeSelector(policy: Policy): string {
  const pairs = Object.entries(selectorOf(policy)).toSorted(([a], [b]) => place(a) - place(b) || (a < b ? -1 : 1));
  return pairs.length === 0 ? "all sites" : pairs.map(([label, value]) => `${label}=${value}`).join(", ");
}

function highest(policy: Policy): number {
  return Math.min(rankedLabels.length + 1, ...Object.keys(selectorOf(policy)).map(place));
}

function place(label: string): number {
  const at = (rankedLabels as readonly string[]).indexOf(label);
  return at === -1 ? rankedLabels.length : at;
}

function rankName(policy: Policy): string {
  const at = highest(policy);
  if (at > rankedLabels.length) return "no label";
  const label = rankedLabels[at] ?? Object.keys(selectorOf(policy)).toSorted()[0];
  return `label ${label}`;
}
