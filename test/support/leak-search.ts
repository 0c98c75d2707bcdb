import { readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { brotliDecompressSync, gunzipSync, inflateRawSync, inflateSync, zstdDecompressSync } from "node:zlib";

/** Where a text was found, and how it was written there. */
export interface Find {
  readonly place: string;
  readonly spelling: string;
}

type Spelling = readonly [name: string, bytes: Buffer];

/**
 * All ways in which a text may stand somewhere: as it is, percent-encoded, escaped as JSON, in hex of both cases, and in base64 (plain and URL-safe)
 * of whatever alignment: of each the part that does not depend on what stands before and behind.
 */
export function spellingsOf(text: string): Spelling[] {
  const escaped = JSON.stringify(text).slice(1, -1);
  const inner = [
    ["plain", text],
    ["JSON", escaped],
    ["JSON in JSON", JSON.stringify(escaped).slice(1, -1)],
    ["URL", encodeURIComponent(text)],
    ["form", new URLSearchParams({ "": text }).toString().slice(1)],
  ] as const;
  return [
    ["UTF-16", Buffer.from(text, "utf16le")],
    ...inner.flatMap(([name, written]): Spelling[] => {
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

function base64Of(name: string, bytes: Buffer): Spelling[] {
  return [0, 1, 2].flatMap((shift): Spelling[] => {
    const whole = Buffer.concat([Buffer.alloc(shift), bytes]).toString("base64");
    // characters that also depend on the neighbours are left away at both ends
    const firm = whole.slice(Math.ceil((shift * 8) / 6), Math.floor(((shift + bytes.length) * 8) / 6));
    return [
      [`${name} in base64`, Buffer.from(firm)],
      [`${name} in base64url`, Buffer.from(firm.replaceAll("+", "-").replaceAll("/", "_"))],
    ];
  });
}

/** How deep what is packed is unpacked. */
const maxDepth = 5;
const maxInflated = 64 * 1024 * 1024;
/** zstd, gzip, zlib in its usual three strengths. */
const packed: readonly (readonly [magic: string, inflate: (bytes: Buffer) => Buffer])[] = [
  ["28b52ffd", (bytes) => zstdDecompressSync(bytes, { maxOutputLength: maxInflated })],
  ["1f8b08", (bytes) => gunzipSync(bytes, { maxOutputLength: maxInflated })],
  ...["7801", "785e", "789c", "78da"].map(
    (magic) => [magic, (bytes: Buffer) => inflateSync(bytes, { maxOutputLength: maxInflated })] as const,
  ),
];

/** Looks for texts wherever they may lie, in every spelling, also inside what is compressed or encoded. */
export class LeakSearch {
  readonly #needles: ReadonlyMap<string, readonly Spelling[]>;
  readonly #finds = new Map<string, Map<string, Find>>();
  #bytes = 0;

  constructor(needles: readonly string[]) {
    this.#needles = new Map(needles.map((needle) => [needle, spellingsOf(needle)]));
  }

  /** How much was looked through, what was unpacked included. */
  get searchedBytes(): number {
    return this.#bytes;
  }

  findsOf(needle: string): Find[] {
    return [...(this.#finds.get(needle)?.values() ?? [])];
  }

  bytes(place: string, bytes: Buffer, depth = 0): void {
    this.#bytes += bytes.length;
    for (const [needle, spellings] of this.#needles)
      for (const [spelling, wanted] of spellings) if (bytes.includes(wanted)) this.#note(needle, place, spelling);
    if (depth >= maxDepth) return;
    for (const [magic, inflate] of packed) {
      const start = Buffer.from(magic, "hex");
      for (let at = bytes.indexOf(start); at >= 0; at = bytes.indexOf(start, at + 1)) {
        const inner = attempt(() => inflate(bytes.subarray(at)));
        if (inner && inner.length > 0) this.bytes(`${place} > inflated at ${at}`, inner, depth + 1);
      }
    }
    if (depth > 0 || bytes.length > 1024 * 1024) return;
    for (const inflate of [inflateRawSync, brotliDecompressSync]) {
      const inner = attempt(() => inflate(bytes, { maxOutputLength: maxInflated }));
      if (inner && inner.length > 0) this.bytes(`${place} > inflated`, inner, depth + 1);
    }
    // what is packed and then encoded, as the payload of a JWS
    for (const [run] of bytes.toString("latin1").matchAll(/[\w+/-]{64,}/g)) {
      const inner = Buffer.from(run, "base64url");
      if (packed.some(([magic]) => inner.includes(Buffer.from(magic, "hex")))) this.bytes(`${place} > base64`, inner, depth + 1);
    }
  }

  /** Every file below a folder; databases also value by value, as a value may lie on several pages. @param isLeftOut by path below the folder */
  folder(place: string, folder: string, isLeftOut: (path: string) => boolean = () => false): void {
    for (const entry of readdirSync(folder, { recursive: true, encoding: "utf8" })) {
      const file = join(folder, entry);
      if (isLeftOut(entry) || !attempt(() => statSync(file).isFile())) continue;
      const bytes = attempt(() => readFileSync(file));
      if (!bytes) continue;
      this.bytes(`${place}/${entry}`, bytes);
      if (bytes.subarray(0, 15).toString() === "SQLite format 3") this.database(`${place}/${entry}`, file);
    }
  }

  /** Every value of every table of a SQLite database. */
  database(place: string, file: string): void {
    const db = new DatabaseSync(file, { readOnly: true });
    try {
      const tables = db.prepare("SELECT name FROM sqlite_master WHERE type = 'table'").all() as { name: string }[];
      for (const { name } of tables) {
        for (const row of db.prepare(`SELECT * FROM "${name.replaceAll('"', '""')}"`).iterate() as Iterable<
          Record<string, unknown>
        >)
          this.row(`${place}:${name}`, row);
      }
    } finally {
      db.close();
    }
  }

  /** One row, value by value. */
  row(place: string, row: Readonly<Record<string, unknown>>): void {
    for (const [column, value] of Object.entries(row)) {
      if (typeof value === "string") this.bytes(`${place}.${column}`, Buffer.from(value));
      else if (value instanceof Uint8Array) this.bytes(`${place}.${column}`, Buffer.from(value));
    }
  }

  #note(needle: string, place: string, spelling: string): void {
    const finds = this.#finds.get(needle) ?? new Map<string, Find>();
    this.#finds.set(needle, finds);
    if (finds.size < 1000) finds.set(`${place}\n${spelling}`, { place, spelling });
  }
}

function attempt<Value>(work: () => Value): Value | undefined {
  try {
    return work();
  } catch {
    return undefined;
  }
}
