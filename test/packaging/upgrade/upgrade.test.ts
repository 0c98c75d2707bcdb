import { generateKeyPairSync, sign } from "node:crypto";
import { chmodSync, existsSync, mkdirSync, readdirSync, rmSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { requireHarmlessTree } from "../../../packaging/upgrade/tree.ts";
import { settle } from "../../../packaging/upgrade/trials.ts";
import { begin, goBackByHand, upgrade } from "../../../packaging/upgrade/upgrade.ts";
import { PlantgateError } from "../../../protocol/index.ts";
import { temporaryFolder } from "../../support/folder.ts";
import { type Conduct, InstalledMachine } from "../../support/installed-machine.ts";

const options = { watchMs: 60_000, allowOlder: false, backup: true };

it("keeps a version that was well for the watch, and the version before beside it", async () => {
  using machine = new InstalledMachine();
  machine.boot();
  expect(await upgrade(machine.deps(), machine.tar("0.2.0"), options)).toEqual({ kind: "kept", version: "0.2.0", from: "0.1.0" });
  expect(machine.running).toBe("0.2.0");
  expect(readdirSync(machine.layout.versions).toSorted()).toEqual(["0.1.0", "0.2.0"]);
  expect(machine.record("trial")).toBeUndefined();
  expect(machine.record("last")).toMatchObject({ version: "0.2.0", from: "0.1.0", outcome: "kept" });
  expect(existsSync(machine.layout.work)).toBe(false);
  expect(machine.started).toEqual(["0.1.0", "0.2.0"]);
});

it.each(["package", "versions/0.2.0"])("takes a Debian package, its tree in %s, as it takes a bundle", async (place) => {
  using machine = new InstalledMachine();
  machine.boot();
  const given = machine.deb("0.2.0", "gateway", place);
  expect(await upgrade(machine.deps(), given, options)).toMatchObject({ kind: "kept" });
  expect(machine.running).toBe("0.2.0");
});

it("lets only the version before stay on disk", async () => {
  using machine = new InstalledMachine();
  machine.boot();
  for (const version of ["0.2.0", "0.3.0"]) await upgrade(machine.deps(), machine.tar(version), options);
  expect(readdirSync(machine.layout.versions).toSorted()).toEqual(["0.2.0", "0.3.0"]);
});

it.each<[Conduct, RegExp]>([
  ["never ready", /did not become ready/],
  ["ends soon", /its process ended by itself \(signal\)/],
  ["ends for good", /its process ended by itself \(exit-code\)/],
  ["offline", /its link to central is offline, and was online before/],
  ["connector down", /broker is not up, and was before/],
  ["silent", /does not answer/],
])("goes back by itself from a version that is %s, and says why", async (conduct, reason) => {
  using machine = new InstalledMachine();
  machine.conduct.set("0.2.0", conduct);
  machine.boot();
  const outcome = await upgrade(machine.deps(), machine.tar("0.2.0"), options);
  expect(outcome).toMatchObject({ kind: "rolled-back", version: "0.2.0", from: "0.1.0", reason: expect.stringMatching(reason) });
  expect(machine.running).toBe("0.1.0");
  expect(machine.record("trial")).toBeUndefined();
  expect(machine.record("last")).toMatchObject({ outcome: "rolled-back", reason: expect.stringMatching(reason) });
});

it("goes back at once when the process ends, and waits for no watch", async () => {
  using machine = new InstalledMachine();
  machine.conduct.set("0.2.0", "ends soon");
  machine.boot();
  const begun = machine.clock.monotonic();
  await upgrade(machine.deps(), machine.tar("0.2.0"), options);
  expect(machine.clock.monotonic() - begun).toBeLessThan(10_000);
});

it("does not hold a connector that was down before against a version", async () => {
  using machine = new InstalledMachine();
  machine.conduct.set("0.1.0", "connector down").set("0.2.0", "connector down");
  machine.boot();
  expect(await upgrade(machine.deps(), machine.tar("0.2.0"), options)).toMatchObject({ kind: "kept" });
});

it("leaves a gateway stopped that was stopped: the version is on trial from its first start on", async () => {
  using machine = new InstalledMachine();
  expect(await upgrade(machine.deps(), machine.tar("0.2.0"), options)).toEqual({ kind: "waits", version: "0.2.0" });
  expect(machine.running).toBeUndefined();
  machine.boot();
  expect(machine.running).toBe("0.2.0");
  expect(await settle(machine.deps())).toMatchObject({ kind: "kept" });
});

it("brings one version after the other to a gateway that is not enrolled yet", async () => {
  using machine = new InstalledMachine();
  await upgrade(machine.deps(), machine.tar("0.2.0"), options);
  expect(await upgrade(machine.deps(), machine.tar("0.3.0"), options)).toEqual({ kind: "waits", version: "0.3.0" });
  expect(machine.record("trial")).toMatchObject({ version: "0.3.0", from: "0.1.0" });
  machine.boot();
  expect(machine.running).toBe("0.3.0");
  expect(await settle(machine.deps())).toMatchObject({ kind: "kept" });
});

it("holds nothing against a version that a person stops or restarts while it is watched", async () => {
  using machine = new InstalledMachine();
  machine.boot();
  let looks = 0;
  const { look } = machine.services();
  const person = (does: () => void) =>
    machine.deps({
      look: async (unit) => {
        if (++looks === 20) does();
        return look(unit);
      },
    });
  expect(
    await upgrade(
      person(() => machine.stop()),
      machine.tar("0.2.0"),
      options,
    ),
  ).toEqual({ kind: "waits", version: "0.2.0" });
  expect(machine.running).toBeUndefined();
  machine.start();
  looks = 0;
  expect(await settle(person(() => machine.start()))).toMatchObject({ kind: "kept" });
});

it("waits for another package manager before it makes a version official, and notes what is missing in the end", async () => {
  using machine = new InstalledMachine();
  machine.boot();
  let tries = 0;
  const { run } = machine.services();
  const busy = (until: number) =>
    machine.deps({
      debianVersion: async () => "0.1.0",
      run: async (program, args) => {
        if (program !== "env") return run(program, args);
        if (++tries < until) throw new PlantgateError("PEER_REFUSED", "dpkg: frontend lock is held");
        return "";
      },
    });
  expect(await upgrade(busy(3), machine.deb("0.2.0"), options)).toMatchObject({ kind: "kept" });
  expect(tries).toBe(3);
  expect(machine.record("last")).toMatchObject({ outcome: "kept", reason: "" });
  expect(await upgrade(busy(1000), machine.deb("0.3.0"), options)).toMatchObject({ kind: "kept" });
  expect(machine.record("last")).toMatchObject({ outcome: "kept", reason: expect.stringMatching(/lock is held; run: dpkg -i/) });
  // what a person is told to install stays for that
  await settle(machine.deps());
  const [file = ""] = /\/\S*package\.deb/.exec(String(machine.record("last")?.reason)) ?? [];
  expect(existsSync(file)).toBe(true);
  // also after something else was refused meanwhile, for as long as dpkg names another version
  const refused = { ...machine.record("last"), version: "0.4.0", outcome: "refused", reason: "its signature does not hold" };
  writeFileSync(machine.layout.last, JSON.stringify(refused));
  await settle(machine.deps({ debianVersion: async () => "0.1.0" }));
  expect(existsSync(file)).toBe(true);
  await settle(machine.deps({ debianVersion: async () => "0.3.0" }));
  expect(existsSync(file)).toBe(false);
});

it("keeps a version though an older one's tree cannot be deleted, and says what stays", async () => {
  using machine = new InstalledMachine();
  machine.boot();
  await upgrade(machine.deps(), machine.tar("0.2.0"), options);
  const { machine: whole } = machine.deps();
  const marked = machine.deps(
    {},
    {
      ...whole,
      rename: (from, to) => {
        if (from.endsWith("/0.1.0")) throw Object.assign(new Error("operation not permitted"), { code: "EPERM" });
        whole.rename(from, to);
      },
    },
  );
  for (const version of ["0.3.0", "0.4.0"]) {
    expect(await upgrade(marked, machine.tar(version), options)).toMatchObject({ kind: "kept", version });
    expect(machine.record("trial")).toBeUndefined();
  }
  expect(machine.said).toContainEqual(expect.stringMatching(/versions\/0\.1\.0 could not be deleted, .*not permitted/));
});

it("begins nothing from what somebody linked by hand and is no version: no way would lead back", async () => {
  using machine = new InstalledMachine();
  machine.tree("0.1.0", join(machine.layout.top, "ours"));
  rmSync(machine.layout.current);
  symlinkSync("ours", machine.layout.current);
  machine.boot();
  await expect(upgrade(machine.deps(), machine.tar("0.2.0"), options)).rejects.toThrow(/leads to "ours", which is no version/);
  expect([machine.current, machine.running, machine.record("trial")]).toEqual(["ours", "ours", undefined]);
});

it("goes on with its watch where the supervisor does not answer for a while", async () => {
  using machine = new InstalledMachine();
  machine.boot();
  const { look } = machine.services();
  let looks = 0;
  const busy = (from: number, to: number) =>
    machine.deps({
      look: async (unit) => {
        looks++;
        if (looks >= from && looks < to) throw new PlantgateError("PEER_REFUSED", "systemctl: Connection timed out");
        return look(unit);
      },
    });
  expect(await upgrade(busy(5, 15), machine.tar("0.2.0"), options)).toMatchObject({ kind: "kept" });
  looks = 0;
  // and not for ever
  await expect(upgrade(busy(5, Number.POSITIVE_INFINITY), machine.tar("0.3.0"), options)).rejects.toThrow(/timed out/);
  expect(looks).toBeGreaterThan(30);
  expect(await settle(machine.deps())).toMatchObject({ kind: "kept", version: "0.3.0" });
});

it("begins nothing where there is no supervisor, and waits for the first start where it rests, as in an image that is made", async () => {
  using machine = new InstalledMachine();
  const none = machine.deps({
    look: async () => {
      throw new PlantgateError("PEER_REFUSED", "systemctl: System has not been booted with systemd");
    },
  });
  await expect(upgrade(none, machine.tar("0.2.0"), options)).rejects.toThrow(/not been booted with systemd/);
  expect([machine.current, machine.record("trial"), readdirSync(machine.layout.versions)]).toEqual([
    "0.1.0",
    undefined,
    ["0.1.0"],
  ]);
  // in another root systemctl says nothing, and ends well
  const silent = machine.deps({
    look: async () => ({ active: "", invocation: "", restarts: 0, result: "" }),
    restart: async () => {},
  });
  expect(await upgrade(silent, machine.tar("0.2.0"), options)).toEqual({ kind: "waits", version: "0.2.0" });
});

it("says what dpkg names where an archive is brought to a machine that has the Debian package", async () => {
  using machine = new InstalledMachine();
  machine.boot();
  const deps = machine.deps({ debianVersion: async () => "0.1.0" });
  expect(await upgrade(deps, machine.tar("0.2.0"), options)).toMatchObject({ kind: "kept" });
  expect(machine.said).toContainEqual(expect.stringMatching(/dpkg names version 0\.1\.0, and 0\.2\.0 runs/));
});

it("goes back by hand to the version before", async () => {
  using machine = new InstalledMachine();
  machine.boot();
  await upgrade(machine.deps(), machine.tar("0.2.0"), options);
  expect(await goBackByHand(machine.deps(), options)).toEqual({ kind: "kept", version: "0.1.0", from: "0.2.0" });
  expect(machine.running).toBe("0.1.0");
});

it("does not go back by hand to a version that was taken back, and leaves nothing of it", async () => {
  using machine = new InstalledMachine();
  machine.conduct.set("0.2.0", "silent");
  machine.boot();
  await upgrade(machine.deps(), machine.tar("0.2.0"), options);
  expect(readdirSync(machine.layout.versions)).toEqual(["0.1.0"]);
  expect(existsSync(machine.layout.work)).toBe(false);
  await expect(goBackByHand(machine.deps(), options)).rejects.toThrow("there is no version before 0.1.0");
});

it("says so where the version before is gone, and does not leave the machine without any", async () => {
  using machine = new InstalledMachine();
  machine.conduct.set("0.2.0", "silent");
  machine.boot();
  const deps = machine.deps();
  const { restart } = deps.machine;
  const losing = {
    ...deps,
    machine: {
      ...deps.machine,
      restart: async (unit: string) => {
        rmSync(join(machine.layout.versions, "0.1.0"), { recursive: true });
        await restart(unit);
      },
    },
  };
  const outcome = await upgrade(losing, machine.tar("0.2.0"), options);
  expect(outcome).toMatchObject({ kind: "stuck", reason: expect.stringContaining("0.1.0 is not on this machine any more") });
  expect(machine.current).toBe("0.2.0");
});

it("puts a version that a package manager brought on trial without waiting, and settles it", async () => {
  using machine = new InstalledMachine();
  machine.boot();
  machine.tree("0.2.0", join(machine.layout.versions, "0.2.0"));
  expect(await begin(machine.deps(), "0.2.0", 60_000)).toBe("begun");
  expect(machine.running).toBe("0.2.0");
  expect(machine.record("trial")).toMatchObject({ version: "0.2.0", from: "0.1.0", starts: 1 });
  expect(await begin(machine.deps(), "0.2.0", 60_000)).toBe("runs");
  expect(await settle(machine.deps())).toMatchObject({ kind: "kept" });
});

it("keeps by the gateway's mark what an updater did not live to see, and by no mark of another trial", async () => {
  using machine = new InstalledMachine();
  machine.boot();
  machine.tree("0.2.0", join(machine.layout.versions, "0.2.0"));
  await begin(machine.deps(), "0.2.0", 60_000);
  const { begun } = machine.record("trial") as { begun: string };
  machine.markHealthy({ version: "0.2.0", begun: "2020-01-01T00:00:00.000Z" });
  machine.boot();
  expect(machine.record("last")).toBeUndefined();
  machine.markHealthy({ version: "0.2.0", begun });
  machine.boot();
  expect(machine.record("last")).toMatchObject({ outcome: "kept", begun });
  expect(await settle(machine.deps())).toMatchObject({ kind: "kept" });
  expect(machine.record("trial")).toBeUndefined();
});

const refusals: [string, (machine: InstalledMachine) => Parameters<typeof upgrade>[1], RegExp][] = [
  ["signed by another key", (machine) => foreign(machine), /signed by none of the keys/],
  ["without a signature", (machine) => ({ ...machine.tar("0.2.0"), signature: "" }), /no Ed25519 signature/],
  ["one byte of which changed", (machine) => flipped(machine), /signed by none of the keys/],
  [
    "for another platform",
    (machine) => machine.tar("0.2.0", { platform: "linux-riscv" }),
    /it is for linux-riscv, this machine is/,
  ],
  ["for the other role", (machine) => machine.deb("0.2.0", "central"), /not a package of plantgate-gateway/],
  [
    "whose tree is for the other role",
    (machine) => machine.tar("0.2.0", { roles: ["central"] }),
    /it is for central, not for a gateway/,
  ],
  ["of an older version", (machine) => machine.tar("0.0.9"), /older than 0.1.0, which runs: say --allow-older/],
  ["of the version that runs", (machine) => machine.tar("0.1.0"), /version 0.1.0 runs already/],
  ["whose program is another version", (machine) => machine.tar("0.2.0", { version: "0.3.0" }), /says that it is version 0.2.0/],
  ["that cannot open the queue", (machine) => newerQueue(machine), /the queue has format 9/],
  [
    "with a link out of it",
    (machine) => machine.tar("0.2.0", {}, (tree) => symlinkSync("/etc/passwd", join(tree, "x"))),
    /leads out/,
  ],
  ["that is none", (machine) => text(machine), /neither a .deb nor a .tar.gz/],
];

it.each(refusals)("refuses a package %s in one sentence, and disturbs nothing", async (_, make, sentence) => {
  using machine = new InstalledMachine();
  machine.boot();
  const given = make(machine);
  await expect(upgrade(machine.deps(), given, options)).rejects.toThrow(sentence);
  expect(machine.current).toBe("0.1.0");
  expect(machine.started).toEqual(["0.1.0"]);
  expect(machine.record("trial")).toBeUndefined();
  expect(readdirSync(machine.layout.versions)).toEqual(["0.1.0"]);
});

it("unpacks nothing that runs as somebody else or that others may write to", async () => {
  using machine = new InstalledMachine();
  machine.boot();
  const given = machine.tar("0.2.0", {}, (tree) => {
    writeFileSync(join(tree, "tool"), "");
    chmodSync(join(tree, "tool"), 0o6777);
  });
  await upgrade(machine.deps(), given, options);
  expect(statSync(join(machine.layout.current, "tool")).mode & 0o7777).toBe(0o755);
});

it.each([
  [0o4755, /would run as somebody else/],
  [0o2755, /would run as somebody else/],
  [0o775, /others may write/],
  [0o757, /others may write/],
])("finds what a tree must not hold: mode %o", (mode, sentence) => {
  using folder = temporaryFolder();
  writeFileSync(join(folder.path, "tool"), "");
  chmodSync(join(folder.path, "tool"), mode);
  expect(() => requireHarmlessTree(folder.path)).toThrow(sentence);
});

it("finds a link that leads beside the tree, into a folder whose name begins as the tree's does", () => {
  using folder = temporaryFolder();
  const tree = join(folder.path, "tree");
  mkdirSync(tree);
  mkdirSync(`${tree}-of-others`);
  symlinkSync("../tree-of-others", join(tree, "app"));
  expect(() => requireHarmlessTree(tree)).toThrow(/a link that leads out of it/);
});

it("refuses a package for which the disk has no room, before it is unpacked", async () => {
  using machine = new InstalledMachine();
  machine.boot();
  const deps = machine.deps();
  const full = { ...deps, machine: { ...deps.machine, freeBytes: () => 1000 } };
  await expect(upgrade(full, machine.tar("0.2.0"), options)).rejects.toThrow(/the disk has 1 MiB free, .* are needed/);
  expect(existsSync(join(machine.layout.work, "unpacked"))).toBe(false);
});

it("trusts a key that the administrator put there", async () => {
  using machine = new InstalledMachine();
  machine.boot();
  const given = foreign(machine);
  mkdirSync(machine.layout.trustedKeys, { recursive: true });
  writeFileSync(join(machine.layout.trustedKeys, "other.pem"), otherKeys.publicKey.export({ type: "spki", format: "pem" }));
  expect(await upgrade(machine.deps(), given, options)).toMatchObject({ kind: "kept" });
});

it.each(["writeBytes", "rename", "write", "point"] as const)(
  "leaves nothing behind on a disk that is full when it comes to %s",
  async (call) => {
    using machine = new InstalledMachine();
    machine.boot();
    const deps = machine.deps();
    const full = {
      ...deps,
      machine: {
        ...deps.machine,
        [call]: () => {
          throw Object.assign(new Error("ENOSPC: no space left on device"), { code: "ENOSPC" });
        },
      },
    };
    await expect(upgrade(full, machine.tar("0.2.0"), options)).rejects.toThrow(/no space left/);
    expect([existsSync(machine.layout.work), readdirSync(machine.layout.versions)]).toEqual([false, ["0.1.0"]]);
    expect(machine.started).toEqual(["0.1.0"]);
  },
);

const otherKeys = generateKeyPairSync("ed25519");

function foreign(machine: InstalledMachine) {
  const given = machine.tar("0.2.0");
  return { ...given, signature: sign(null, given.bytes, otherKeys.privateKey).toString("base64") };
}

function flipped(machine: InstalledMachine) {
  const given = machine.tar("0.2.0");
  const bytes = Buffer.from(given.bytes);
  bytes[100] = (bytes[100] ?? 0) ^ 1;
  return { ...given, bytes };
}

function newerQueue(machine: InstalledMachine) {
  writeFileSync(join(machine.layout.dataDir, "queue.sqlite"), "");
  writeFileSync(join(machine.layout.dataDir, "newer"), "");
  return machine.tar("0.2.0");
}

function text(machine: InstalledMachine) {
  const file = join(machine.root, "plantgate.tar.gz");
  writeFileSync(file, "hello");
  return machine.signed(file);
}
