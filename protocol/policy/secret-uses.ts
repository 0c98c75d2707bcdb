import type { Bundle } from "../bundle.ts";

/** A secret that a site's configuration names. */
export interface SecretUse {
  readonly name: string;
  /** Where: `connectors.wms.password`. */
  readonly paths: readonly string[];
}

/** The secrets that a bundle names, by name. */
export function secretsIn({ connectors, flows }: Pick<Bundle, "connectors" | "flows">): SecretUse[] {
  const uses = new Map<string, string[]>();
  const visit = (value: unknown, path: string): void => {
    if (typeof value !== "object" || value === null) return;
    const name = (value as { secret?: unknown }).secret;
    if (typeof name === "string") uses.set(name, [...(uses.get(name) ?? []), path]);
    for (const [key, inner] of Object.entries(value)) visit(inner, `${path}.${key}`);
  };
  for (const [name, { config }] of Object.entries(connectors)) visit(config, `connectors.${name}`);
  for (const [name, flow] of Object.entries(flows)) visit(flow.from, `flows.${name}.from`);
  return [...uses].map(([name, paths]) => ({ name, paths: paths.toSorted() })).toSorted((a, b) => (a.name < b.name ? -1 : 1));
}
