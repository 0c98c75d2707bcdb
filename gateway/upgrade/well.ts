/** How a gateway is, as `/health` tells it without a token: names and states alone. */
export interface Condition {
  readonly link?: string | undefined;
  readonly connectors?: readonly { readonly name: string; readonly state: string }[] | undefined;
}

/** How the version before was, as far as its successor has to come up to it. */
export interface Before {
  readonly online: boolean;
  /** Connectors that were up. */
  readonly up: readonly string[];
}

export function whatCounts({ link, connectors = [] }: Condition): Before {
  return { online: link === "online", up: connectors.filter(({ state }) => state === "up").map(({ name }) => name) };
}

/** What was well before an upgrade and is not now, as a sentence; undefined: nothing. */
export function whatIsMissing(before: Before, { link, connectors = [] }: Condition): string | undefined {
  if (before.online && link !== undefined && link !== "online") return `its link to central is ${link}, and was online before`;
  const states = new Map(connectors.map(({ name, state }) => [name, state]));
  // one that is gone was taken away by the configuration
  const down = before.up.filter((name) => states.has(name) && states.get(name) !== "up");
  if (down.length === 0) return undefined;
  const named = down.length > 5 ? [...down.slice(0, 5), `${down.length - 5} more`] : down;
  return `${named.join(", ")} ${down.length === 1 ? "is not up, and was" : "are not up, and were"} before`;
}
