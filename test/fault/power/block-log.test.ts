import { describe, expect, it } from "vitest";
import { Random } from "../random.ts";
import { BlockLog } from "./block-log.ts";

const block = (byte: number, length = 1024): Buffer => Buffer.alloc(length, byte);
const at = (log: BlockLog, offset: number): number => log.current[offset] ?? -1;

function afterCut(seed: number, act: (log: BlockLog) => void): BlockLog {
  const log = new BlockLog(64 * 1024);
  act(log);
  log.die();
  log.cut(new Random(seed));
  return log;
}
const seeds = Array.from({ length: 200 }, (_, index) => index);

describe("a disk's log of block writes", () => {
  it("keeps everything that was flushed, whatever the cut", () => {
    for (const seed of seeds) {
      const log = afterCut(seed, (disk) => {
        disk.write(0, block(1));
        disk.flush();
        disk.write(4096, block(2));
      });
      expect([at(log, 0), at(log, 1023)]).toEqual([1, 1]);
    }
  });

  it("lets unflushed writes survive or not, also the later without the earlier", () => {
    const outcomes = new Set(
      seeds.map((seed) => {
        const log = afterCut(seed, (disk) => {
          disk.write(0, block(1, 512));
          disk.write(4096, block(2, 512));
        });
        return `${at(log, 0)}${at(log, 4096)}`;
      }),
    );
    expect(outcomes).toEqual(new Set(["00", "10", "02", "12"]));
  });

  it("tears a write between sectors and never within one", () => {
    let torn = 0;
    for (const seed of seeds) {
      const log = afterCut(seed, (disk) => disk.write(0, block(3, 2048)));
      const sectors = [0, 512, 1024, 1536].map((offset) => new Set(log.current.subarray(offset, offset + 512)));
      expect(sectors.every((bytes) => bytes.size === 1)).toBe(true);
      if (new Set(sectors.map((bytes) => [...bytes][0])).size > 1) torn += 1;
    }
    expect(torn).toBeGreaterThan(0);
  });

  it("takes nothing of what is written after the power went", () => {
    for (const seed of seeds) {
      const log = new BlockLog(64 * 1024);
      log.write(0, block(1));
      log.flush();
      log.die();
      log.write(0, block(9));
      log.flush();
      expect(at(log, 0)).toBe(9);
      log.cut(new Random(seed));
      expect(at(log, 0)).toBe(1);
    }
  });

  it("goes on from what survived", () => {
    const log = afterCut(1, (disk) => disk.write(0, block(1)));
    log.write(8192, block(5));
    log.flush();
    log.die();
    log.cut(new Random(2));
    expect(at(log, 8192)).toBe(5);
  });

  it("gives the same disk for the same seed", () => {
    const images = [7, 7].map((seed) =>
      afterCut(seed, (disk) => {
        for (let n = 0; n < 20; n++) disk.write(n * 2048, block(n + 1, 2048));
      }),
    );
    expect(images[0]?.current.equals(images[1]?.current ?? Buffer.alloc(0))).toBe(true);
  });
});
