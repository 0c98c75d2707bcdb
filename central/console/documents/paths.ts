/** Addresses of documents in the console. */
export function documentPath(kind: string, name: string, revision?: number): string {
  const path = `/documents/${encodeURIComponent(kind)}/${encodeURIComponent(name)}`;
  return revision === undefined ? path : `${path}?revision=${revision}`;
}

export function editPath(kind: string, name: string, query: Readonly<Record<string, string | number>> = {}): string {
  const search = new URLSearchParams(Object.entries(query).map(([key, value]) => [key, String(value)]));
  return `${documentPath(kind, name)}/edit${search.size > 0 ? `?${search.toString()}` : ""}`;
}

/** `Policy/prod-retention` as kind and name. */
export function parseReference(reference: string): { readonly kind: string; readonly name: string } | undefined {
  const [kind, name] = reference.split("/");
  return kind && name ? { kind, name } : undefined;
}
