import { join } from "node:path";
import { expect, it } from "vitest";
import { readMark } from "../../../gateway/queue/mark.ts";
import { temporaryFolder } from "../../support/folder.ts";
import { replaceOpenHandle } from "../../support/open-handle.ts";
import { laneOf, linesIn, openStore } from "../../support/queue-store.ts";

const order = (line: string) => ({ change: { messages: [{ lane: "transaction" as const, line }] } });
const outcome = (line: string) => ({
  change: { messages: [{ lane: "transaction" as const, line }], control: true as const },
});

it("takes once what was flushed when the note beside the file finds no room, and notes it with the next flush", () => {
  using folder = temporaryFolder();
  const store = openStore(folder.path);
  const mark = join(folder.path, "queue.sqlite.mark");
  store.commitGroup([order("first")]);
  {
    using _ = replaceOpenHandle(mark, "/dev/full", "r+");
    expect(store.commitGroup([order("second"), outcome("third")])).toMatchObject([{ appended: 1 }, { appended: 1 }]);
    store.openEpoch("bulk");
  }
  expect(readMark(mark).get("transaction")?.next).toBe(2);
  expect(store.disk().state).toBe("ok");
  store.commitGroup([order("fourth")]);
  expect(readMark(mark).get("transaction")?.next).toBe(5);
  expect(linesIn(store)).toEqual(["first", "second", "third", "fourth"]);
  store.close();
});

it("is a failed disk when the note beside the file fails in another way, and has what was flushed at its next start", () => {
  using folder = temporaryFolder();
  const store = openStore(folder.path);
  const mark = join(folder.path, "queue.sqlite.mark");
  {
    using _ = replaceOpenHandle(mark, mark, "r");
    expect(() => store.commitGroup([order("flushed")])).toThrow(expect.objectContaining({ code: "DISK_FAILED" }));
    expect(() => store.openEpoch("bulk")).toThrow(expect.objectContaining({ code: "DISK_FAILED" }));
  }
  store.close();
  const again = openStore(folder.path);
  expect(linesIn(again)).toEqual(["flushed"]);
  expect(laneOf(again, "bulk").predecessor).not.toBeNull();
  again.close();
});
