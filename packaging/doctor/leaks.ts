import { gunzipSync } from "node:zlib";

/** Shorter ones are found in any text. */
export const leastLength = 6;

export interface Leak {
  /** Which secret, by a name: never its value. */
  readonly secret: string;
  readonly spelling: string;
}

/** All ways in which a text may stand in a file: plain, escaped, percent-encoded, in hex, in base64 of any alignment. */
export function spellingsOf(text: string): [name: string, bytes: Buffer][] {
  const escaped = JSON.stringify(text).slice(1, -1);
  const inner: [string, string][] = [
    ["plain", text],
    ["JSON", escaped],
    ["JSON in JSON", JSON.stringify(escaped).slice(1, -1)],
    ["URL", encodeURIComponent(text)],
    ["form", new URLSearchParams({ "": text }).toString().slice(1)],
    ["YAML", text.replaceAll("'", "''")],
  ];
  return [
    ["UTF-16", Buffer.from(text, "utf16le")],
    ...inner.flatMap(([name, written]): [string, Buffer][] => {
      const bytes = Buffer.from(written);
      const hex = bytes.toString("hex");
      return [
        [name, bytes],
        [`${name} in hex`, Buffer.from(hex)],
        [`${name} in HEX`, Buffer.from(hex.toUpperCase())],
        ...base64Of(name, bytes),
      ];
    }),
  ];
}

function base64Of(name: string, bytes: Buffer): [string, Buffer][] {
  return [0, 1, 2].flatMap((shift): [string, Buffer][] => {
    const whole = Buffer.concat([Buffer.alloc(shift), bytes]).toString("base64");
    // characters that also depend on the neighbours are left away at both ends
    const firm = whole.slice(Math.ceil((shift * 8) / 6), Math.floor(((shift + bytes.length) * 8) / 6));
    return [
      [`${name} in base64`, Buffer.from(firm)],
      [`${name} in base64url`, Buffer.from(firm.replaceAll("+", "-").replaceAll("/", "_"))],
    ];
  });
}

/** Looks for values that may stand nowhere; of each the first place that is found. Nothing that is put into a bundle is packed, but what is is unpacked. */
export class LeakGuard {
  readonly #wanted: readonly { readonly secret: string; readonly spellings: [string, Buffer][] }[];
  /** Names of those that are too short to look for. */
  readonly short: readonly string[];

  constructor(values: ReadonlyMap<string, readonly string[]>) {
    const each = [...values].flatMap(([secret, texts]) => texts.map((text) => ({ secret, text: text.trim() })));
    this.short = [...new Set(each.filter(({ text }) => text !== "" && text.length < leastLength).map(({ secret }) => secret))];
    this.#wanted = each
      .filter(({ text }) => text.length >= leastLength)
      .map(({ secret, text }) => ({ secret, spellings: spellingsOf(text) }));
  }

  get searched(): number {
    return this.#wanted.length;
  }

  find(bytes: Buffer): Leak[] {
    const all = [bytes, ...unpacked(bytes)];
    return this.#wanted.flatMap(({ secret, spellings }) => {
      const found = spellings.find(([, wanted]) => wanted.length > 0 && all.some((each) => each.includes(wanted)));
      return found ? [{ secret, spelling: found[0] }] : [];
    });
  }
}

function unpacked(bytes: Buffer): Buffer[] {
  if (bytes[0] !== 0x1f || bytes[1] !== 0x8b) return [];
  try {
    return [gunzipSync(bytes, { maxOutputLength: 256 * 1024 * 1024 })];
  } catch {
    return [];
  }
}
