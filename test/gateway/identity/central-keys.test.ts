import { createPublicKey, generateKeyPairSync, type KeyObject } from "node:crypto";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { CompactSign } from "jose";
import { beforeEach, expect, it } from "vitest";
import { CentralKeys, kidOf } from "../../../gateway/identity/central-keys.ts";
import { Identity } from "../../../gateway/identity/identity.ts";
import type { SigningKeyEntry } from "../../../protocol/index.ts";
import { temporaryFolder } from "../../support/folder.ts";

interface Key {
  readonly kid: string;
  readonly publicKey: string;
  readonly privateKey: KeyObject;
}
function makeKey(): Key {
  const { publicKey, privateKey } = generateKeyPairSync("ed25519");
  const pem = publicKey.export({ type: "spki", format: "pem" }) as string;
  return { kid: kidOf(pem), publicKey: pem, privateKey };
}
const createPublic = (key: Key): KeyObject => createPublicKey(key.publicKey);
const sign = (by: Key, payload: unknown): Promise<string> =>
  new CompactSign(Buffer.from(JSON.stringify(payload))).setProtectedHeader({ alg: "EdDSA", kid: by.kid }).sign(by.privateKey);

const overlapUntil = "2026-02-01T00:00:00.000Z";
async function introduced(next: Key, by: Key, signer = by): Promise<SigningKeyEntry> {
  const { kid, publicKey } = next;
  const at = "2026-01-31T00:00:00.000Z";
  const statement = await sign(signer, { kind: "SigningKey", kid, publicKey, before: by.kid, at, overlapUntil });
  return { kid, publicKey, statement };
}
const [a, b, c] = [makeKey(), makeKey(), makeKey()];
const first: SigningKeyEntry = { kid: a.kid, publicKey: a.publicKey, statement: "" };

let folder: ReturnType<typeof temporaryFolder>;
beforeEach(() => {
  folder = temporaryFolder();
  Identity.open(folder.path);
  return () => folder[Symbol.dispose]();
});
const opened = (chain?: readonly SigningKeyEntry[], centralNow = () => Date.parse("2026-01-31T12:00:00.000Z")) =>
  CentralKeys.open({
    dataDir: folder.path,
    handedOver: createPublic(a),
    centralNow,
    ...(chain ? { fetchChain: async () => ({ keys: chain }) } : {}),
  });

it("follows central over two changes of its key at once, and remembers where it is", async () => {
  const chain = [first, await introduced(b, a), await introduced(c, b)];
  const keys = opened(chain);
  expect(Buffer.from(await keys.verify(await sign(c, { hello: 1 }), "central")).toString()).toBe('{"hello":1}');
  expect(keys.newest).toBe(c.kid);
  // the next start needs no central for it, nor the file that was once handed over
  expect(CentralKeys.open({ dataDir: folder.path }).newest).toBe(c.kid);
  expect(opened().newest).toBe(c.kid);
});

it("refuses a chain that does not begin at a key that it knows, and one that is not introduced by it", async () => {
  const other = makeKey();
  for (const chain of [
    [{ ...first, publicKey: other.publicKey, kid: other.kid }, await introduced(b, other)],
    [first, await introduced(b, a, other)],
    [first, { ...(await introduced(b, a)), publicKey: other.publicKey }],
    [first, { ...(await introduced(b, a)), statement: "" }],
    [first, await introduced(c, b), await introduced(b, a)],
  ]) {
    const keys = opened(chain);
    await expect(keys.verify(await sign(b, {}), "central")).rejects.toMatchObject({ disposition: "deny" });
    expect(keys.newest).toBe(a.kid);
  }
  expect(existsSync(join(folder.path, "identity", "central-keys.json"))).toBe(false);
});

it("refuses another beginning that was signed by a key which central has left", async () => {
  const keys = opened([first, await introduced(b, a)]);
  await keys.expect(b.kid);
  const thief = makeKey();
  await expect(keys.learn({ keys: [first, await introduced(thief, a)] })).rejects.toMatchObject({ code: "KEY_UNKNOWN" });
});

it("takes what the key before signed during the overlap alone, and what lies on disk always", async () => {
  let now = Date.parse("2026-01-31T12:00:00.000Z");
  const keys = opened([first, await introduced(b, a)], () => now);
  await keys.expect(b.kid);
  const old = await sign(a, {});
  await keys.verify(old, "central");
  now = Date.parse(overlapUntil) + 1;
  await expect(keys.verify(old, "central")).rejects.toMatchObject({ code: "SIGNATURE_INVALID" });
  await keys.verify(old, "disk");
});

it("takes the key that a person hands over in place of others that it knew", async () => {
  await opened([first, await introduced(b, a)]).expect(b.kid);
  const moved = CentralKeys.open({ dataDir: folder.path, handedOver: createPublic(c) });
  expect(moved.newest).toBe(c.kid);
  await expect(moved.verify(await sign(a, {}), "disk")).rejects.toMatchObject({ code: "SIGNATURE_INVALID" });
});

it("does not take a chain for refused that it could not fetch", async () => {
  const keys = CentralKeys.open({ dataDir: folder.path, handedOver: createPublic(a), fetchChain: async () => undefined });
  await expect(keys.verify(await sign(b, {}), "central")).rejects.toMatchObject({ disposition: "retry" });
});
