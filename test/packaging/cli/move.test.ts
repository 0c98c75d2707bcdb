import { mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, describe, expect, it, vi } from "vitest";
import { lockFolder } from "../../../gateway/identity/folder-lock.ts";
import { Identity } from "../../../gateway/identity/identity.ts";
import { plantgateHere } from "../../support/command.ts";
import { temporaryFolder } from "../../support/folder.ts";

afterEach(() => vi.unstubAllEnvs());

describe("moving the gateway of a machine where it is installed", () => {
  it("needs no --data, and says how to stop the service that runs", async () => {
    using folder = temporaryFolder();
    const root = join(folder.path, "opt/plantgate/gateway");
    const data = join(folder.path, "var/lib/plantgate/gateway");
    mkdirSync(join(root, "versions/1.2.3"), { recursive: true });
    symlinkSync("versions/1.2.3", join(root, "current"));
    mkdirSync(data, { recursive: true });
    vi.stubEnv("PLANTGATE_ROOT", folder.path);
    Identity.open(data);
    const unlock = lockFolder(data);
    const out = () => plantgateHere(["gateway", "move-out", "--out", "lyon.move"], { cwd: folder.path });
    expect((await out()).err).toContain("stop it first: systemctl stop plantgate-gateway.service");
    unlock();
    // no other file of that name is written over
    writeFileSync(join(folder.path, "lyon.move"), "a letter");
    expect((await out()).err).toContain("is something else: give another name");
  });

  it("is refused without a file, a folder, or with both a file and a request", async () => {
    using folder = temporaryFolder();
    const run = (...args: string[]) => plantgateHere(["gateway", ...args], { cwd: folder.path });
    expect((await run("move-out", "--out", "x")).err).toContain("--data FOLDER");
    expect((await run("move-out", "--data", "x")).err).toContain("--out FILE");
    expect((await run("move-in", "--data", "x")).err).toContain("give the file to take in");
    expect((await run("move-in", "file", "--request", "r", "--data", "x")).err).toContain("give the file to take in");
    writeFileSync(join(folder.path, "letter"), "no request");
    expect((await run("move-out", "--data", "x", "--to", "letter", "--out", "y")).err).toContain("is no request of a machine");
    expect((await run("move-in", "letter", "--data", "x")).err).toContain("no file of plantgate gateway move-out");
  });
});
