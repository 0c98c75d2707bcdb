import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { deedsOf } from "../../support/deeds.ts";
import { temporaryFolder } from "../../support/folder.ts";
import { requireService } from "../../support/services.ts";

const strace = await requireService("strace");
const script = fileURLToPath(new URL("../../support/scripts/move.ts", import.meta.url));

describe.skipIf(!strace)("rule 5: of a gateway that moves", () => {
  using folder = temporaryFolder();
  const deeds = strace ? deedsOf(strace, [process.execPath, script, folder.path], folder.path) : [];
  const between = (from: string, to: string): string[] => deeds.slice(deeds.indexOf(from) + 1, deeds.indexOf(to));

  it("the mark is flushed before the first byte of the file, and the file before it is said to be whole and the queue is shut", () => {
    const out = between("made", "out");
    const marked = "rename old/moved-out.new old/moved-out";
    const [first, last] = [out.indexOf(marked), out.lastIndexOf(marked)];
    expect(out.slice(0, first)).toContain("flush old/moved-out.new");
    expect(out.slice(first)[1]).toBe("flush old");
    const written = out.flatMap((deed, index) => (deed === "write file" ? [index] : []));
    expect(written[0]).toBeGreaterThan(first + 1);
    expect(written.at(-1)).toBeLessThan(out.indexOf("flush file"));
    expect(out.indexOf("flush file")).toBeLessThan(out.lastIndexOf("write old/moved-out.new"));
    const shut = out.findLastIndex((deed) => deed.startsWith("write old/queue.sqlite"));
    expect(shut).toBeGreaterThan(last + 1);
  });

  it("all that comes in is flushed, with its name, before any of it is in place, and is in place before it is noted so", () => {
    const into = between("out", "in");
    const staged = "new/moving-in/parts";
    const placed = into.findIndex((deed) => deed.startsWith(`rename ${staged}/`));
    const before = into.slice(0, placed);
    const parts = new Set(before.flatMap((deed) => (deed.startsWith(`write ${staged}/`) ? [deed.slice(6)] : [])));
    expect(parts.size).toBeGreaterThanOrEqual(4);
    for (const part of parts)
      expect(before.lastIndexOf(`flush ${part}`), part).toBeGreaterThan(before.lastIndexOf(`write ${part}`));
    const noted = before.indexOf("rename new/moving-in/verified.json.new new/moving-in/verified.json");
    for (const name of [staged, `${staged}/identity`, `${staged}/secrets`]) {
      const flushed = before.lastIndexOf(`flush ${name}`);
      expect(flushed, name).toBeGreaterThan(before.findLastIndex((deed) => deed.startsWith(`write ${name}/`)));
      expect(noted, name).toBeGreaterThan(flushed);
    }
    expect(before.slice(noted)).toEqual(expect.arrayContaining(["flush new/moving-in", "flush new"]));
    const whole = into.slice(into.findLastIndex((deed) => deed.startsWith(`rename ${staged}/`)) + 1);
    const mark = whole.indexOf("write new/moved-in.json.new");
    expect(mark).toBeGreaterThan(whole.indexOf("flush new"));
    expect(whole.indexOf("flush new")).toBeGreaterThanOrEqual(0);
    const gone = whole.findIndex((deed) => deed.startsWith("remove new/moving-in"));
    expect(whole.slice(mark, gone)).toContain("flush new");
  });
});
