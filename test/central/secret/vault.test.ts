import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { Alarms } from "../../../central/alert/alarms.ts";
import { Audit } from "../../../central/audit/audit.ts";
import { Keyring } from "../../../central/secret/keyring.ts";
import { Vault } from "../../../central/secret/vault.ts";
import { watchSecrets } from "../../../central/secret/watch.ts";
import { openStorage } from "../../../central/storage/storage.ts";
import { openLogger } from "../../../central/telemetry/logger.ts";
import { eventually } from "../../support/central.ts";
import { settableClock } from "../../support/clock.ts";
import { openTestStorage, type StorageKind, storages } from "../../support/storages.ts";

const planted = "correct horse battery staple";

async function openVault(kind: StorageKind) {
  const own = await openTestStorage(kind);
  const storage = await openStorage(own.target);
  const clock = settableClock();
  const vault = new Vault({ storage, keyring: Keyring.open(own.folder), audit: new Audit(clock), clock });
  return {
    own,
    storage,
    clock,
    vault,
    async [Symbol.asyncDispose]() {
      await storage.destroy();
      await own[Symbol.asyncDispose]();
    },
  };
}

describe.each(await storages())("secrets at central, on %s", (kind) => {
  it("lie in no row as they are, and come back as they were", async () => {
    await using opened = await openVault(kind);
    const { vault, storage } = opened;
    await vault.set({ name: "wms", site: "", value: planted, overlapMs: 0 }, "ana");
    const rows = JSON.stringify([
      await storage.selectFrom("secret_versions").selectAll().execute(),
      await storage.selectFrom("audit").selectAll().execute(),
      await vault.list(),
    ]);
    expect(rows).toContain("secret.set");
    expect(rows).not.toContain(planted);
    expect(rows).not.toContain(Buffer.from(planted).toString("base64url"));
    const { values, locked } = await vault.valuesFor("lyon", ["wms"]);
    expect({ values, locked }).toEqual({
      values: [{ name: "wms", version: 1, value: planted, at: expect.any(String), validUntil: undefined }],
      locked: [],
    });
  });

  it("of one site go before those for all", async () => {
    await using opened = await openVault(kind);
    const { vault } = opened;
    await vault.set({ name: "wms", site: "", value: "for all", overlapMs: 0 }, "ana");
    await vault.set({ name: "wms", site: "lyon", value: "for lyon", overlapMs: 0 }, "ana");
    const valueAt = async (site: string) => (await vault.valuesFor(site, ["wms"])).values.map(({ value }) => value);
    expect(await valueAt("lyon")).toEqual(["for lyon"]);
    expect(await valueAt("porto")).toEqual(["for all"]);
    expect(await vault.remove("wms", "lyon", "ana")).toBe(true);
    expect(await valueAt("lyon")).toEqual(["for all"]);
    expect(await vault.remove("wms", "lyon", "ana")).toBe(false);
  });

  it("for all follow on a site's own that was taken away: its gateway takes them for none that is older", async () => {
    await using opened = await openVault(kind);
    const { vault, clock } = opened;
    await vault.set({ name: "wms", site: "", value: "for all", overlapMs: 0 }, "ana");
    clock.pass(60_000);
    await vault.set({ name: "wms", site: "lyon", value: "for lyon", overlapMs: 0 }, "ana");
    const at = async (site: string) => (await vault.valuesFor(site, ["wms"])).values.map((value) => Date.parse(value.at));
    const [held] = await at("lyon");
    await vault.remove("wms", "lyon", "ana");
    expect(await at("lyon")).toEqual([held]);
    expect((await at("porto"))[0]).toBeLessThan(held as number);
  });

  it("stay good for the overlap beside their successor, and are erased behind it", async () => {
    await using opened = await openVault(kind);
    const { vault, clock, storage } = opened;
    const values = async () => (await vault.valuesFor("lyon", ["hook"])).values.map(({ value }) => value);
    await vault.set({ name: "hook", site: "", value: "one", overlapMs: 0 }, "ana");
    await vault.set({ name: "hook", site: "", value: "two", overlapMs: 3_600_000 }, "ana");
    expect(await values()).toEqual(["two", "one"]);
    clock.pass(3_600_000);
    expect(await values()).toEqual(["two"]);
    await vault.set({ name: "hook", site: "", value: "three", overlapMs: 0 }, "ana");
    expect(await values()).toEqual(["three"]);
    const kept = await storage.selectFrom("secret_versions").select(["version", "sealed"]).orderBy("version").execute();
    expect(kept.map(({ version, sealed }) => [version, sealed !== ""])).toEqual([
      [1, false],
      [2, false],
      [3, true],
    ]);
  });

  it("are not taken for each other where a row was put in another one's place", async () => {
    await using opened = await openVault(kind);
    const { vault, storage } = opened;
    await vault.set({ name: "mild", site: "", value: "known to many", overlapMs: 0 }, "ana");
    await vault.set({ name: "grave", site: "", value: planted, overlapMs: 0 }, "ana");
    const { sealed } = await storage
      .selectFrom("secret_versions")
      .select("sealed")
      .where("name", "=", "grave")
      .executeTakeFirstOrThrow();
    await storage.updateTable("secret_versions").set({ sealed }).where("name", "=", "mild").execute();
    const { values, locked } = await vault.valuesFor("lyon", ["mild"]);
    expect(values).toEqual([]);
    expect(locked).toEqual(['version 1 of secret "mild" belongs to something else']);
  });

  it("are locked, and said to be, where the key file is another one", async () => {
    await using opened = await openVault(kind);
    await using elsewhere = await openTestStorage("sqlite");
    const { vault, storage, clock } = opened;
    await vault.set({ name: "wms", site: "", value: planted, overlapMs: 0 }, "ana");
    const restored = new Vault({ storage, keyring: Keyring.open(elsewhere.folder), audit: new Audit(clock), clock });
    const { values, locked } = await restored.valuesFor("lyon", ["wms"]);
    expect(values).toEqual([]);
    expect(locked[0]).toMatch(/secrets-key.json of the data folder lacks the key/);
  });

  it("are warned of before they expire, and when their rotation is due", async () => {
    await using opened = await openVault(kind);
    const { vault, clock, storage } = opened;
    const text = JSON.stringify({
      apiVersion: "plantgate/v1",
      kind: "Secret",
      metadata: { name: "erp", owner: "erp@example.com", purpose: "The ERP's key" },
      spec: { rotate: { every: "90d", warnBefore: "7d" } },
    });
    const row = { kind: "Secret", name: "erp", revision: 1, digest: "", text, attachments: "{}", labels: "{}", change: 0 };
    await storage
      .insertInto("document_revisions")
      .values({ ...row, owner: "erp@example.com", purpose: "The ERP's key", created_at: 0, created_by: "ana" })
      .execute();
    const warnings = async () => (await vault.list()).find(({ name }) => name === "erp")?.warnings;
    const day = 86_400_000;
    await vault.set({ name: "erp", site: "", value: planted, overlapMs: 0, expiresAt: clock.now() + 100 * day }, "ana");
    expect(await warnings()).toEqual([]);
    clock.pass(84 * day);
    expect(await warnings()).toEqual(["its value is to be rotated in 5 days"]);
    clock.pass(10 * day);
    expect(await warnings()).toEqual(["its value expires in 5 days", "its value should have been rotated 4 days ago"]);
  });

  it("raise an alarm while something is due, which ends once it was done", async () => {
    await using opened = await openVault(kind);
    const { vault, clock, storage } = opened;
    const log = openLogger({ level: "silent" });
    const alarms = new Alarms({ clock, log });
    const standing = () => storage.selectFrom("exceptions").select(["kind", "target"]).where("ended_at", "is", null).execute();
    const stopping = new AbortController();
    await vault.set({ name: "erp", site: "", value: planted, overlapMs: 0, expiresAt: clock.now() + 86_400_000 }, "ana");
    const watching = watchSecrets({ storage, vault, alarms, clock, log }, stopping.signal);
    await eventually(standing, (rows) => rows.length === 1);
    expect(await standing()).toEqual([{ kind: "secret-due", target: "erp" }]);
    await vault.set({ name: "erp", site: "", value: "another", overlapMs: 0 }, "ana");
    clock.pass(600_000);
    await eventually(standing, (rows) => rows.length === 0);
    stopping.abort();
    await watching;
  });

  it("count up together when two replicas set them at once", async () => {
    await using opened = await openVault(kind);
    const { vault, storage } = opened;
    await Promise.all(
      Array.from({ length: 8 }, (_, index) => vault.set({ name: "wms", site: "", value: `v${index}`, overlapMs: 0 }, "ana")),
    );
    const rows = await storage.selectFrom("secret_versions").select(["version", "valid_until"]).orderBy("version").execute();
    expect(rows.map(({ version }) => version)).toEqual([1, 2, 3, 4, 5, 6, 7, 8]);
    expect(rows.filter(({ valid_until }) => valid_until === null)).toHaveLength(1);
    expect(await vault.count()).toBe(8);
  });
});

describe("the key under which secrets lie", () => {
  it("is made once, in a file that its owner alone may read", async () => {
    await using own = await openTestStorage("sqlite");
    const first = Keyring.open(own.folder);
    expect(Keyring.open(own.folder).kid).toBe(first.kid);
    const { mode } = await import("node:fs").then((fs) => fs.statSync(join(own.folder, "secrets-key.json")));
    expect(mode & 0o777).toBe(0o600);
    expect(readFileSync(join(own.folder, "secrets-key.json"), "utf8")).toContain(first.kid);
  });
});
