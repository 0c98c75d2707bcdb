import { generateKeyPairSync } from "node:crypto";
import { copyFileSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Kysely } from "kysely";
import { Migrator } from "kysely/migration";
import { describe, expect, it } from "vitest";
import { fingerprintOf } from "../../../central/site/public-key.ts";
import { openSqlite } from "../../../central/storage/database.ts";
import { LedgerGate } from "../../../central/storage/gate.ts";
import { migrations } from "../../../central/storage/migrations.ts";
import { postgresDialect } from "../../../central/storage/postgres.ts";
import { sqliteDialect } from "../../../central/storage/sqlite-dialect.ts";
import { CentralKeys } from "../../../gateway/identity/central-keys.ts";
import { Identity } from "../../../gateway/identity/identity.ts";
import type { SigningChain } from "../../../protocol/index.ts";
import { eventually, startTestCentral, type TestCentral } from "../../support/central.ts";
import { temporaryFolder } from "../../support/folder.ts";
import { openTestStorage, storages } from "../../support/storages.ts";

const chainOf = async ({ url }: TestCentral): Promise<SigningChain> =>
  (await (await fetch(`${url}/v1/signing-keys`)).json()) as SigningChain;
const kidOf = async ({ url }: TestCentral): Promise<string> =>
  ((await (await fetch(`${url}/v1/signing-key`)).json()) as { kid: string }).kid;
const rotate = (central: TestCentral) => central.admin<{ kid: string; detail: string }>("POST", "/v1/signing-keys/rotate", {});

describe.each(await storages())("central's signing key on %s", (storage) => {
  it("is changed with a chain that a gateway follows from the key that it pinned, over two changes", async () => {
    using folder = temporaryFolder();
    Identity.open(folder.path);
    await using central = await startTestCentral({ storage });
    const pinned = await CentralKeys.judge(folder.path, await chainOf(central));
    const first = await kidOf(central);
    const [second, third] = [await rotate(central), await rotate(central)];
    expect([second.status, third.status, await kidOf(central)]).toEqual([200, 200, third.body.kid]);
    await pinned.learn(await chainOf(central));
    expect(pinned.newest).toBe(third.body.kid);
    expect((await chainOf(central)).keys.map(({ kid }) => kid)).toEqual([first, second.body.kid, third.body.kid]);
    await central.restart();
    expect(await kidOf(central)).toBe(third.body.kid);
    expect((await chainOf(central)).keys).toHaveLength(3);
  });

  it("is finished changing after a crash behind what the ledger has of it", async () => {
    await using central = await startTestCentral({ storage });
    const file = join(central.dataDir, "signing-key.json");
    const before = readFileSync(file, "utf8");
    const { kid } = (await rotate(central)).body;
    const { kty, crv, x, d } = JSON.parse(readFileSync(file, "utf8"));
    await central.stop();
    // as it lies there between the two
    writeFileSync(file, before);
    writeFileSync(join(central.dataDir, "signing-key.next.json"), JSON.stringify({ kty, crv, x, d }));
    await central.restart();
    expect(await kidOf(central)).toBe(kid);
    expect(existsSync(join(central.dataDir, "signing-key.next.json"))).toBe(false);
  });

  it("has its chain again where only the key itself was put into the folder", async () => {
    await using central = await startTestCentral({ storage });
    await rotate(central);
    const file = join(central.dataDir, "signing-key.json");
    const { chain, ...key } = JSON.parse(readFileSync(file, "utf8"));
    await central.stop();
    writeFileSync(file, JSON.stringify(key));
    await central.restart();
    expect((await chainOf(central)).keys).toEqual(chain);
  });

  it("is changed by one of those who ask for it at once", async () => {
    await using central = await startTestCentral({ storage });
    const statuses = (await Promise.all([1, 2, 3].map(() => rotate(central)))).map(({ status }) => status);
    expect(statuses.filter((status) => status !== 200 && status !== 409)).toEqual([]);
    const changed = statuses.filter((status) => status === 200).length;
    expect((await chainOf(central)).keys).toHaveLength(1 + changed);
    await central.restart();
    expect((await chainOf(central)).keys).toHaveLength(1 + changed);
  });

  it("is not another one because its file is gone, unless a person decides so", async () => {
    const dataDir = mkdtempSync(join(tmpdir(), "plantgate-central-"));
    await using central = await startTestCentral({ storage, dataDir });
    const lost = await kidOf(central);
    await central.stop();
    rmSync(join(dataDir, "signing-key.json"));
    await expect(central.restart()).rejects.toMatchObject({ code: "CONFIG_INVALID" });
    const own = { dataDir, ...(central.database ? { database: central.database } : {}) };
    await using anew = await startTestCentral({ storage, ...own, settings: { newSigningKey: true } });
    expect(await kidOf(anew)).not.toBe(lost);
    expect((await chainOf(anew)).keys).toHaveLength(1);
    const said = await anew.admin<{ entries: unknown[] }>("GET", "/v1/audit?before=0&limit=1&action=signing-key.begunAnew");
    expect(said.body.entries).toMatchObject([{ actor: "central", detail: { kid: await kidOf(anew), before: lost } }]);
    await anew.stop();
    rmSync(dataDir, { recursive: true });
  });
});

it("is known again to a ledger that was restored from before the change", async () => {
  await using central = await startTestCentral();
  const ledger = join(central.dataDir, "ledger.db");
  await central.stop();
  copyFileSync(ledger, `${ledger}.backup`);
  await central.restart();
  const { kid } = (await rotate(central)).body;
  await central.stop();
  for (const end of ["", "-wal", "-shm"]) rmSync(ledger + end, { force: true });
  copyFileSync(`${ledger}.backup`, ledger);
  await central.restart();
  expect(await kidOf(central)).toBe(kid);
  expect((await chainOf(central)).keys).toHaveLength(2);
  expect((await rotate(central)).status).toBe(200);
  expect((await chainOf(central)).keys).toHaveLength(3);
});

it.skipIf(!(await storages()).includes("postgres"))(
  "is not changed while a replica that runs has not got the new one, and is followed by those that have",
  async () => {
    await using central = await startTestCentral({ storage: "postgres" });
    await using replica = await central.replica();
    const before = await kidOf(central);
    const refused = await eventually(
      () => rotate(central),
      ({ body }) => body.detail?.includes(replica.dataDir) === true,
    );
    expect(refused).toMatchObject({ status: 409 });
    expect([await kidOf(central), await kidOf(replica)]).toEqual([before, before]);
    copyFileSync(join(central.dataDir, "signing-key.next.json"), join(replica.dataDir, "signing-key.next.json"));
    const { body } = await eventually(
      () => rotate(central),
      ({ status }) => status === 200,
    );
    await eventually(
      () => kidOf(replica),
      (kid) => kid === body.kid,
    );
    expect(await chainOf(replica)).toEqual(await chainOf(central));
    // one that was not there meanwhile is told what it needs
    await replica.stop();
    expect((await rotateAlone(central)).status).toBe(200);
    await expect(replica.restart()).rejects.toMatchObject({ code: "CONFIG_INVALID" });
    copyFileSync(join(central.dataDir, "signing-key.json"), join(replica.dataDir, "signing-key.json"));
    await replica.restart();
    expect(await kidOf(replica)).toBe(await kidOf(central));
  },
);
const rotateAlone = (central: TestCentral) =>
  eventually(
    () => rotate(central),
    ({ status }) => status === 200,
  );

it.each(await storages())("makes the key that a site was pinned to its active one, on %s", async (kind) => {
  await using storage = await openTestStorage(kind, { isNew: true });
  const { target } = storage;
  const db = new Kysely<Record<string, Record<string, unknown>>>({
    dialect:
      target.kind === "sqlite"
        ? sqliteDialect(() => openSqlite(target.file))
        : postgresDialect(target.url, "migrating", new LedgerGate()),
  });
  const migrator = new Migrator({ db, provider: migrations });
  expect((await migrator.migrateTo("0004-set-aside")).error).toBeUndefined();
  const pem = () => generateKeyPairSync("ed25519").publicKey.export({ type: "spki", format: "pem" }) as string;
  const [lyon, lost] = [pem(), pem()];
  const site = (name: string, public_key: string, revoked_at: number | null) => ({
    ...{ name, public_key, revoked_at, created_at: 1, labels: "{}", desired_revision: 0, reported_revision: 0 },
    ...{ downlink_epoch: "e", downlink_last: 0, downlink_acked: 0, behind: "{}" },
  });
  await db
    .insertInto("sites")
    .values([site("lyon", lyon, null), site("lost", lost, 7)])
    .execute();
  expect((await migrator.migrateToLatest()).error).toBeUndefined();
  expect(
    await db.selectFrom("gateway_keys").select(["site", "fingerprint", "public_key", "state"]).orderBy("site").execute(),
  ).toEqual([
    { site: "lost", fingerprint: fingerprintOf(lost), public_key: lost, state: "revoked" },
    { site: "lyon", fingerprint: fingerprintOf(lyon), public_key: lyon, state: "active" },
  ]);
  await db.destroy();
});
