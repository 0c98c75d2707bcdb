import type { RolloutStrategy } from "../../http/api/changes.ts";

type Wave = RolloutStrategy["waves"][number];

/** Waves as one writes them, a line each: `1`, `10 %`, `all`, or the names of sites. Pure. */
export function wavesToText(waves: readonly Wave[]): string {
  return waves
    .map((wave) => {
      if ("sites" in wave) return wave.sites.join(", ");
      if ("count" in wave) return String(wave.count);
      return wave.percent === 100 ? "all" : `${wave.percent} %`;
    })
    .join("\n");
}

/** @returns the waves, or what is wrong and in which line */
export function parseWaves(text: string): { readonly waves: Wave[] } | { readonly problem: string } {
  const waves: Wave[] = [];
  for (const [index, line] of text.split("\n").entries()) {
    const words = line.trim().toLowerCase();
    if (words === "") continue;
    const percent = /^(\d+(?:\.\d+)?)\s*%$/.exec(words)?.[1];
    const bad = (why: string) => ({ problem: `Line ${index + 1}: ${why}` });
    if (words === "all" || words === "the rest") waves.push({ percent: 100 });
    else if (percent !== undefined) {
      if (Number(percent) <= 0 || Number(percent) > 100) return bad("more than 0 % and at most 100 %");
      waves.push({ percent: Number(percent) });
    } else if (/^\d+$/.test(words)) {
      if (Number(words) < 1) return bad("at least one site");
      waves.push({ count: Number(words) });
    } else {
      const sites = words.split(/[\s,]+/).filter((name) => name !== "");
      if (!sites.every((name) => /^[a-z0-9][a-z0-9-]{0,62}$/.test(name))) return bad("a number, 10 %, all, or names of sites");
      waves.push({ sites });
    }
  }
  return waves.length > 20 ? { problem: "At most 20 waves" } : { waves };
}
