/** PostgreSQL's text holds every character but NUL. */
export function storable(text: string): string {
  return text.replaceAll("\0", "\u2400");
}
