import { randomBytes } from "node:crypto";
import { constants, zstdCompressSync, zstdDecompressSync } from "node:zlib";
import fc from "fast-check";
import { expect, it } from "vitest";
import { zstdBytes } from "../../../central/ledger/zstd-frame.ts";

const compressed = fc
  .record({
    text: fc.oneof(
      fc.string({ maxLength: 300 }),
      fc
        .tuple(fc.string({ minLength: 1, maxLength: 40 }), fc.integer({ min: 1, max: 20_000 }))
        .map(([part, times]) => part.repeat(times)),
      fc.uint8Array({ maxLength: 300_000 }).map((bytes) => Buffer.from(bytes).toString("latin1")),
    ),
    checksum: fc.boolean(),
    contentSize: fc.boolean(),
    level: fc.integer({ min: 1, max: 4 }),
  })
  .map(({ text, checksum, contentSize, level }) =>
    zstdCompressSync(text, {
      params: {
        [constants.ZSTD_c_compressionLevel]: level,
        [constants.ZSTD_c_checksumFlag]: checksum ? 1 : 0,
        [constants.ZSTD_c_contentSizeFlag]: contentSize ? 1 : 0,
      },
    }),
  );

it("finds where a frame ends, whatever follows it", () => {
  fc.assert(
    fc.property(compressed, fc.uint8Array({ maxLength: 12 }), (frame, behind) => {
      expect(zstdBytes(Buffer.concat([frame, behind]))).toBe(frame.byteLength);
    }),
  );
});

it("finds no end in a part of a frame, and none in what is no frame", () => {
  fc.assert(
    fc.property(compressed, fc.nat(), (frame, cut) => {
      expect(zstdBytes(frame.subarray(0, cut % frame.byteLength))).toBe(0);
    }),
  );
  fc.assert(fc.property(fc.uint8Array({ maxLength: 40 }), (bytes) => zstdBytes(bytes) === 0));
});

it("takes the empty frame that Node's encoder puts behind a text which fills its buffer", () => {
  const twice: number[] = [];
  for (let length = 65_500; length < 65_536; length++) {
    const text = randomBytes(length);
    const frame = zstdCompressSync(text);
    expect(zstdBytes(frame)).toBe(frame.byteLength);
    if (frame.byteLength > zstdCompressSync(text, { chunkSize: 1024 * 1024 }).byteLength) twice.push(length);
  }
  expect(twice).not.toEqual([]);
});

/** A frame by hand (RFC 8878, 3.1.1): its descriptor, what follows in its header, its blocks. */
const frame = (descriptor: number, header: readonly number[], ...blocks: readonly number[]) =>
  Buffer.from([0x28, 0xb5, 0x2f, 0xfd, descriptor, ...header, ...blocks]);
const singleSegment = 0x20;
const lastEmpty = [1, 0, 0] as const;

it("steps over a block that repeats one byte, which no text of ours need have", () => {
  // 1,000 times "a", the last block: 256 more than its content size says
  const repeated = frame(singleSegment | 0x40, [0xe8, 0x02], 0x43, 0x1f, 0x00, 0x61);
  expect(zstdDecompressSync(repeated).toString()).toBe("a".repeat(1000));
  expect(zstdBytes(Buffer.concat([repeated, repeated]))).toBe(2 * repeated.byteLength);
});

it.each([0, 1, 2, 4])("steps over the name of a dictionary of %d bytes", (bytes) => {
  const named = frame(singleSegment | [0, 1, 2, 4].indexOf(bytes), [...new Array<number>(bytes).fill(0xff), 0], ...lastEmpty);
  expect(zstdBytes(named)).toBe(named.byteLength);
});

it("finds no frame where a block is of the type that is reserved", () => {
  expect(zstdBytes(frame(singleSegment, [0], ...lastEmpty))).toBe(9);
  expect(zstdBytes(frame(singleSegment, [0], 7, 0, 0))).toBe(0);
});
