import { hash } from "node:crypto";
import {
  chmodSync,
  chownSync,
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { open } from "node:fs/promises";
import { dirname, join } from "node:path";
import { describe, expect, it } from "vitest";
import { judgeDeadline } from "../../../gateway/delivery/deadline.ts";
import { lookIntoQueue } from "../../../gateway/doctor/queue.ts";
import { lockFolder } from "../../../gateway/identity/folder-lock.ts";
import { Identity } from "../../../gateway/identity/identity.ts";
import { makeCode, type Recipient } from "../../../gateway/move/header.ts";
import { isShut, openQueueAgain } from "../../../gateway/move/left-queue.ts";
import { type MoveDisk, moveIn, requestMove } from "../../../gateway/move/move-in.ts";
import { moveOut, undoMoveOut } from "../../../gateway/move/move-out.ts";
import { openQueueFile } from "../../../gateway/queue/open.ts";
import { Queue } from "../../../gateway/queue/queue.ts";
import type { KernelTime } from "../../../gateway/queue/running-time.ts";
import { systemClock } from "../../../protocol/index.ts";
import { cuttingDisk } from "../../support/cutting-disk.ts";
import { temporaryFolder } from "../../support/folder.ts";
import { pick } from "../../support/messages.ts";
import { smallDisk } from "../../support/small-disk.ts";

const clock = systemClock;
const tell = (): void => {};

/** The folder of a gateway that has run: a queue with messages, keys, secrets, what connectors keep. */
async function gatewayFolder(dataDir: string, messages = 50): Promise<void> {
  mkdirSync(join(dataDir, "secrets"), { recursive: true });
  mkdirSync(join(dataDir, "connectors", "opcua", "own"), { recursive: true });
  Identity.open(dataDir);
  const queue = await Queue.open({ path: join(dataDir, "queue.sqlite"), site: "lyon", onFailure: () => {} });
  for (let at = 0; at < messages; at++)
    await queue.commit({ messages: [{ lane: "transaction", line: JSON.stringify(pick("lyon", `T-${at}`)) }] });
  await queue.close();
  writeFileSync(join(dataDir, "secrets", "wms"), "a-password");
  writeFileSync(join(dataDir, "connectors", "opcua", "own", "cert.pem"), "certificate");
  writeFileSync(join(dataDir, "empty"), "");
  writeFileSync(join(dataDir, "large"), Buffer.alloc(3_000_000, "large "));
  for (const name of ["local.json", "reserve", "healthy-0.1.0"]) writeFileSync(join(dataDir, name), "of this machine");
}

async function outTo(dataDir: string, file: string, to: Recipient): Promise<void> {
  await using output = await open(file, existsSync(file) ? "r+" : "wx", 0o600);
  await moveOut({ dataDir, file, output, to }, { clock, tell });
}
async function inFrom(dataDir: string, file: string, options: { code?: string; disk?: MoveDisk } = {}) {
  await using input = await open(file, "r");
  const { code = "", disk } = options;
  return await moveIn({ dataDir, input, code: async () => code }, { clock, tell, ...(disk ? { disk } : {}) });
}

/** The hash of every file, by its path. */
function contents(folder: string, path = ""): Record<string, string> {
  const found: Record<string, string> = {};
  for (const entry of readdirSync(join(folder, path), { withFileTypes: true })) {
    const each = path === "" ? entry.name : `${path}/${entry.name}`;
    if (entry.isDirectory()) Object.assign(found, contents(folder, each));
    else found[each] = hash("sha256", readFileSync(join(folder, each)));
  }
  return found;
}
const ofTheMove = /^(moved-|move-request|lock\.sqlite|local\.json|reserve|healthy-|queue\.sqlite-(shm|wal)$)/;
const moving = (folder: string): Record<string, string> =>
  Object.fromEntries(Object.entries(contents(folder)).filter(([path]) => !ofTheMove.test(path)));

describe("a gateway that is moved", () => {
  it("comes with all that matters, readable by its owner alone, and nothing of its machine", async () => {
    using folder = temporaryFolder();
    const [old, fresh, file] = ["old", "new", "file"].map((name) => join(folder.path, name)) as [string, string, string];
    await gatewayFolder(old);
    const { request } = requestMove(fresh);
    // as a package makes it
    mkdirSync(join(fresh, "secrets"));
    const before = moving(old);
    await outTo(old, file, { kind: "key", request });
    expect(await inFrom(fresh, file)).toMatchObject({ kind: "moved", site: "lyon", fingerprint: Identity.open(old).fingerprint });
    expect(moving(fresh)).toEqual(before);
    for (const name of ["local.json", "reserve", "healthy-0.1.0", "moved-out", "move-request.json", "moving-in"])
      expect(existsSync(join(fresh, name))).toBe(false);
    expect(statSync(join(fresh, "secrets", "wms")).mode & 0o777).toBe(0o600);
    expect(statSync(join(fresh, "secrets")).mode & 0o777).toBe(0o700);
    expect(await inFrom(fresh, file)).toMatchObject({ kind: "again" });
    // the file tells nobody anything
    const bytes = readFileSync(file);
    for (const text of ["a-password", "BEGIN PRIVATE", "mfg.pick"]) expect(bytes.includes(text)).toBe(false);
  });

  it("is in place whole after a cut at any step and the same again, and no gateway starts before", async () => {
    using folder = temporaryFolder();
    const [old, file] = [join(folder.path, "old"), join(folder.path, "file")];
    await gatewayFolder(old, 3);
    const asking = join(folder.path, "asking");
    const { request } = requestMove(asking);
    const expected = moving(old);
    await outTo(old, file, { kind: "key", request });
    for (let at = 0; ; at++) {
      const fresh = join(folder.path, `new-${at}`);
      cpSync(asking, fresh, { recursive: true });
      const disk = cuttingDisk(at);
      const whole = await inFrom(fresh, file, { disk }).then(
        () => true,
        () => false,
      );
      if (!whole && (existsSync(join(fresh, "identity")) || existsSync(join(fresh, "queue.sqlite")))) {
        const starts = (() => {
          try {
            lockFolder(fresh)();
            return true;
          } catch {
            return false;
          }
        })();
        // or all of it is there
        if (starts) expect([at, moving(fresh)]).toEqual([at, expected]);
      }
      await inFrom(fresh, file);
      expect([at, moving(fresh)]).toEqual([at, expected]);
      lockFolder(fresh)();
      rmSync(fresh, { recursive: true });
      if (whole) {
        expect(disk.steps).toBeGreaterThan(10);
        return;
      }
    }
  });

  it("is marked before anything is written, and goes out again after its file could not be finished", async () => {
    using folder = temporaryFolder();
    const [old, fresh, file] = ["old", "new", "file"].map((name) => join(folder.path, name)) as [string, string, string];
    await gatewayFolder(old, 3);
    const code = makeCode();
    const full = {
      stat: async () => ({ size: 0 }),
      truncate: async () => {},
      write: async () => Promise.reject(new Error("no room")),
    } as never;
    await expect(moveOut({ dataDir: old, file, output: full, to: { kind: "code", code } }, { clock, tell })).rejects.toThrow(
      "no room",
    );
    expect(() => lockFolder(old)).toThrow(expect.objectContaining({ code: "FOLDER_MOVED" }));
    await outTo(old, file, { kind: "code", code });
    await expect(outTo(old, join(folder.path, "another"), { kind: "code", code })).rejects.toMatchObject({
      code: "FOLDER_MOVED",
    });
    await inFrom(fresh, file, { code });
    undoMoveOut(old);
    lockFolder(old)();
  });

  it("is refused where it does not belong, and leaves what is there as it is", async () => {
    using folder = temporaryFolder();
    const [old, fresh, file] = ["old", "new", "file"].map((name) => join(folder.path, name)) as [string, string, string];
    await gatewayFolder(old, 3);
    const { request } = requestMove(fresh);
    expect(requestMove(fresh).request).toEqual(request);
    await outTo(old, file, { kind: "key", request });

    const stranger = join(folder.path, "stranger");
    requestMove(stranger);
    await expect(inFrom(stranger, file)).rejects.toMatchObject({ code: "KEY_UNKNOWN" });
    await expect(inFrom(join(folder.path, "no request"), file)).rejects.toMatchObject({ code: "KEY_UNKNOWN" });

    const used = join(folder.path, "used");
    await gatewayFolder(used, 1);
    const before = moving(used);
    await expect(inFrom(used, file)).rejects.toMatchObject({ code: "CONFIG_INVALID" });
    expect(() => requestMove(used)).toThrow(expect.objectContaining({ code: "CONFIG_INVALID" }));
    expect(moving(used)).toEqual(before);

    const cut = join(folder.path, "cut");
    for (const length of [0, 10, 700, statSync(file).size - 1]) {
      cpSync(file, cut);
      truncateSync(cut, length);
      await expect(inFrom(fresh, cut)).rejects.toMatchObject({ code: length < 700 ? "CONFIG_INVALID" : expect.any(String) });
      expect(existsSync(join(fresh, "identity"))).toBe(false);
    }
    // one that its sender did not sign
    const text = readFileSync(file).toString("latin1");
    writeFileSync(cut, Buffer.from(text.replace('"site":"lyon"', '"site":"metz"'), "latin1"));
    await expect(inFrom(fresh, cut)).rejects.toMatchObject({ code: "SIGNATURE_INVALID" });
    // of a program that is newer than this one
    const newer = Buffer.from(text.replace(/"queueFormat":\d/, '"queueFormat":9'), "latin1");
    writeFileSync(cut, newer);
    await expect(inFrom(fresh, cut)).rejects.toMatchObject({ code: "FORMAT_NEWER" });
    expect(await inFrom(fresh, file)).toMatchObject({ kind: "moved" });
  });

  it("is refused while it runs, and a folder that no gateway has is not marked", async () => {
    using folder = temporaryFolder();
    const [old, file] = [join(folder.path, "old"), join(folder.path, "file")];
    await gatewayFolder(old, 1);
    const code = makeCode();
    const unlock = lockFolder(old);
    await expect(outTo(old, file, { kind: "code", code })).rejects.toMatchObject({ code: "DATA_FOLDER_LOCKED" });
    unlock();
    expect(existsSync(join(old, "moved-out"))).toBe(false);
    const nothing = join(folder.path, "nothing");
    mkdirSync(nothing);
    await expect(outTo(nothing, file, { kind: "code", code })).rejects.toMatchObject({ code: "CONFIG_INVALID" });
    expect(readdirSync(nothing)).toEqual([]);
    await expect(outTo(old, join(old, "inside"), { kind: "code", code })).rejects.toMatchObject({ code: "USAGE" });
  });

  it("knows no age of what waited on the other machine: what has a deadline stays undone", async () => {
    using folder = temporaryFolder();
    const [old, fresh, file] = ["old", "new", "file"].map((name) => join(folder.path, name)) as [string, string, string];
    const machine = (boot: string, uptimeMs: number): KernelTime => ({ boot, uptimeMs: () => uptimeMs });
    const openOn = (dataDir: string, kernel: KernelTime) => {
      const { db, running } = openQueueFile({ path: join(dataDir, "queue.sqlite"), site: "lyon", kernel, now: () => 1 });
      db.close();
      return running;
    };
    mkdirSync(old);
    Identity.open(old);
    const before = openOn(old, machine("old machine", 5_000_000));
    const since = before.now();
    const code = makeCode();
    await outTo(old, file, { kind: "code", code });
    await inFrom(fresh, file, { code });
    // the new one may have run for shorter or longer
    for (const uptimeMs of [1000, 50_000_000]) {
      const ageMs = openOn(fresh, machine(`new machine ${uptimeMs}`, uptimeMs)).ageMs(since);
      expect(ageMs).toBeUndefined();
      const command = { ageMs, waitedMs: 0 } as Parameters<typeof judgeDeadline>[0];
      const within = { expires: { after: "1h" } } as Parameters<typeof judgeDeadline>[1];
      expect(judgeDeadline(command, within, { happenedAt: 0 }, undefined)).toEqual({ kind: "unsure" });
      expect(judgeDeadline(command, within, { happenedAt: 0 }, 1)).toMatchObject({ kind: "too-late" });
    }
  });

  it("never writes over a file that holds another gateway, nor over one of its own that is whole", async () => {
    using folder = temporaryFolder();
    const [lyon, brno, file] = ["lyon", "brno", "gateway.move"].map((name) => join(folder.path, name)) as [
      string,
      string,
      string,
    ];
    const to: Recipient = { kind: "code", code: makeCode() };
    await gatewayFolder(lyon, 2);
    await gatewayFolder(brno, 2);
    await outTo(lyon, file, to);
    const whole = readFileSync(file);
    await expect(outTo(brno, file, to)).rejects.toMatchObject({
      code: "USAGE",
      message: expect.stringContaining("another name"),
    });
    // nothing was marked either: it runs on
    lockFolder(brno)();
    undoMoveOut(lyon);
    await expect(outTo(lyon, file, to)).rejects.toMatchObject({ code: "USAGE" });
    expect(readFileSync(file).equals(whole)).toBe(true);
  });

  it("goes on in the file that its own try left, which was cut off", async () => {
    using folder = temporaryFolder();
    const [old, fresh, file] = ["old", "new", "gateway.move"].map((name) => join(folder.path, name)) as [string, string, string];
    const code = makeCode();
    await gatewayFolder(old, 2);
    await outTo(old, file, { kind: "code", code });
    const mark = JSON.parse(readFileSync(join(old, "moved-out"), "utf8"));
    for (const leftBytes of [200_000, 40, 0]) {
      undoMoveOut(old);
      writeFileSync(join(old, "moved-out"), JSON.stringify({ ...mark, written: false }));
      truncateSync(file, leftBytes);
      await outTo(old, file, { kind: "code", code });
      Object.assign(mark, JSON.parse(readFileSync(join(old, "moved-out"), "utf8")));
    }
    expect(await inFrom(fresh, file, { code })).toMatchObject({ kind: "moved" });
  });

  it("goes on in it too where the try after that ended before it wrote anything", async () => {
    using folder = temporaryFolder();
    const [old, fresh, file] = ["old", "new", "gateway.move"].map((name) => join(folder.path, name)) as [string, string, string];
    const to: Recipient = { kind: "code", code: makeCode() };
    await gatewayFolder(old, 2);
    const killedIn = async (step: "truncate" | "sync"): Promise<void> => {
      await using output = await open(file, existsSync(file) ? "r+" : "wx", 0o600);
      output[step] = () => Promise.reject(new Error("killed"));
      await expect(moveOut({ dataDir: old, file, output, to }, { clock, tell })).rejects.toThrow("killed");
    };
    await killedIn("sync");
    await killedIn("truncate");
    await outTo(old, file, to);
    expect(await inFrom(fresh, file, to)).toMatchObject({ kind: "moved" });
  });

  it("shuts the queue that stays where it was ended just before that, by the same again", async () => {
    using folder = temporaryFolder();
    const [old, file] = ["old", "gateway.move"].map((name) => join(folder.path, name)) as [string, string];
    const to: Recipient = { kind: "code", code: makeCode() };
    await gatewayFolder(old, 2);
    await outTo(old, file, to);
    openQueueAgain(join(old, "queue.sqlite"));
    await expect(outTo(old, file, to)).rejects.toMatchObject({ code: "FOLDER_MOVED" });
    expect(isShut(join(old, "queue.sqlite"))).toBe(true);
  });

  it("leaves a queue that programs refuse too which know nothing of moves, until a person takes it back", async () => {
    using folder = temporaryFolder();
    const [old, fresh, file] = ["old", "new", "gateway.move"].map((name) => join(folder.path, name)) as [string, string, string];
    const code = makeCode();
    await gatewayFolder(old, 2);
    await outTo(old, file, { kind: "code", code });
    const [options, path] = [{ site: "lyon", onFailure: () => {} }, join(old, "queue.sqlite")];
    await expect(Queue.open({ path, ...options })).rejects.toMatchObject({ code: "FORMAT_NEWER" });
    await inFrom(fresh, file, { code });
    const moved = await Queue.open({ path: join(fresh, "queue.sqlite"), ...options });
    expect((await moved.depth()).lanes.find(({ lane }) => lane === "transaction")?.last).toBe(2);
    await moved.close();
    // whatever became of the mark: what would go out now could be taken in nowhere
    rmSync(join(old, "moved-out"));
    const another = join(folder.path, "another.move");
    await expect(outTo(old, another, { kind: "code", code })).rejects.toMatchObject({
      code: "FOLDER_MOVED",
      message: expect.stringContaining("--undo"),
    });
    expect([existsSync(join(old, "moved-out")), statSync(another).size]).toEqual([false, 0]);
    undoMoveOut(old);
    const back = await Queue.open({ path, ...options });
    expect((await back.depth()).lanes.find(({ lane }) => lane === "transaction")?.last).toBe(2);
    await back.close();
  });

  it("leaves behind what belongs to the disk that the folder is, and which only root may read", async () => {
    using folder = temporaryFolder();
    const [old, fresh, file] = ["old", "new", "gateway.move"].map((name) => join(folder.path, name)) as [string, string, string];
    const code = makeCode();
    await gatewayFolder(old, 1);
    const before = moving(old);
    for (const name of ["lost+found", ".snapshots"]) {
      mkdirSync(join(old, name), { mode: 0o700 });
      writeFileSync(join(old, name, "#12"), "of the file system");
      mkdirSync(join(fresh, name), { recursive: true, mode: 0o700 });
    }
    await outTo(old, file, { kind: "code", code });
    expect(await inFrom(fresh, file, { code })).toMatchObject({ kind: "moved" });
    expect(moving(fresh)).toEqual(before);
  });

  it("runs on where something in its folder cannot go, which is named before the folder is marked", async () => {
    using folder = temporaryFolder();
    const [old, file] = ["old", "gateway.move"].map((name) => join(folder.path, name)) as [string, string];
    await gatewayFolder(old, 1);
    symlinkSync(folder.path, join(old, "elsewhere"));
    await expect(outTo(old, file, { kind: "code", code: makeCode() })).rejects.toMatchObject({
      code: "CONFIG_INVALID",
      message: expect.stringContaining("elsewhere"),
    });
    lockFolder(old)();
  });

  it.skipIf(process.getuid?.() !== 0)("goes to a stick that is mounted where its folder's owner may not look", async () => {
    using folder = temporaryFolder();
    const [old, stick] = [join(folder.path, "old"), join(folder.path, "media", "stick")];
    await gatewayFolder(old, 1);
    mkdirSync(stick, { recursive: true });
    chmodSync(dirname(stick), 0o700);
    chmodSync(folder.path, 0o711);
    const owner = 12_345;
    for (const name of ["", ...(readdirSync(old, { recursive: true }) as string[])]) chownSync(join(old, name), owner, owner);
    await using output = await open(join(stick, "gateway.move"), "wx", 0o600);
    process.seteuid?.(owner);
    try {
      const to: Recipient = { kind: "code", code: makeCode() };
      const { site } = await moveOut({ dataDir: old, file: join(stick, "gateway.move"), output, to }, { clock, tell });
      expect(site).toBe("lyon");
    } finally {
      process.seteuid?.(0);
    }
  });

  it("is one finding of the doctor, who does not take the queue that stays for a fault", async () => {
    using folder = temporaryFolder();
    const old = join(folder.path, "old");
    await gatewayFolder(old, 3);
    await outTo(old, join(folder.path, "gateway.move"), { kind: "code", code: makeCode() });
    expect(lookIntoQueue(old)).toEqual({ known: false, why: "its gateway was moved out of this folder" });
  });

  it("does not come into the folder of one that left, where it would not start", async () => {
    using folder = temporaryFolder();
    const [old, left, file] = ["old", "left", "gateway.move"].map((name) => join(folder.path, name)) as [string, string, string];
    const code = makeCode();
    await gatewayFolder(old, 2);
    await outTo(old, file, { kind: "code", code });
    mkdirSync(left);
    cpSync(join(old, "moved-out"), join(left, "moved-out"));
    for (const taken of [() => inFrom(left, file, { code }), async () => requestMove(left)])
      await expect(taken()).rejects.toMatchObject({ code: "FOLDER_MOVED", message: expect.stringContaining("another folder") });
    expect(readdirSync(left).filter((name) => !name.startsWith("lock"))).toEqual(["moved-out"]);
    rmSync(join(left, "moved-out"));
    await inFrom(left, file, { code });
    lockFolder(left)();
  });

  it.skipIf(process.getuid?.() !== 0)("leaves a disk that is full, as its reserve pays for the mark", async () => {
    using folder = temporaryFolder();
    using disk = smallDisk(32);
    const [old, fresh, file] = [join(disk.path, "g"), join(folder.path, "new"), join(folder.path, "gateway.move")];
    const code = makeCode();
    await gatewayFolder(old, 2);
    writeFileSync(join(old, "reserve"), Buffer.alloc(256 * 1024));
    disk.fill(0);
    await outTo(old, file, { kind: "code", code });
    expect(() => lockFolder(old)).toThrow(expect.objectContaining({ code: "FOLDER_MOVED" }));
    expect(await inFrom(fresh, file, { code })).toMatchObject({ kind: "moved" });
  });

  it.skipIf(process.getuid?.() !== 0)("says what to do where the disk has no room even so, and goes on running", async () => {
    using folder = temporaryFolder();
    using disk = smallDisk(32);
    const [old, file] = [join(disk.path, "g"), join(folder.path, "gateway.move")];
    await gatewayFolder(old, 2);
    rmSync(join(old, "reserve"));
    lockFolder(old)();
    disk.fill(0);
    await expect(outTo(old, file, { kind: "code", code: makeCode() })).rejects.toMatchObject({
      code: "DISK_FAILED",
      message: expect.stringContaining("delete something"),
    });
    disk.free();
    lockFolder(old)();
  });
});
