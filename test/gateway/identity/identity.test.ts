import { generateKeyPairSync } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { Identity, type KeyDisk } from "../../../gateway/identity/identity.ts";
import { writeFlushed } from "../../../gateway/write-flushed.ts";
import { temporaryFolder } from "../../support/folder.ts";

const keyFile = (folder: string): string => join(folder, "identity", "gateway.key");

it("makes a key to sign with and one to unseal with, and finds both again", () => {
  using folder = temporaryFolder();
  const made = Identity.open(folder.path);
  const again = Identity.open(folder.path);
  expect(again.fingerprint).toBe(made.fingerprint);
  expect(again.sealing.publicJwk).toEqual(made.sealing.publicJwk);
  expect(again.sealing.privateKey.asymmetricKeyType).toBe("x25519");
  expect(statSync(keyFile(folder.path)).mode & 0o777).toBe(0o600);
});

it("keeps the key of a folder that has none to unseal with yet, and adds one", () => {
  using folder = temporaryFolder();
  const { privateKey, publicKey } = generateKeyPairSync("ed25519");
  mkdirSync(join(folder.path, "identity"));
  writeFileSync(keyFile(folder.path), privateKey.export({ type: "pkcs8", format: "pem" }));
  const identity = Identity.open(folder.path);
  expect(identity.publicPem).toBe(publicKey.export({ type: "spki", format: "pem" }));
  expect(Identity.open(folder.path).sealing.publicJwk).toEqual(identity.sealing.publicJwk);
});

it("does not take a file without keys for a first start", () => {
  using folder = temporaryFolder();
  mkdirSync(join(folder.path, "identity"));
  writeFileSync(keyFile(folder.path), "");
  expect(() => Identity.open(folder.path)).toThrow(expect.objectContaining({ code: "CONFIG_INVALID" }));
});

it("keeps a pair that central knows, wherever a change of keys is cut off", () => {
  for (let cutAt = 0; ; cutAt++) {
    using folder = temporaryFolder();
    const before = Identity.open(folder.path).fingerprint;
    let step = 0;
    const cut = (work: () => void) => {
      if (step++ === cutAt) throw new Error("cut");
      work();
      if (step++ === cutAt) throw new Error("cut");
    };
    const disk: KeyDisk = {
      write: (file, content) => cut(() => writeFlushed(file, content)),
      remove: (file) => cut(() => rmSync(file, { force: true })),
    };
    const identity = Identity.open(folder.path, disk);
    let introduced: string | undefined;
    try {
      introduced = identity.prepareNext().fingerprint;
      identity.changeOver();
    } catch (error) {
      expect(error).toMatchObject({ message: "cut" });
    }
    const found = Identity.open(folder.path);
    const known = [before, introduced];
    expect(known).toContain(found.fingerprint);
    // whichever of the two is in use, the other one is at hand while central may know only that one
    if (introduced !== undefined)
      expect([found.current, found.next, found.before].map((pair) => pair?.fingerprint).sort()).toEqual(
        [undefined, ...known].sort(),
      );
    expect(found.sealingKeys.length).toBe(found.next || found.before ? 2 : 1);
    if (step <= cutAt) {
      expect(found.fingerprint).toBe(introduced);
      expect(existsSync(`${keyFile(folder.path)}.next`)).toBe(false);
      expect(readFileSync(keyFile(folder.path), "utf8").match(/BEGIN PRIVATE/g)).toHaveLength(4);
      return;
    }
  }
});

it("goes back to the pair before for a central that was restored", () => {
  using folder = temporaryFolder();
  const identity = Identity.open(folder.path);
  const before = identity.fingerprint;
  identity.prepareNext();
  identity.changeOver();
  identity.settleOn(before);
  expect(identity.fingerprint).toBe(before);
  expect(Identity.open(folder.path).fingerprint).toBe(before);
});

it("starts with a next pair that cannot be read, and makes another one in its place", () => {
  using folder = temporaryFolder();
  const identity = Identity.open(folder.path);
  const torn = identity.prepareNext().fingerprint;
  writeFileSync(`${keyFile(folder.path)}.next`, "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n");
  const found = Identity.open(folder.path);
  expect([found.fingerprint, found.next]).toEqual([identity.fingerprint, undefined]);
  const next = found.prepareNext().fingerprint;
  expect(next).not.toBe(torn);
  expect(Identity.open(folder.path).next?.fingerprint).toBe(next);
});

it("P5: goes on with the pair in use wherever a bit of the ones before flips, and takes no other one for it where it is damaged itself", () => {
  using folder = temporaryFolder();
  const identity = Identity.open(folder.path);
  for (let change = 0; change < 2; change++) {
    identity.prepareNext();
    identity.changeOver();
  }
  const whole = readFileSync(keyFile(folder.path));
  const behind = identity.current.sealing.privateKey.export({ type: "pkcs8", format: "pem" }).length * 2;
  for (let at = 0; at < whole.length; at += 3) {
    const damaged = Buffer.from(whole);
    damaged[at] = (damaged[at] as number) ^ 0x10;
    writeFileSync(keyFile(folder.path), damaged);
    const found = (() => {
      try {
        return Identity.open(folder.path).fingerprint;
      } catch (error) {
        return (error as { code?: string }).code;
      }
    })();
    if (at >= behind) expect([at, found]).toEqual([at, identity.fingerprint]);
    else expect([at, found]).toEqual([at, expect.stringMatching(/^CONFIG_INVALID$|^[0-9a-f]{64}$/)]);
    expect(identity.others.map(({ fingerprint }) => fingerprint)).not.toContain(found);
  }
});
