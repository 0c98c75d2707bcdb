import { brotliCompressSync, deflateRawSync, deflateSync, gzipSync, zstdCompressSync } from "node:zlib";
import { describe, expect, it } from "vitest";
import { LeakSearch } from "./leak-search.ts";

const needle = 'pl/nt+d "s3cret" ~ Grüße, 18 signs';

const ways: Record<string, (text: string) => Buffer> = {
  plain: (text) => Buffer.from(`before ${text} behind`),
  "UTF-16": (text) => Buffer.from(`before ${text}`, "utf16le"),
  "percent-encoded": (text) => Buffer.from(`https://example.com/?q=${encodeURIComponent(text)}`),
  "a form's": (text) => Buffer.from(new URLSearchParams({ q: text }).toString()),
  JSON: (text) => Buffer.from(JSON.stringify({ text })),
  hex: (text) => Buffer.from(`0x${Buffer.from(text).toString("hex")}ff`),
  HEX: (text) => Buffer.from(Buffer.from(text).toString("hex").toUpperCase()),
  "base64 behind one byte": (text) => Buffer.from(Buffer.from(`x${text}yz`).toString("base64")),
  "base64 behind two bytes": (text) => Buffer.from(Buffer.from(`xy${text}z`).toString("base64url")),
  base64: (text) => Buffer.from(Buffer.from(text).toString("base64")),
  "JSON in base64, as in a JWS": (text) =>
    Buffer.from(`eyJ.${Buffer.from(JSON.stringify({ purpose: text })).toString("base64url")}.x`),
  "JSON in JSON": (text) => Buffer.from(JSON.stringify({ bundle: JSON.stringify({ text }) })),
  zstd: (text) => Buffer.concat([Buffer.from("head"), zstdCompressSync(`a ${text}`)]),
  gzip: (text) => gzipSync(`a ${text}`),
  zlib: (text) => deflateSync(`a ${text}`),
  "raw deflate": (text) => deflateRawSync(`a ${text} `.repeat(3)),
  brotli: (text) => brotliCompressSync(`a ${text} `.repeat(3)),
  "base64 in zstd": (text) => zstdCompressSync(Buffer.from(text).toString("base64")),
  "zstd in a JWS": (text) => Buffer.from(`eyJ.${zstdCompressSync(`${text} and ${"more ".repeat(20)}`).toString("base64url")}.x`),
};

describe("the search for a text that must be nowhere", () => {
  it.each(Object.keys(ways))("finds it %s", (way) => {
    const search = new LeakSearch([needle]);
    search.bytes("here", ways[way]?.(needle) as Buffer);
    expect(search.findsOf(needle)).not.toEqual([]);
  });

  it.each(Object.keys(ways))("finds nothing where another text stands %s", (way) => {
    const search = new LeakSearch([needle]);
    search.bytes("here", ways[way]?.(needle.replace("18", "19")) as Buffer);
    expect(search.findsOf(needle)).toEqual([]);
  });
});
