import { createPublicKey } from "node:crypto";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { CompactEncrypt, CompactSign, exportSPKI, generateKeyPair, importJWK } from "jose";
import { describe, expect, it } from "vitest";
import { CentralKeys } from "../../../gateway/identity/central-keys.ts";
import { Identity } from "../../../gateway/identity/identity.ts";
import { SecretStore } from "../../../gateway/secret/secret-store.ts";
import { openLogger } from "../../../gateway/telemetry/logger.ts";
import { type SealKey, systemClock } from "../../../protocol/index.ts";
import { temporaryFolder } from "../../support/folder.ts";

const planted = "s3cr3t-value";

/** Central's side, by the letter of the protocol. */
async function makeCentral() {
  const { privateKey, publicKey } = await generateKeyPair("EdDSA", { crv: "Ed25519", extractable: true });
  const pem = await exportSPKI(publicKey);
  const seal = async (value: string, to: SealKey, header: { site: string; name: string; version: number }) =>
    new CompactEncrypt(Buffer.from(value))
      .setProtectedHeader({ alg: "ECDH-ES+A256KW", enc: "A256GCM", ...header })
      .encrypt(await importJWK(to, "ECDH-ES+A256KW"));
  const sign = (payload: object) =>
    new CompactSign(Buffer.from(JSON.stringify(payload))).setProtectedHeader({ alg: "EdDSA" }).sign(privateKey);
  return { pem, seal, sign };
}

type TestCentral = Awaited<ReturnType<typeof makeCentral>>;

async function openStore(
  dataDir: string,
  central: TestCentral,
  options: { now?: () => number | undefined; identity?: Identity; credentialsDir?: string } = {},
) {
  const identity = options.identity ?? Identity.open(dataDir);
  const centralKeys = CentralKeys.open({ dataDir, handedOver: createPublicKey(central.pem) });
  const store = await SecretStore.open({
    site: "lyon",
    dataDir,
    credentialsDir: options.credentialsDir,
    centralKeys,
    sealingKeys: () => identity.sealingKeys,
    clock: systemClock,
    log: openLogger({ level: "silent" as never, site: "lyon" }),
    centralNow: options.now ?? (() => undefined),
  });
  return { store, identity };
}

const set = (n: number) => String(n).repeat(64);

async function setOf(
  central: TestCentral,
  to: SealKey,
  values: readonly [value: string, version: number, validUntil?: string][],
  site = "lyon",
) {
  const wms = await Promise.all(
    values.map(async ([value, version, validUntil]) => ({
      version,
      at: new Date(Date.UTC(2026, 0, version)).toISOString(),
      jwe: await central.seal(value, to, { site, name: "wms", version }),
      ...(validUntil === undefined ? {} : { validUntil }),
    })),
  );
  return central.sign({ kind: "SecretSet", site, set: set(1), secrets: { wms }, missing: [] });
}

describe("the gateway's secrets", () => {
  it("come from its service's credentials or its folder where central has none of that name", async () => {
    using folder = temporaryFolder();
    using credentials = temporaryFolder();
    const central = await makeCentral();
    mkdirSync(join(folder.path, "secrets"));
    for (const name of ["wms", "mes", "erp"]) writeFileSync(join(folder.path, "secrets", name), `${name} of the folder\n`);
    for (const name of ["wms", "mes"]) writeFileSync(join(credentials.path, `secrets_${name}`), `${name} of the service\n`);
    const { store, identity } = await openStore(folder.path, central, { credentialsDir: credentials.path });
    await store.accept(await setOf(central, identity.sealing.publicJwk, [[planted, 1]]));
    const all = ["wms", "mes", "erp"].map((secret) => store.get({ secret }));
    expect(all).toEqual([planted, "mes of the service", "erp of the folder"]);
  });

  it("are unsealed in memory alone: what lies on disk is as central sealed it, also after a restart", async () => {
    using folder = temporaryFolder();
    const central = await makeCentral();
    const { store, identity } = await openStore(folder.path, central);
    const jws = await setOf(central, identity.sealing.publicJwk, [[planted, 1]]);
    expect([...(await store.accept(jws))]).toEqual(["wms"]);
    expect(store.get({ secret: "wms" })).toBe(planted);
    expect(readFileSync(join(folder.path, "secrets.sealed"), "utf8")).toBe(jws);
    const again = await openStore(folder.path, central);
    expect(again.store.set).toBe(set(1));
    expect(again.store.get({ secret: "wms" })).toBe(planted);
  });

  it("are refused where central did not sign them, they are for another site, or are sealed to another gateway", async () => {
    using folder = temporaryFolder();
    using other = temporaryFolder();
    const central = await makeCentral();
    const stranger = await makeCentral();
    const { store, identity } = await openStore(folder.path, central);
    const to = identity.sealing.publicJwk;
    const elsewhere = Identity.open(other.path).sealing.publicJwk;
    await expect(store.accept(await setOf(stranger, to, [[planted, 1]]))).rejects.toMatchObject({ code: "SIGNATURE_INVALID" });
    await expect(store.accept(await setOf(central, to, [[planted, 1]], "porto"))).rejects.toMatchObject({
      code: "SIGNATURE_INVALID",
    });
    await expect(store.accept(await setOf(central, elsewhere, [[planted, 1]]))).rejects.toMatchObject({ code: "KEY_UNKNOWN" });
    const swapped = await central.seal(planted, to, { site: "lyon", name: "erp", version: 1 });
    const put = await central.sign({
      kind: "SecretSet",
      site: "lyon",
      set: set(2),
      secrets: { wms: [{ version: 1, at: "2026-01-01T00:00:00.000Z", jwe: swapped }] },
      missing: [],
    });
    await expect(store.accept(put)).rejects.toMatchObject({ code: "KEY_UNKNOWN" });
    await expect(store.accept(await central.sign({ kind: "Bundle", site: "lyon" }))).rejects.toMatchObject({
      code: "SIGNATURE_INVALID",
    });
    expect(store.set).toBe("");
    expect(() => store.get({ secret: "wms" })).toThrow(/plantgate secret set wms/);
  });

  it("are good beside each other until the older one ends by central's time; a clock of 1970 ends nothing", async () => {
    using folder = temporaryFolder();
    const central = await makeCentral();
    let now: number | undefined = Date.parse("2027-01-01T00:30:00Z");
    const { store, identity } = await openStore(folder.path, central, { now: () => now });
    await store.accept(
      await setOf(central, identity.sealing.publicJwk, [
        ["new", 2],
        ["old", 1, "2027-01-01T01:00:00.000Z"],
      ]),
    );
    expect(store.all({ secret: "wms" })).toEqual(["new", "old"]);
    now = Date.parse("2027-01-01T01:00:00Z");
    expect(store.all({ secret: "wms" })).toEqual(["new"]);
    now = undefined;
    expect(store.all({ secret: "wms" })).toEqual(["new", "old"]);
  });

  it("can still be unsealed after the gateway changed its keys", async () => {
    using folder = temporaryFolder();
    const central = await makeCentral();
    const { store, identity } = await openStore(folder.path, central);
    await store.accept(await setOf(central, identity.sealing.publicJwk, [[planted, 1]]));
    identity.prepareNext();
    identity.changeOver();
    const again = await openStore(folder.path, central);
    expect(again.store.get({ secret: "wms" })).toBe(planted);
  });

  it("are asked for again where the file on disk is damaged", async () => {
    using folder = temporaryFolder();
    const central = await makeCentral();
    const { store, identity } = await openStore(folder.path, central);
    const jws = await setOf(central, identity.sealing.publicJwk, [[planted, 1]]);
    await store.accept(jws);
    const { writeFileSync } = await import("node:fs");
    writeFileSync(join(folder.path, "secrets.sealed"), jws.slice(0, -20));
    const again = await openStore(folder.path, central);
    expect(again.store.set).toBe("");
  });

  it("say which ones have another value now, so that only what uses those begins anew", async () => {
    using folder = temporaryFolder();
    const central = await makeCentral();
    const { store, identity } = await openStore(folder.path, central);
    const to = identity.sealing.publicJwk;
    await store.accept(await setOf(central, to, [["one", 1]]));
    const mark = store.mark(["wms"]);
    expect([...(await store.accept(await setOf(central, to, [["one", 1]])))]).toEqual([]);
    expect(store.mark(["wms"])).toBe(mark);
    expect([
      ...(await store.accept(
        await setOf(central, to, [
          ["two", 2],
          ["one", 1, "2027-01-01T01:00:00.000Z"],
        ]),
      )),
    ]).toEqual(["wms"]);
    expect(store.mark(["wms"])).not.toBe(mark);
  });

  it("have another mark where the site gets a value of its own, whose versions are counted from one again", async () => {
    using folder = temporaryFolder();
    const central = await makeCentral();
    const { store, identity } = await openStore(folder.path, central);
    const to = identity.sealing.publicJwk;
    await store.accept(await setOf(central, to, [["for all", 1]]));
    const mark = store.mark(["wms"]);
    expect([...(await store.accept(await setOf(central, to, [["for lyon", 1]])))]).toEqual(["wms"]);
    expect(store.mark(["wms"])).not.toBe(mark);
  });

  it("are never older than those that are held, and none is given up as a restored central does not know it", async () => {
    using folder = temporaryFolder();
    const central = await makeCentral();
    const { store, identity } = await openStore(folder.path, central);
    const to = identity.sealing.publicJwk;
    await store.accept(await setOf(central, to, [["new", 2]]));
    await expect(store.accept(await setOf(central, to, [["old", 1]]))).rejects.toThrow(/restored from a backup/);
    const nothing = (missing: string[]) => central.sign({ kind: "SecretSet", site: "lyon", set: set(3), secrets: {}, missing });
    await expect(store.accept(await nothing(["wms"]))).rejects.toThrow(/plantgate secret set/);
    expect(store.get({ secret: "wms" })).toBe("new");
    // taken away by a person, or not named any more
    await store.accept(await nothing([]));
    expect(() => store.get({ secret: "wms" })).toThrow(/is missing/);
  });
});
