import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { FenceMark } from "../../../gateway/agent/fence.ts";
import { openLogger } from "../../../gateway/telemetry/logger.ts";
import { systemClock } from "../../../protocol/index.ts";
import { temporaryFolder } from "../../support/folder.ts";
import { smallDisk } from "../../support/small-disk.ts";

const deps = { clock: systemClock, log: openLogger({ level: "silent", site: "lyon" }) };

it("remembers over a restart that this gateway was fenced, until a person decides", () => {
  using folder = temporaryFolder();
  const file = join(folder.path, "fenced");
  expect(FenceMark.open(file).reason).toBeUndefined();
  FenceMark.open(file).set("a clone");
  expect(FenceMark.open(file).reason).toBe("a clone");
  FenceMark.open(file).clear();
  expect(FenceMark.open(file).reason).toBeUndefined();
});

it("takes a torn mark for a fence", () => {
  using folder = temporaryFolder();
  const file = join(folder.path, "fenced");
  writeFileSync(file, '{"reason":"a cl');
  expect(FenceMark.open(file).reason).toContain("cannot be read");
});

it("keeps the whole of a long reason in other letters readable", () => {
  using folder = temporaryFolder();
  const mark = FenceMark.open(join(folder.path, "fenced"));
  mark.set("\u{1f512}\n".repeat(5000));
  expect(mark.reason).toMatch(/^\u{1f512}/u);
});

describe.skipIf(process.getuid?.() !== 0)("on a disk that is really full", () => {
  it("notes the fence in the room that was kept for it", () => {
    using disk = smallDisk(4);
    const mark = FenceMark.open(join(disk.path, "fenced"));
    disk.fill(0);
    mark.set("a clone");
    expect(FenceMark.open(join(disk.path, "fenced")).reason).toBe("a clone");
  });

  it("goes on trying where there was no room even for the mark", async () => {
    using disk = smallDisk(4);
    disk.fill(0);
    const mark = FenceMark.open(join(disk.path, "fenced"));
    const kept = mark.keep("a clone", deps, new AbortController().signal);
    expect(mark.reason).toBeUndefined();
    disk.free();
    await kept;
    expect(mark.reason).toBe("a clone");
  });
});
