import { constants, zstdCompressSync } from "node:zlib";
import fc from "fast-check";
import { expect, it } from "vitest";
import { zstdFrameBytes } from "../../../central/ledger/zstd-frame.ts";

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
      expect(zstdFrameBytes(Buffer.concat([frame, behind]))).toBe(frame.byteLength);
    }),
  );
});

it("finds no end in a part of a frame, and none in what is no frame", () => {
  fc.assert(
    fc.property(compressed, fc.nat(), (frame, cut) => {
      expect(zstdFrameBytes(frame.subarray(0, cut % frame.byteLength))).toBeUndefined();
    }),
  );
  fc.assert(fc.property(fc.uint8Array({ maxLength: 40 }), (bytes) => zstdFrameBytes(bytes) === undefined));
});
