/** Undefined where the text is no JSON: what another wrote may be cut off, or the page of a proxy. */
export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
