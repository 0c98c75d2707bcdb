/** `; did you mean "x"?` for the candidate that is nearest to `written`, or nothing where none is near. */
export function didYouMean(written: string, candidates: Iterable<string>): string {
  const best = nearest(written, candidates);
  return best === undefined ? "" : `; did you mean "${best}"?`;
}

/** The candidate that was probably meant. */
export function nearest(written: string, candidates: Iterable<string>): string | undefined {
  let best: string | undefined;
  let bestDistance = Math.max(1, Math.floor(written.length / 3)) + 1;
  for (const candidate of candidates) {
    const distance = editDistance(written.toLowerCase(), candidate.toLowerCase(), bestDistance);
    if (distance < bestDistance) [best, bestDistance] = [candidate, distance];
  }
  if (best === undefined && written.length >= 3) best = [...candidates].find((candidate) => candidate.startsWith(written));
  return best;
}

/** Fields that unknown ones were meant to be: they are misspelt, not missing. */
export function misspelt(written: Iterable<string>, known: readonly string[]): ReadonlySet<string> {
  const names = new Set(written);
  const absent = known.filter((name) => !names.has(name));
  return new Set([...names].flatMap((name) => (known.includes(name) ? [] : (nearest(name, absent) ?? []))));
}

/** Levenshtein distance with exchanges of neighbours; `limit` or more is given as `limit`. */
function editDistance(a: string, b: string, limit: number): number {
  if (Math.abs(a.length - b.length) >= limit) return limit;
  let before: number[] = [];
  let last = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const same = a[i - 1] === b[j - 1] ? 0 : 1;
      let cost = Math.min((last[j] ?? 0) + 1, (row[j - 1] ?? 0) + 1, (last[j - 1] ?? 0) + same);
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) cost = Math.min(cost, (before[j - 2] ?? 0) + 1);
      row.push(cost);
    }
    before = last;
    last = row;
  }
  return Math.min(last[b.length] ?? limit, limit);
}
