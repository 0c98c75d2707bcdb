import { execFileSync } from "node:child_process";
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { zstdDecompressSync } from "node:zlib";
import { describe, expect, it } from "vitest";
import { backUp, restore, verify } from "../../../central/backup/main.ts";
import { systemClock } from "../../../protocol/index.ts";
import { backupOf } from "../../support/backups.ts";
import { eventually, startTestCentral } from "../../support/central.ts";
import { temporaryFolder } from "../../support/folder.ts";
import { createDatabase } from "../../support/postgres.ts";
import { smallDisk } from "../../support/small-disk.ts";
import { kinds, messagesOf, openPlant, txnOf } from "./plant.ts";

/** Told of a database that was empty. */
const ofRights = (kind: string): unknown[] =>
  kind === "postgres" ? [expect.stringContaining("Rights of other roles are not in a backup")] : [];

describe.each(kinds)("a backup, on %s", (storage) => {
  it("that is taken while a plant sends is whole, and brings back a central that loses and doubles nothing of what is sent again", async () => {
    await using central = await startTestCentral({ storage });
    using folder = temporaryFolder();
    const { plant, lane, send } = await openPlant(central);
    for (let number = 1; number <= 20; number++) await send(`T-${number}`);
    let sending = true;
    const busy = (async () => {
      for (let number = 21; sending && number < 2000; number++) await send(`T-${number}`);
    })();
    const { file, manifest } = await backUp(backupOf(central, folder.path));
    sending = false;
    await busy;
    expect(manifest.ledger.lanes).toMatchObject([{ site: "plant-a", lane: "transaction" }]);
    expect(manifest.ledger.lanes[0]?.recorded).toBeGreaterThanOrEqual(20);
    expect(statSync(file).mode & 0o777).toBe(0o600);
    expect(readdirSync(folder.path)).toEqual(["central.tar.zst"]);
    await central.stop();

    const database = storage === "postgres" ? await createDatabase() : undefined;
    const dataDir = join(folder.path, "restored");
    const { warnings } = await restore({ file, dataDir, databaseUrl: database?.url, replace: false, clock: systemClock });
    expect(warnings).toEqual(ofRights(storage));
    expect(readdirSync(dataDir).sort()).toEqual(
      ["backup-lock", "last-backup.json", "lock", "signing-key.json", ...(storage === "sqlite" ? ["ledger.db"] : [])].sort(),
    );
    {
      await using back = await startTestCentral({ dataDir, ...(database ? { database } : {}) });
      plant.moveTo(() => back.url);
      const hello = await plant.hello([lane]);
      const from = (hello.body.watermarks[0]?.watermark ?? 0) + 1;
      expect(from).toBe((manifest.ledger.lanes[0]?.recorded ?? 0) + 1);
      expect((await plant.send(lane, lane.batch(from))).status).toBe(200);
      const messages = await eventually(
        () => messagesOf(back),
        (all) => all.length >= lane.last,
      );
      expect(messages.map(txnOf)).toEqual(Array.from({ length: lane.last }, (_, index) => `T-${index + 1}`));
      expect((await back.admin("GET", "/v1/audit/verify")).body).toMatchObject({ badAt: null });
      const { body } = await back.admin<{ exceptions: { kind: string }[] }>("GET", "/v1/exceptions");
      expect(body.exceptions.map(({ kind }) => kind)).toContain("ledger-restored");
      const audit = await back.admin<{ entries: { action: string }[] }>("GET", "/v1/audit?before=0&limit=5");
      expect(audit.body.entries.map(({ action }) => action)).toContain("backup.restored");
    }
    await database?.[Symbol.asyncDispose]();
  });

  it("opens its secrets only together with their keys, and says so", async () => {
    await using central = await startTestCentral({ storage });
    using folder = temporaryFolder();
    expect((await central.admin("PUT", "/v1/secrets/wms", { value: "correct horse battery staple" })).status).toBeLessThan(300);
    const keysFile = join(folder.path, "keys.json");
    const { file } = await backUp(backupOf(central, folder.path, { keysOut: keysFile }));
    const alone = await backUp(backupOf(central, folder.path, { out: join(folder.path, "alone.tar.zst") }));
    expect(alone.warnings).toEqual([
      expect.stringMatching(/^1 value of a secret lies sealed in it: secrets cannot be restored from this backup alone/),
    ]);
    expect(statSync(keysFile).mode & 0o777).toBe(0o600);
    expect(zstdDecompressSync(readFileSync(file)).includes(JSON.parse(readFileSync(keysFile, "utf8")).keys[0].k)).toBe(false);
    expect(await verify({ file, keysFile })).toMatchObject({ opensSecrets: true, warnings: [] });
    expect(await verify({ file })).toMatchObject({ opensSecrets: null, warnings: [expect.stringContaining("--keys FILE")] });
    await central.stop();

    const open = async (name: string, keys?: string) => {
      const database = storage === "postgres" ? await createDatabase() : undefined;
      const dataDir = join(folder.path, name);
      const restored = await restore({
        file,
        dataDir,
        databaseUrl: database?.url,
        keysFile: keys,
        replace: false,
        clock: systemClock,
      });
      await database?.[Symbol.asyncDispose]();
      return { ...restored, dataDir };
    };
    const without = await open("without");
    expect(without.warnings).toEqual([
      ...ofRights(storage),
      expect.stringMatching(
        /^The 1 value of a secret in it cannot be opened: the key \S+ is missing\. Restore again with --keys FILE/,
      ),
    ]);
    expect(existsSync(join(without.dataDir, "secrets-key.json"))).toBe(false);
    const complete = await open("complete", keysFile);
    expect(complete.warnings).toEqual(ofRights(storage));
    expect(readFileSync(join(complete.dataDir, "secrets-key.json"), "utf8").trim()).toBe(
      readFileSync(join(central.dataDir, "secrets-key.json"), "utf8").trim(),
    );
  });

  it("refuses a target that is not empty, and with --replace moves it aside whole", async () => {
    await using central = await startTestCentral({ storage });
    using folder = temporaryFolder();
    const { file } = await backUp(backupOf(central, folder.path));
    const { adminToken, dataDir, database } = central;
    const options = { file, dataDir, databaseUrl: database?.url, clock: systemClock };
    await expect(restore({ ...options, replace: true })).rejects.toMatchObject({
      code: "DATA_FOLDER_LOCKED",
      message: expect.stringMatching(/a central runs on .*, or another restore fills it: stop it first/),
    });
    await central.addSite("made-after-the-backup");
    await central.stop();
    await expect(restore({ ...options, replace: false })).rejects.toMatchObject({ code: "CONFIG_INVALID" });
    const before = readdirSync(dataDir).filter((name) => !name.includes("lock"));
    const { movedTo, kept } = await restore({ ...options, replace: true });
    expect(readdirSync(movedTo[0]!).sort()).toEqual(before.sort());
    expect(kept).toContain("admin.token");
    expect(movedTo).toHaveLength(storage === "postgres" ? 2 : 1);
    await central.restart();
    expect(central.adminToken).toBe(adminToken);
    expect((await central.admin<{ sites: unknown[] }>("GET", "/v1/sites")).body.sites).toEqual([]);
  });
});

describe.skipIf(!kinds.includes("postgres"))("a backup between storages", () => {
  it("is refused with a sentence", async () => {
    await using sqlite = await startTestCentral();
    await using postgres = await startTestCentral({ storage: "postgres" });
    using folder = temporaryFolder();
    const dataDir = join(folder.path, "new");
    const one = await backUp(backupOf(sqlite, folder.path));
    const other = await backUp(backupOf(postgres, folder.path, { out: join(folder.path, "other") }));
    const databaseUrl = postgres.database!.url;
    await expect(restore({ file: one.file, dataDir, databaseUrl, replace: true, clock: systemClock })).rejects.toThrow(
      /leave --database out/,
    );
    await expect(restore({ file: other.file, dataDir, replace: true, clock: systemClock })).rejects.toThrow(/--database/);
    expect(existsSync(dataDir)).toBe(false);
  });
});

describe.each(kinds)("a restore and a backup, on %s", (storage) => {
  it("are not run beside each other", async () => {
    await using central = await startTestCentral({ storage });
    using folder = temporaryFolder();
    const { file } = await backUp(backupOf(central, folder.path));
    await central.stop();
    const { dataDir, database } = central;
    const options = { file, dataDir, databaseUrl: database?.url, replace: true, clock: systemClock };
    const refused: unknown[] = [];
    const pending: Promise<unknown>[] = [];
    const tryRestore = () => restore(options).catch((error: { code?: string }) => refused.push(error.code));
    // each asks for the other as soon as it works
    await backUp(
      backupOf(central, folder.path, {
        out: join(folder.path, "beside"),
        progress: () => {
          pending.push(tryRestore());
          return () => {};
        },
      }),
    );
    await Promise.all(pending);
    expect(refused.length).toBe(pending.length);
    expect(new Set(refused)).toEqual(new Set(["DATA_FOLDER_LOCKED"]));
    let tried: Promise<unknown> | undefined;
    await restore({
      ...options,
      progress: () => {
        tried ??= backUp(backupOf(central, folder.path, { out: join(folder.path, "during") })).catch((error) => error.code);
        return () => {};
      },
    });
    expect(await tried).toBe("DATA_FOLDER_LOCKED");
  });
});

describe("a backup of a disk in trouble", () => {
  it("has its name only once it was read back: what the disk did not keep as it was written is no backup", async () => {
    await using central = await startTestCentral();
    using folder = temporaryFolder();
    const spoil = (): void => {
      const [scratch = ""] = readdirSync(folder.path);
      const staged = join(folder.path, scratch, "backup");
      const bytes = readFileSync(staged);
      bytes.fill(0, bytes.length / 2, bytes.length / 2 + 512);
      writeFileSync(staged, bytes);
    };
    const progress = (doing: string) => {
      if (doing === "reading it back") spoil();
      return () => {};
    };
    await expect(backUp(backupOf(central, folder.path, { progress }))).rejects.toThrow();
    expect(readdirSync(folder.path)).toEqual([]);
    expect(existsSync(join(central.dataDir, "last-backup.json"))).toBe(false);
  });

  it("is good where that it was taken cannot be noted, and says so", async () => {
    await using central = await startTestCentral();
    using folder = temporaryFolder();
    // as a full disk refuses it
    mkdirSync(join(central.dataDir, "last-backup.json.new"));
    const { file, warnings } = await backUp(backupOf(central, folder.path));
    expect(warnings).toEqual([expect.stringMatching(/^that this backup was taken could not be noted \(.*EISDIR/)]);
    expect((await verify({ file })).warnings).toEqual([]);
  });

  it.skipIf(process.getuid?.() !== 0)("says what stands in its way where that is full or only to be read", async () => {
    await using central = await startTestCentral();
    using folder = temporaryFolder();
    await central.stop();
    using disk = smallDisk(8);
    const dataDir = join(disk.path, "central");
    cpSync(central.dataDir, dataDir, { recursive: true });
    const take = () => backUp(backupOf(central, folder.path, { dataDir }));
    const refused = { code: "DISK_FAILED", message: expect.stringMatching(/full, or only to be read.*copy the folder/) };
    execFileSync("mount", ["-o", "remount,ro", disk.path]);
    await expect(take()).rejects.toMatchObject(refused);
    execFileSync("mount", ["-o", "remount,rw", disk.path]);
    disk.fill(0);
    await expect(take()).rejects.toMatchObject(refused);
    expect(readdirSync(folder.path)).toEqual([]);
  });

  it("says that another process holds the ledger, and not that the disk is full", async () => {
    await using central = await startTestCentral();
    using folder = temporaryFolder();
    await central.stop();
    using other = new DatabaseSync(join(central.dataDir, "ledger.db"));
    other.exec("PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE");
    await expect(backUp(backupOf(central, folder.path))).rejects.toMatchObject({
      code: "DATA_FOLDER_LOCKED",
      message: expect.stringMatching(/^the ledger .*ledger\.db is in use by another process: try again/),
    });
  });
});

it("a backup whose keys have nowhere to go is not begun", async () => {
  await using central = await startTestCentral();
  using folder = temporaryFolder();
  const begun: string[] = [];
  const progress = (doing: string) => {
    begun.push(doing);
    return () => {};
  };
  const keysOut = join(folder.path, "nowhere", "keys.json");
  await expect(backUp(backupOf(central, folder.path, { keysOut, progress }))).rejects.toMatchObject({
    code: "CONFIG_INVALID",
    message: expect.stringContaining(join(folder.path, "nowhere")),
  });
  expect(begun).toEqual([]);
});

it("the file of keys may be named each time, gets keys that came since, and is not written over by others", async () => {
  await using central = await startTestCentral();
  using folder = temporaryFolder();
  await central.admin("PUT", "/v1/secrets/wms", { value: "v" });
  const keysOut = join(folder.path, "keys.json");
  const take = (name: string) => backUp(backupOf(central, folder.path, { out: join(folder.path, name), keysOut }));
  await take("one");
  const keysIn = (): { kid: string }[] => JSON.parse(readFileSync(keysOut, "utf8")).keys;
  const before = keysIn();
  expect((await take("two")).keysFile).toBe(keysOut);
  expect(keysIn()).toEqual(before);
  const secretsKey = join(central.dataDir, "secrets-key.json");
  const another = { ...JSON.parse(readFileSync(secretsKey, "utf8")).keys[0], kid: "another" };
  writeFileSync(secretsKey, JSON.stringify({ keys: [another, ...before] }));
  await take("with-another");
  expect(keysIn().map(({ kid }) => kid)).toEqual(["another", ...before.map(({ kid }) => kid)]);
  writeFileSync(secretsKey, JSON.stringify({ keys: before }));
  await expect(take("three")).rejects.toMatchObject({ code: "CONFIG_INVALID" });
  expect(existsSync(join(folder.path, "three"))).toBe(false);
  expect(keysIn()).toHaveLength(before.length + 1);
});
