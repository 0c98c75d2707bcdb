import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { readForeign, removeForeign } from "../../../packaging/upgrade/foreign.ts";
import { takeIncoming } from "../../../packaging/upgrade/incoming.ts";
import { type Package, upgrade } from "../../../packaging/upgrade/upgrade.ts";
import { PlantgateError } from "../../../protocol/index.ts";
import { temporaryFolder } from "../../support/folder.ts";
import { InstalledMachine } from "../../support/installed-machine.ts";

const options = { watchMs: 60_000, backup: true };

/** What the gateway puts before the updater, in the order in which it does. */
function offer(machine: InstalledMachine, given: Package, change: Record<string, unknown> = {}): string {
  const folder = join(machine.layout.dataDir, "upgrade/incoming");
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, given.name), given.bytes);
  writeFileSync(join(folder, `${given.name}.sig`), given.signature);
  const sha256 = createHash("sha256").update(given.bytes).digest("hex");
  const asked = { version: "0.2.0", file: given.name, size: given.bytes.length, sha256, ...change };
  writeFileSync(join(folder, "request.json"), JSON.stringify(asked));
  return folder;
}

describe("a package that the gateway offers", () => {
  it("is brought into effect like any other, and its request is gone", async () => {
    using machine = new InstalledMachine();
    machine.boot();
    const folder = offer(machine, machine.tar("0.2.0"));
    expect(await takeIncoming(machine.deps(), options)).toMatchObject({ kind: "kept", version: "0.2.0" });
    expect(existsSync(join(folder, "request.json"))).toBe(false);
    expect(await takeIncoming(machine.deps(), options)).toBeUndefined();
  });

  it.each<[string, Record<string, unknown>, RegExp]>([
    ["is not what was told", { sha256: "0".repeat(64) }, /its SHA-256 differs/],
    ["is larger than was told", { size: 10 }, /not of the size that was told/],
    ["names a file elsewhere", { file: "../../../etc/passwd" }, /is not understood/],
    ["asks for a folder", { version: "../.." }, /is not understood/],
  ])("is refused where it %s, which stands in the record, and is not tried again", async (_, change, reason) => {
    using machine = new InstalledMachine();
    machine.boot();
    const folder = offer(machine, machine.tar("0.2.0"), change);
    await expect(takeIncoming(machine.deps(), options)).rejects.toThrow(reason);
    expect(machine.record("last")).toMatchObject({ outcome: "refused", reason: expect.stringMatching(reason) });
    expect(existsSync(join(folder, "request.json"))).toBe(false);
    expect(machine.started).toEqual(["0.1.0"]);
  });

  it("is refused where a central that was taken over signed it", async () => {
    using machine = new InstalledMachine();
    machine.boot();
    offer(machine, { ...machine.tar("0.2.0"), signature: Buffer.alloc(64).toString("base64") });
    await expect(takeIncoming(machine.deps(), options)).rejects.toThrow("signed by none of the keys");
    expect(machine.current).toBe("0.1.0");
  });

  it.each(["0.1.5", "0.0.9"])(
    "is of the version that is asked for: %s in its place is refused, though it is signed",
    async (other) => {
      using machine = new InstalledMachine();
      machine.boot();
      await upgrade(machine.deps(), machine.tar("0.2.0"), { ...options, allowOlder: false });
      // the way back is open to the version before, and by its name to no other
      offer(machine, machine.tar(other), { version: "0.1.0", older: true });
      await expect(takeIncoming(machine.deps(), options)).rejects.toThrow(`holds version ${other}, not 0.1.0`);
      expect([machine.current, machine.running]).toEqual(["0.2.0", "0.2.0"]);
      expect(machine.record("last")).toMatchObject({ outcome: "refused", version: "0.1.0" });
    },
  );

  it("is not called refused where it runs already, on trial, and its watch was cut off", async () => {
    using machine = new InstalledMachine();
    machine.boot();
    offer(machine, machine.tar("0.2.0"));
    const { look } = machine.services();
    const deps = machine.deps({
      look: async (unit) => {
        if (machine.running === "0.2.0") throw new PlantgateError("PEER_REFUSED", "systemctl: Connection timed out");
        return look(unit);
      },
    });
    await expect(takeIncoming(deps, options)).rejects.toThrow("timed out");
    expect([machine.current, machine.record("last")]).toEqual(["0.2.0", undefined]);
    expect(await takeIncoming(machine.deps(), options)).toMatchObject({ kind: "kept", version: "0.2.0" });
  });

  it("is refused in the record as well where the disk is full", async () => {
    using machine = new InstalledMachine();
    machine.boot();
    offer(machine, machine.tar("0.2.0"));
    const deps = machine.deps();
    const full = {
      ...deps,
      machine: {
        ...deps.machine,
        writeBytes: () => {
          throw Object.assign(new Error("ENOSPC: no space left on device"), { code: "ENOSPC" });
        },
      },
    };
    await expect(takeIncoming(full, options)).rejects.toThrow("no space left");
    expect(machine.record("last")).toMatchObject({ outcome: "refused", reason: expect.stringContaining("no space left") });
  });

  it("is never of an older version than the one that runs", async () => {
    using machine = new InstalledMachine();
    machine.boot();
    offer(machine, machine.tar("0.0.9"), { version: "0.0.9" });
    await expect(takeIncoming(machine.deps(), options)).rejects.toThrow("older than 0.1.0");
  });

  it("leads back to the version before where that is meant, and to none that is older still", async () => {
    using machine = new InstalledMachine();
    machine.boot();
    offer(machine, machine.tar("0.2.0"));
    await takeIncoming(machine.deps(), options);
    offer(machine, machine.tar("0.0.9"), { version: "0.0.9", older: true });
    await expect(takeIncoming(machine.deps(), options)).rejects.toThrow("older than 0.2.0");
    offer(machine, machine.tar("0.1.0"), { version: "0.1.0" });
    await expect(takeIncoming(machine.deps(), options)).rejects.toThrow("older than 0.2.0");
    offer(machine, machine.tar("0.1.0"), { version: "0.1.0", older: true });
    expect(await takeIncoming(machine.deps(), options)).toMatchObject({ kind: "kept", version: "0.1.0" });
    expect(machine.current).toBe("0.1.0");
  });

  it("changes nothing where its version runs already: what came of the last upgrade stands", async () => {
    using machine = new InstalledMachine();
    machine.boot();
    offer(machine, machine.tar("0.2.0"));
    await takeIncoming(machine.deps(), options);
    const last = machine.record("last");
    const folder = offer(machine, machine.tar("0.2.0"));
    expect(await takeIncoming(machine.deps(), options)).toBeUndefined();
    expect(machine.record("last")).toEqual(last);
    expect(existsSync(join(folder, "request.json"))).toBe(false);
  });

  it("is not followed out of the gateway's folder, whatever is a link there", async () => {
    using machine = new InstalledMachine();
    machine.boot();
    const elsewhere = join(machine.root, "elsewhere");
    const folder = offer(machine, machine.tar("0.2.0"));
    renameSync(join(machine.layout.dataDir, "upgrade"), elsewhere);
    symlinkSync(elsewhere, join(machine.layout.dataDir, "upgrade"));
    expect(await takeIncoming(machine.deps(), options)).toBeUndefined();
    expect(existsSync(join(elsewhere, "incoming/request.json"))).toBe(true);
    rmSync(join(machine.layout.dataDir, "upgrade"));
    renameSync(elsewhere, join(machine.layout.dataDir, "upgrade"));
    // the package itself
    const file = join(folder, machine.tar("0.2.0").name);
    renameSync(file, join(machine.root, "package"));
    symlinkSync(join(machine.root, "package"), file);
    await expect(takeIncoming(machine.deps(), options)).rejects.toThrow("is not there, or not of the size");
  });
});

describe("what root reads of a folder of somebody else's", () => {
  it("is a regular file, of so many bytes at most", () => {
    using folder = temporaryFolder();
    writeFileSync(join(folder.path, "a"), "hello");
    execFileSync("mkfifo", [join(folder.path, "pipe")]);
    mkdirSync(join(folder.path, "folder"));
    symlinkSync("a", join(folder.path, "link"));
    expect(readForeign(folder.path, ["a"], 5)?.toString()).toBe("hello");
    for (const name of ["pipe", "folder", "link", "nothing"]) expect(readForeign(folder.path, [name], 5)).toBeUndefined();
    expect(readForeign(folder.path, ["a"], 4)).toBeUndefined();
  });

  it("is removed as what it is: of a link, the link", () => {
    using folder = temporaryFolder();
    writeFileSync(join(folder.path, "a"), "hello");
    symlinkSync("a", join(folder.path, "link"));
    removeForeign(folder.path, ["link"]);
    removeForeign(folder.path, ["never", "was"]);
    expect(existsSync(join(folder.path, "link"))).toBe(false);
    expect(existsSync(join(folder.path, "a"))).toBe(true);
  });
});
