/** In a sentence, or in a command that a person is to copy. */
export const mostNamed = 5;

/** The first of many, and how many more there are. */
export function listed(texts: readonly string[]): string {
  const rest = texts.length - mostNamed;
  return `${texts.slice(0, mostNamed).join(", ")}${rest > 0 ? ` and ${rest} more` : ""}`;
}

/** As chmod takes it. */
export function octal(mode: number): string {
  return (mode & 0o7777).toString(8).padStart(4, "0");
}
