import { expect, it } from "vitest";
import { lockFolder } from "../../../gateway/identity/folder-lock.ts";
import { temporaryFolder } from "../../support/folder.ts";
import { smallDisk } from "../../support/small-disk.ts";

it("lets one process have a folder", () => {
  using folder = temporaryFolder();
  const unlock = lockFolder(folder.path);
  expect(() => lockFolder(folder.path)).toThrow(expect.objectContaining({ code: "DATA_FOLDER_LOCKED" }));
  unlock();
  lockFolder(folder.path)();
});

it.skipIf(process.getuid?.() !== 0)(
  "says of a disk without room for the lock that it is full, not that another gateway runs",
  () => {
    using disk = smallDisk(4);
    disk.fill(0);
    expect(() => lockFolder(disk.path)).toThrow(expect.objectContaining({ code: "DISK_FAILED" }));
    disk.free();
    lockFolder(disk.path)();
  },
);
