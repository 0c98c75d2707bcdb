import { randomBytes } from "node:crypto";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { chunkBytes, openStream, type StreamKey, sealStream } from "../../../gateway/move/sealed-stream.ts";

const key: StreamKey = { secret: randomBytes(32), context: Buffer.from("of this file") };
const sealedBytes = chunkBytes + 16;

async function* inPieces(bytes: Buffer, pieceBytes: number): AsyncGenerator<Buffer> {
  for (let at = 0; at < bytes.length; at += pieceBytes) yield bytes.subarray(at, at + pieceBytes);
}
async function all(source: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const parts: Uint8Array[] = [];
  for await (const part of source) parts.push(part);
  return Buffer.concat(parts);
}
const seal = (bytes: Buffer, pieceBytes = 100_000): Promise<Buffer> => all(sealStream(inPieces(bytes, pieceBytes), key));
const open = (bytes: Buffer, by = key, pieceBytes = 70_000): Promise<Buffer> => all(openStream(inPieces(bytes, pieceBytes), by));

describe("a sealed stream", () => {
  it("gives back what was put in, whatever its length and the pieces it comes in", async () => {
    const lengths = [0, 1, chunkBytes - 1, chunkBytes, chunkBytes + 1, 2 * chunkBytes, 2 * chunkBytes + 5];
    for (const length of lengths) {
      const bytes = randomBytes(length);
      for (const piece of [65_537, chunkBytes, 5 * chunkBytes])
        expect((await open(await seal(bytes, piece), key, piece + 1)).equals(bytes)).toBe(true);
    }
  });

  it("is found cut off, wherever that is", async () => {
    const sealed = await seal(randomBytes(2 * chunkBytes + 100));
    const cuts = fc.oneof(fc.integer({ min: 0, max: sealed.length - 1 }), fc.constantFrom(0, sealedBytes, 2 * sealedBytes));
    await fc.assert(
      fc.asyncProperty(cuts, async (length) => {
        await expect(open(sealed.subarray(0, length))).rejects.toMatchObject({ code: "SIGNATURE_INVALID" });
      }),
      { numRuns: 30 },
    );
  });

  it("is found changed, lengthened, reordered, or opened with what belongs to another file", async () => {
    const sealed = await seal(randomBytes(2 * chunkBytes + 100));
    const [first, second, last] = [
      sealed.subarray(0, sealedBytes),
      sealed.subarray(sealedBytes, 2 * sealedBytes),
      sealed.subarray(2 * sealedBytes),
    ];
    const changed = Buffer.from(sealed);
    changed[chunkBytes + 700] = (changed[chunkBytes + 700] as number) ^ 1;
    const wrong = [
      changed,
      Buffer.concat([second, first, last]),
      Buffer.concat([first, first, second, last]),
      Buffer.concat([first, last]),
      Buffer.concat([sealed, last]),
      Buffer.concat([sealed, Buffer.alloc(1)]),
    ];
    for (const bytes of wrong) await expect(open(bytes)).rejects.toMatchObject({ code: "SIGNATURE_INVALID" });
    const another = { ...key, context: Buffer.from("of another") };
    await expect(open(sealed, another)).rejects.toMatchObject({ code: "SIGNATURE_INVALID" });
  });
});
