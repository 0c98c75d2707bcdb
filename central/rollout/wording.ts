/** "90 s" */
export function seconds(ms: number): string {
  return `${Math.round(ms / 1000)} s`;
}

/** "1,204 sites" */
export function count(value: number, noun: string): string {
  return `${value.toLocaleString("en-US")} ${noun}${value === 1 ? "" : "s"}`;
}
