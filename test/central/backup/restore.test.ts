import { cpSync, mkdirSync, readdirSync, readFileSync, renameSync, statSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { zstdDecompressSync } from "node:zlib";
import pg from "pg";
import { describe, expect, it } from "vitest";
import { backUp, restore } from "../../../central/backup/main.ts";
import { asideInDatabase } from "../../../central/backup/postgres-copy.ts";
import { Identity } from "../../../gateway/identity/identity.ts";
import { proveEnrollment } from "../../../gateway/identity/proofs.ts";
import { PlantgateError, systemClock } from "../../../protocol/index.ts";
import { backupOf } from "../../support/backups.ts";
import { startTestCentral } from "../../support/central.ts";
import { temporaryFolder } from "../../support/folder.ts";
import { signInAs } from "../../support/people.ts";
import { createDatabase, once } from "../../support/postgres.ts";
import { kinds } from "./plant.ts";

describe.skipIf(!kinds.includes("postgres"))("a database", () => {
  it("that was restored over before is backed up without what lies aside, and restored over again", async () => {
    await using central = await startTestCentral({ storage: "postgres" });
    using folder = temporaryFolder();
    await central.addSite("plant-a");
    await central.database!.query("CREATE SCHEMA others; CREATE TABLE others.theirs (n int)");
    const { file } = await backUp(backupOf(central, folder.path));
    const options = { dataDir: central.dataDir, databaseUrl: central.database?.url, clock: systemClock, replace: true };
    await central.stop();
    await restore({ ...options, file });
    await central.restart();
    await central.addSite("plant-b");
    const second = await backUp(backupOf(central, folder.path, { out: join(folder.path, "second") }));
    const dumped = zstdDecompressSync(readFileSync(second.file));
    expect([dumped.includes("before_"), dumped.includes("theirs")]).toEqual([false, false]);
    await central.addSite("plant-c");
    await central.stop();
    const { movedTo } = await restore({ ...options, file: second.file });
    expect(movedTo).toHaveLength(2);
    await central.restart();
    const { body } = await central.admin<{ sites: { name: string }[] }>("GET", "/v1/sites");
    expect(body.sites.map(({ name }) => name)).toEqual(["plant-a", "plant-b"]);
  });

  it("whose central works in a schema of its own is restored into that, and into no other", async () => {
    const createIn = async (schema: string) => {
      const database = await createDatabase();
      await database.query(`CREATE SCHEMA ${pg.escapeIdentifier(schema)}`);
      await database.query(`ALTER DATABASE ${database.name} SET search_path = ${pg.escapeIdentifier(schema)}`);
      return database;
    };
    await using database = await createIn('Plant "gate"');
    await using empty = await createIn('Plant "gate"');
    await using other = await createDatabase();
    await using central = await startTestCentral({ database });
    using folder = temporaryFolder();
    await central.addSite("plant-a");
    const { file } = await backUp(backupOf(central, folder.path));
    await central.stop();
    const options = { file, dataDir: central.dataDir, clock: systemClock, replace: true };
    await expect(restore({ ...options, databaseUrl: other.url })).rejects.toThrow(/of a schema "Plant "gate"".*search_path/);
    await restore({ ...options, databaseUrl: database.url });
    await central.restart();
    expect((await central.admin<{ sites: unknown[] }>("GET", "/v1/sites")).body.sites).toHaveLength(1);
    await central.stop();
    await restore({ ...options, dataDir: join(folder.path, "new"), databaseUrl: empty.url, replace: false });
    expect(await empty.query('SELECT name FROM "Plant ""gate""".sites')).toEqual([{ name: "plant-a" }]);
  });

  it("is everybody's who had rights on it before, and nobody's else", async () => {
    await using central = await startTestCentral({ storage: "postgres" });
    await using empty = await createDatabase();
    using folder = temporaryFolder();
    const { dataDir, database } = central;
    const [owner, reader] = [`owner of ${database!.name}`, `reader of ${database!.name}`];
    const [ofOwner, ofReader] = [owner, reader].map((name) => pg.escapeIdentifier(name));
    await database!.query(`CREATE ROLE ${ofOwner}; CREATE ROLE ${ofReader}; ALTER TABLE sites OWNER TO ${ofOwner};
      GRANT SELECT ON sites TO ${ofReader} WITH GRANT OPTION; GRANT SELECT (name), UPDATE (name) ON users TO ${ofReader};
      ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT ON TABLES TO ${ofReader}`);
    const rights = (of: NonNullable<typeof database>) =>
      of.query(
        `SELECT has_schema_privilege($1, 'public', 'USAGE') AS usage, has_table_privilege($1, 'sites', 'SELECT WITH GRANT OPTION') AS sites,
          has_any_column_privilege($1, 'users', 'SELECT, INSERT') AS users, has_column_privilege($1, 'users', 'password', 'SELECT') AS passwords,
          has_table_privilege($1, 'audit', 'SELECT') AS audit,
          (SELECT relowner::regrole::text FROM pg_class WHERE oid = 'sites'::regclass) AS owner,
          (SELECT nspowner::regrole::text FROM pg_namespace WHERE oid = 'public'::regnamespace) AS schema`,
        [reader],
      );
    const before = await rights(database!);
    expect(before).toMatchObject([{ usage: true, sites: true, users: true, passwords: false, audit: false, owner: ofOwner }]);
    const { file } = await backUp(backupOf(central, folder.path));
    await central.stop();
    const options = { file, clock: systemClock };
    const { warnings } = await restore({ ...options, dataDir, databaseUrl: database!.url, replace: true });
    expect([await rights(database!), warnings]).toEqual([before, []]);
    await database!.query("CREATE TABLE later (n int)");
    expect(await database!.query("SELECT has_table_privilege($1, 'later', 'SELECT') AS later", [reader])).toEqual([
      { later: true },
    ]);
    await central.restart();
    // whose rights those were is not in a backup
    const elsewhere = await restore({ ...options, dataDir: join(folder.path, "new"), databaseUrl: empty.url, replace: false });
    expect(elsewhere.warnings).toEqual([expect.stringContaining("Rights of other roles are not in a backup")]);
  });

  it("is filled also by a role that may not give all of them again, which is told", async () => {
    await using database = await createDatabase();
    const [own, other] = [`filler_${database.name}`, `other_${database.name}`];
    await database.query(`CREATE ROLE ${own} LOGIN; CREATE ROLE ${other}; ALTER DATABASE ${database.name} OWNER TO ${own};
      ALTER SCHEMA public OWNER TO ${own}; CREATE TABLE theirs (n int); ALTER TABLE theirs OWNER TO ${other}`);
    const url = new URL(database.url);
    url.username = own;
    const notGiven = await asideInDatabase(url.href, "aside", async () => {
      await once(url.href, `CREATE TABLE theirs (n int); GRANT SELECT ON theirs TO ${other}`);
    });
    expect(notGiven).toEqual([expect.stringMatching(`^ALTER TABLE public.theirs OWNER TO ${other} \\(.*must be`)]);
    expect(await database.query("SELECT obj_description('public'::regnamespace, 'pg_namespace') AS mark")).toEqual([
      { mark: null },
    ]);
  });

  it("is nobody's who has rights by default on what is made anew, and had none on it before", async () => {
    await using central = await startTestCentral({ storage: "postgres" });
    using folder = temporaryFolder();
    const { dataDir, database } = central;
    const guest = `guest_${database!.name}`;
    await database!.query(`CREATE ROLE ${guest}; GRANT SELECT ON users TO ${guest}; ALTER DEFAULT PRIVILEGES GRANT CREATE ON SCHEMAS TO ${guest};
      ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO ${guest} WITH GRANT OPTION`);
    const rights = () =>
      database!.query(
        `SELECT has_schema_privilege($1, 'public', 'CREATE') AS schema, has_table_privilege($1, 'sites', 'SELECT') AS sites,
          has_table_privilege($1, 'users', 'SELECT') AS users, has_table_privilege($1, 'users', 'SELECT WITH GRANT OPTION') AS given`,
        [guest],
      );
    const { file } = await backUp(backupOf(central, folder.path));
    await central.stop();
    const { warnings } = await restore({ file, dataDir, databaseUrl: database!.url, replace: true, clock: systemClock });
    expect([await rights(), warnings]).toEqual([[{ schema: false, sites: false, users: true, given: false }], []]);
  });

  it("is given back by a role that owns the schema, and the tables to those who may make some in it", async () => {
    await using database = await createDatabase();
    const [own, other] = [`filler_${database.name}`, `other_${database.name}`];
    await database.query(`CREATE ROLE ${other}; CREATE ROLE ${own} LOGIN IN ROLE ${other}; ALTER DATABASE ${database.name} OWNER TO ${own};
      ALTER SCHEMA public OWNER TO ${own}; GRANT CREATE ON SCHEMA public TO ${other};
      CREATE TABLE theirs (n int); ALTER TABLE theirs OWNER TO ${other}`);
    const url = new URL(database.url);
    url.username = own;
    expect(
      await asideInDatabase(url.href, "aside", async () => void (await once(url.href, "CREATE TABLE theirs (n int)"))),
    ).toEqual([]);
    expect(await database.query("SELECT relowner::regrole::text AS owner FROM pg_class WHERE oid = 'theirs'::regclass")).toEqual([
      { owner: other },
    ]);
  });

  it("whose restore was cut off is not started on, nor backed up; the next run fills it and names what lies aside", async () => {
    await using central = await startTestCentral({ storage: "postgres" });
    using folder = temporaryFolder();
    await central.addSite("plant-a");
    const { file } = await backUp(backupOf(central, folder.path));
    await central.stop();
    const { dataDir, database } = central;
    // as a run leaves it that dies between moving aside and filling
    await database!.query(
      "ALTER SCHEMA public RENAME TO before_20261127t120000000z; CREATE SCHEMA public; COMMENT ON SCHEMA public IS 'plantgate: a restore fills this schema'",
    );
    await expect(central.restart()).rejects.toMatchObject({
      code: "CONFIG_INVALID",
      message: expect.stringContaining("restore"),
    });
    await expect(backUp(backupOf(central, folder.path, { out: join(folder.path, "half") }))).rejects.toThrow(
      /did not come to its end/,
    );
    writeFileSync(join(dataDir, "restoring"), "20261127T120000000Z\n");
    const { movedTo } = await restore({ file, dataDir, databaseUrl: database!.url, replace: true, clock: systemClock });
    expect(movedTo).toContain("schema before_20261127t120000000z of the database");
    await central.restart();
    expect((await central.admin<{ sites: unknown[] }>("GET", "/v1/sites")).body.sites).toHaveLength(1);
  });
});

describe.skipIf(!kinds.includes("postgres"))("a database whose restore was cut off", () => {
  const moved = "ALTER SCHEMA public RENAME TO before_20261127t120000000z; CREATE SCHEMA public;";
  const mark = "COMMENT ON SCHEMA public IS 'plantgate: a restore fills this schema';";
  it.each([
    ["before it was filled, is everybody's who had rights before", `${moved} ${mark}`, true, []],
    [
      "before rights were given, is everybody's who had rights before",
      `${moved} ${mark} CREATE TABLE sites (name text)`,
      true,
      [],
    ],
    [
      "and was empty, is nobody's, which is told",
      `DROP SCHEMA public CASCADE; CREATE SCHEMA public; ${mark} CREATE TABLE sites (name text)`,
      false,
      [expect.stringContaining("Rights of other roles are not in a backup")],
    ],
  ])("%s", async (_, left, readable, told) => {
    await using central = await startTestCentral({ storage: "postgres" });
    using folder = temporaryFolder();
    const { dataDir, database } = central;
    const reader = `reader_${database!.name}`;
    await database!.query(`CREATE ROLE ${reader}; GRANT SELECT ON sites TO ${reader}`);
    const { file } = await backUp(backupOf(central, folder.path));
    await central.stop();
    await database!.query(left);
    writeFileSync(join(dataDir, "restoring"), "20261127T120000000Z\n");
    const { warnings } = await restore({ file, dataDir, databaseUrl: database!.url, replace: true, clock: systemClock });
    const rights = await database!.query("SELECT has_table_privilege($1, 'sites', 'SELECT') AS readable", [reader]);
    expect([rights, warnings]).toEqual([[{ readable }], told]);
    await central.restart();
  });

  it("keeps its remark where the next one fails with nothing in it: what was there lies aside", async () => {
    await using database = await createDatabase();
    await database.query(`${moved} ${mark}`);
    const filled = asideInDatabase(database.url, "aside", () =>
      Promise.reject(new PlantgateError("PEER_UNREACHABLE", "not now")),
    );
    await expect(filled).rejects.toThrow("not now");
    expect(await database.query("SELECT obj_description('public'::regnamespace, 'pg_namespace') AS mark")).toEqual([
      { mark: "plantgate: a restore fills this schema" },
    ]);
  });
});

describe.skipIf(!kinds.includes("postgres"))("a restore that a database refuses", () => {
  it("leaves ledger and folder as they were", async () => {
    await using central = await startTestCentral({ storage: "postgres" });
    using folder = temporaryFolder();
    await central.addSite("plant-a");
    const { file } = await backUp(backupOf(central, folder.path));
    await central.addSite("plant-b");
    await central.stop();
    const { dataDir, database } = central;
    // nothing can be made in the schema that takes its place
    await database!.query(
      "CREATE FUNCTION refuse() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'not now'; END $$",
    );
    await database!.query(
      "CREATE EVENT TRIGGER refusing ON ddl_command_end WHEN TAG IN ('CREATE TABLE') EXECUTE FUNCTION refuse()",
    );
    await expect(restore({ file, dataDir, databaseUrl: database!.url, replace: true, clock: systemClock })).rejects.toMatchObject(
      { code: "PEER_UNREACHABLE", message: expect.stringContaining("not now") },
    );
    await database!.query("DROP EVENT TRIGGER refusing");
    expect(readdirSync(dataDir).filter((name) => /restor|before/.test(name))).toEqual([]);
    await central.restart();
    const { body } = await central.admin<{ sites: { name: string }[] }>("GET", "/v1/sites");
    expect(body.sites.map(({ name }) => name)).toEqual(["plant-a", "plant-b"]);
  });
});

describe.skipIf(!kinds.includes("postgres"))("a restore whose database goes away", () => {
  it("once it is filled says so, and leaves the remark with which no central starts", async () => {
    await using database = await createDatabase();
    await database.query("CREATE TABLE theirs (n int)");
    const filled = asideInDatabase(database.url, "before_20261127t120000000z", async () => {
      await database.query(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()",
      );
    });
    await expect(filled).rejects.toMatchObject({
      code: "PEER_UNREACHABLE",
      message: expect.stringMatching(
        `the ledger is in the database .*${database.name}.* lies in the schema before_20261127t120000000z. Run the restore again`,
      ),
    });
    expect(await database.query("SELECT obj_description('public'::regnamespace, 'pg_namespace') AS mark")).toEqual([
      { mark: "plantgate: a restore fills this schema" },
    ]);
  });

  it("while it is filled keeps the mark in the folder where what was there could not be put back, and the next run names what lies aside", async () => {
    await using central = await startTestCentral({ storage: "postgres" });
    using folder = temporaryFolder();
    await central.addSite("plant-a");
    const { file } = await backUp(backupOf(central, folder.path));
    await central.stop();
    const { dataDir, database } = central;
    await database!.query(`CREATE FUNCTION cut() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN
      PERFORM pg_terminate_backend(pid) FROM pg_stat_activity
        WHERE datname = current_database() AND application_name = 'plantgate-central';
      RAISE EXCEPTION 'cut off'; END $$`);
    await database!.query("CREATE EVENT TRIGGER cutting ON ddl_command_end WHEN TAG IN ('CREATE TABLE') EXECUTE FUNCTION cut()");
    const options = { file, dataDir, databaseUrl: database!.url, replace: true, clock: systemClock };
    await expect(restore(options)).rejects.toMatchObject({
      code: "PEER_UNREACHABLE",
      message: expect.stringMatching(
        /cut off.*could not be put back: it lies in the schema before_\d{8}t\d{9}z\. Run the restore again/,
      ),
    });
    await database!.query("DROP EVENT TRIGGER cutting");
    await expect(central.restart()).rejects.toMatchObject({ code: "CONFIG_INVALID" });
    const { movedTo } = await restore(options);
    expect(movedTo.filter((name) => name.startsWith("schema before_"))).toHaveLength(1);
    await central.restart();
    expect((await central.admin<{ sites: unknown[] }>("GET", "/v1/sites")).body.sites).toHaveLength(1);
  });
});

describe.skipIf(!kinds.includes("postgres"))("a database that was empty", () => {
  it("is not started on where a restore filled it and failed behind that", async () => {
    await using central = await startTestCentral({ storage: "postgres" });
    await using database = await createDatabase();
    using folder = temporaryFolder();
    const { file } = await backUp(backupOf(central, folder.path));
    // whose sessions are over is said behind the filling
    await database.query(
      "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'not now'; END $$",
    );
    await database.query(`CREATE FUNCTION watch() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN
      IF EXISTS (SELECT FROM pg_event_trigger_ddl_commands() WHERE object_identity = 'public.operator_sessions') THEN
        CREATE TRIGGER refusing BEFORE DELETE ON public.operator_sessions EXECUTE FUNCTION public.refuse();
      END IF; END $$`);
    await database.query(
      "CREATE EVENT TRIGGER watching ON ddl_command_end WHEN TAG IN ('CREATE TABLE') EXECUTE FUNCTION watch()",
    );
    const options = { file, dataDir: join(folder.path, "new"), databaseUrl: database.url, clock: systemClock };
    await expect(restore({ ...options, replace: false })).rejects.toMatchObject({ code: "PEER_UNREACHABLE" });
    const replica = join(folder.path, "replica");
    mkdirSync(replica);
    cpSync(join(central.dataDir, "signing-key.json"), join(replica, "signing-key.json"));
    await expect(startTestCentral({ database, dataDir: replica })).rejects.toMatchObject({
      code: "CONFIG_INVALID",
      message: expect.stringContaining("restore"),
    });
    await database.query("DROP EVENT TRIGGER watching");
    await restore({ ...options, replace: true });
    await using back = await startTestCentral({ database, dataDir: replica });
    expect((await back.admin("GET", "/v1/sites")).status).toBe(200);
  });
});

describe("a restored folder", () => {
  it("goes on with a signing key that gateways have pinned since", async () => {
    await using central = await startTestCentral();
    using folder = temporaryFolder();
    const { file } = await backUp(backupOf(central, folder.path));
    expect((await central.admin("POST", "/v1/signing-keys/rotate", { overlapSeconds: 60 })).status).toBe(200);
    const kid = async () => (await central.admin("GET", "/v1/signing-key")).body.kid;
    const newer = await kid();
    await central.stop();
    const { kept } = await restore({ file, dataDir: central.dataDir, replace: true, clock: systemClock });
    expect(kept).toContain("signing-key.json");
    await central.restart();
    expect(await kid()).toBe(newer);
  });

  it("goes on with what goes on though the restore was cut off again and again", async () => {
    await using central = await startTestCentral();
    using folder = temporaryFolder();
    const { dataDir, adminToken } = central;
    const { file } = await backUp(backupOf(central, folder.path));
    await central.admin("PUT", "/v1/secrets/wms", { value: "v" });
    await central.stop();
    const stamps = ["20261127T120000000Z", "20261127T120001000Z", "20261127T120002000Z"];
    const moved = ["admin.token", "secrets-key.json", "ledger.seen"];
    for (const [index, stamp] of stamps.entries()) {
      mkdirSync(join(dataDir, `before-${stamp}`));
      renameSync(join(dataDir, moved[index]!), join(dataDir, `before-${stamp}`, moved[index]!));
    }
    writeFileSync(join(dataDir, "restoring"), stamps.map((stamp) => `${stamp}\n`).join(""));
    const { kept } = await restore({ file, dataDir, replace: true, clock: systemClock });
    expect(kept).toEqual(expect.arrayContaining(moved));
    await central.restart();
    expect(central.adminToken).toBe(adminToken);
  });

  it("keeps the folders that lie in it where they are: they are somebody else's, and may be a disk of their own", async () => {
    await using central = await startTestCentral();
    using folder = temporaryFolder();
    const { dataDir } = central;
    const backups = join(dataDir, "backups");
    mkdirSync(backups);
    const { file } = await backUp(backupOf(central, folder.path, { out: backups }));
    await central.stop();
    const { movedTo } = await restore({ file, dataDir, replace: true, clock: systemClock });
    expect([readdirSync(backups), readdirSync(movedTo[0]!).includes("backups")]).toEqual([[basename(file)], false]);
    await central.restart();
  });

  it("may be a disk of its own", async () => {
    await using central = await startTestCentral();
    using folder = temporaryFolder();
    const { file } = await backUp(backupOf(central, folder.path));
    const dataDir = join(folder.path, "disk");
    mkdirSync(join(dataDir, "lost+found"), { recursive: true });
    const { movedTo } = await restore({ file, dataDir, replace: false, clock: systemClock });
    expect([movedTo, readdirSync(dataDir)]).toEqual([[], expect.arrayContaining(["lost+found", "ledger.db"])]);
  });

  it("lets nobody in by a session or a token of enrollment of before, and central does not start on half of one", async () => {
    await using central = await startTestCentral();
    using folder = temporaryFolder();
    await central.addSite("plant-a");
    const anna = await signInAs(central, "anna");
    const { url } = (await central.admin<{ url: string }>("POST", "/v1/users/anna/links", {})).body;
    const made = await central.admin<{ token: string }>("POST", "/v1/sites/plant-a/enrollment-tokens", {});
    const enrollment = JSON.stringify(await proveEnrollment(Identity.open(folder.path).current, made.body.token));
    const link = (): Promise<Response> =>
      fetch(`${central.url}${new URL(url).pathname}${new URL(url).search}`, { redirect: "manual" });
    const letIn = async (): Promise<number[]> => {
      const asked = [
        await fetch(`${central.url}/v1/session`, { headers: { cookie: anna.cookie } }),
        await link(),
        await fetch(`${central.url}/v1/enroll`, {
          method: "POST",
          headers: { "content-type": "application/json" },
          body: enrollment,
        }),
      ];
      return asked.map(({ status }) => status);
    };
    const { file } = await backUp(backupOf(central, folder.path));
    expect(await letIn()).toEqual([200, 302, 200]);
    await central.stop();
    await restore({ file, dataDir: central.dataDir, replace: true, clock: systemClock });
    for (const name of ["ledger.db", "signing-key.json"])
      expect([name, statSync(join(central.dataDir, name)).mode & 0o077]).toEqual([name, 0]);
    await central.restart();
    const [session = 0, code = 0, token = 0] = await letIn();
    expect([session, token]).toEqual([401, 403]);
    expect(code).toBeGreaterThanOrEqual(400);
    await central.stop();
    writeFileSync(join(central.dataDir, "restoring"), "");
    await expect(central.restart()).rejects.toMatchObject({
      code: "CONFIG_INVALID",
      message: expect.stringContaining("--replace"),
    });
    await expect(backUp(backupOf(central, folder.path, { out: join(folder.path, "half") }))).rejects.toThrow(
      /did not come to its end/,
    );
    await restore({ file, dataDir: central.dataDir, replace: true, clock: systemClock });
    await central.restart();
  });
});
