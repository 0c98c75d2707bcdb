import type { Bundle } from "../bundle.ts";
import type { EffectiveValue } from "./origin.ts";
import { leavesOf } from "./partial.ts";
import { settings } from "./settings.ts";
import type { Voices } from "./voices.ts";

type BundleSettings = Pick<Bundle, "queue" | "link" | "keys" | "watch" | "logLevel">;

const leaves = leavesOf(settings);

/** How a site's gateway runs beside its template. A part of which no document says anything is left out of the bundle: defaults apply. */
export function effectiveSettings(voices: Voices): { readonly said: BundleSettings; readonly values: readonly EffectiveValue[] } {
  const values = leaves.map(({ path, default: fallback, absent }) =>
    voices.hear({ path: path.join("."), said: (spec) => valueAt(spec, path), fallback, absent }),
  );
  const said: Record<string, unknown> = {};
  const parts = new Set(leaves.filter((_leaf, index) => values[index]?.origin.from !== "default").map(({ path }) => path[0]));
  leaves.forEach(({ path }, index) => {
    const value = values[index]?.value ?? undefined;
    if (parts.has(path[0]) && value !== undefined) put(said, path, value);
  });
  return { said: said as BundleSettings, values };
}

export function valueAt(from: unknown, path: readonly string[]): unknown {
  let value = from;
  for (const step of path)
    value = typeof value === "object" && value !== null ? (value as Record<string, unknown>)[step] : undefined;
  return value;
}

function put(into: Record<string, unknown>, [step = "", ...rest]: readonly string[], value: unknown): void {
  if (rest.length === 0) {
    into[step] = value;
    return;
  }
  into[step] ??= {};
  put(into[step] as Record<string, unknown>, rest, value);
}
