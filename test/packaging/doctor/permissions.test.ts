import { chmodSync, chownSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { checkPermissions } from "../../../packaging/doctor/permissions.ts";
import { systemClock } from "../../../protocol/index.ts";
import { temporaryFolder } from "../../support/folder.ts";

it.skipIf(process.getuid?.() !== 0)("tells what stops a start from what only somebody else may read or left behind", () => {
  using folder = temporaryFolder();
  const dataDir = join(folder.path, "gateway");
  mkdirSync(join(dataDir, "secrets"), { recursive: true, mode: 0o700 });
  const files = { queue: join(dataDir, "queue.sqlite"), secret: join(dataDir, "secrets/terminal"), left: join(dataDir, "notes") };
  for (const file of Object.values(files)) writeFileSync(file, "x", { mode: 0o600 });
  const look = () =>
    checkPermissions({
      ...{ role: "gateway", dataDir, here: undefined, root: folder.path, pid: undefined, clock: systemClock },
      ...{ runningVersion: async () => undefined, isReady: () => true },
    }).map(({ level, stopsStart }) => (stopsStart ? "stops" : level));
  expect(look()).toEqual(["ok"]);
  for (const [file, said] of [
    [files.queue, "stops"],
    [files.secret, "fault"],
    [files.left, "fault"],
  ] as const) {
    chmodSync(file, 0);
    expect(look(), `${file}, shut`).toEqual([said]);
    chmodSync(file, 0o600);
    chownSync(file, 12_345, 12_345);
    expect(look(), `${file}, another's`).toEqual([said]);
    chownSync(file, 0, 0);
  }
  chmodSync(files.secret, 0o644);
  expect(look(), "an open secret").toEqual(["fault"]);
  chmodSync(files.secret, 0o600);
  chmodSync(files.queue, 0o666);
  expect(look(), "a queue that everybody may write to").toEqual(["fault"]);
  chmodSync(files.queue, 0o400);
  expect(look(), "a queue that cannot be written").toEqual(["stops"]);
  chmodSync(files.queue, 0o600);
  mkdirSync(join(dataDir, "identity"), { mode: 0o700 });
  mkdirSync(join(dataDir, "connectors"), { mode: 0o700 });
  for (const [name, mode, said] of [
    ["identity", 0, "stops"],
    ["identity", 0o500, "stops"],
    ["identity", 0o755, "fault"],
    ["secrets", 0o777, "fault"],
    ["connectors", 0, "fault"],
  ] as const) {
    chmodSync(join(dataDir, name), mode);
    expect(look(), `${name} with ${mode.toString(8)}`).toEqual([said]);
    chmodSync(join(dataDir, name), 0o700);
  }
  expect(look()).toEqual(["ok"]);
});

it.skipIf(process.getuid?.() !== 0)("leaves alone what the file system's own tools keep at the top of a disk", () => {
  using folder = temporaryFolder();
  const dataDir = join(folder.path, "gateway");
  chmodSync(folder.path, 0o711);
  mkdirSync(dataDir, { mode: 0o700 });
  const of = (name: string, uid: number): void => {
    mkdirSync(join(dataDir, name), { mode: 0o755 });
    chownSync(join(dataDir, name), uid, uid);
  };
  chownSync(dataDir, 12_345, 12_345);
  for (const name of ["queue", "identity"]) of(name, 12_345);
  chmodSync(join(dataDir, "identity"), 0o700);
  const look = () =>
    checkPermissions({
      ...{ role: "gateway", dataDir, here: undefined, root: folder.path, pid: undefined, clock: systemClock },
      ...{ runningVersion: async () => undefined, isReady: () => true },
    }).map(({ level, seen }) => `${level}: ${seen}`);
  for (const name of ["lost+found", ".snapshots"]) of(name, 0);
  writeFileSync(join(dataDir, "lost+found", "#12"), "x", { mode: 0o666 });
  expect(look()).toEqual([expect.stringMatching(/^ok: 2 files/)]);

  // by that name, and somebody's
  chownSync(join(dataDir, "lost+found"), 23_456, 23_456);
  expect(look()).toContainEqual(expect.stringMatching(/^fault: not user 12345's: lost\+found \(user 23456\)/));
  chownSync(join(dataDir, "lost+found"), 0, 0);
  // below a folder it is no file system's
  mkdirSync(join(dataDir, "queue", "lost+found"));
  expect(look()).toContainEqual(expect.stringMatching(/^fault: not user 12345's: queue\/lost\+found \(root\)/));
});
