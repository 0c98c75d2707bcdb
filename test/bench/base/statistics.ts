/** The middle value; of an even number of values the mean of the two in the middle. NaN of none. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  const upper = sorted[middle] ?? Number.NaN;
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? Number.NaN) + upper) / 2;
}

/** The smallest value that at least `percent` of all values do not exceed (nearest rank). NaN of none. */
export function percentile(values: readonly number[], percent: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  const rank = Math.ceil((percent / 100) * sorted.length);
  return sorted[Math.max(0, rank - 1)] ?? Number.NaN;
}

/**
 * The median of the ratios of each round: a shared machine's speed swings by 2 between rounds, and both sides of a round swing together.
 * A round where one side is missing does not count; null when none is left.
 */
export function medianRatio(ours: readonly (number | undefined)[], theirs: readonly (number | undefined)[]): number | null {
  const ratios = ours.flatMap((value, round) => {
    const other = theirs[round];
    return value === undefined || other === undefined || !(other > 0) ? [] : [value / other];
  });
  return ratios.length === 0 ? null : median(ratios);
}

/** For a person: 1234567.8 → 1234568, 12.345 → 12.3, 0.12345 → 0.123. */
export function rounded(value: number): number {
  const digits = Math.abs(value) >= 100 ? 0 : Math.abs(value) >= 10 ? 1 : Math.abs(value) >= 1 ? 2 : 3;
  return Number(value.toFixed(digits));
}

export function ratio(value: number | null): number | null {
  return value === null ? null : Number(value.toFixed(3));
}

/** "1,234 (1,100–1,300)": median and range of the rounds. */
export function spread(values: readonly (number | undefined)[]): string {
  const known = values.filter((value) => value !== undefined);
  if (known.length === 0) return "not run";
  const text = (value: number): string => rounded(value).toLocaleString("en-US");
  return known.length === 1
    ? text(known[0] as number)
    : `${text(median(known))} (${text(Math.min(...known))}–${text(Math.max(...known))})`;
}
