import { closeSync, existsSync, openSync, statSync } from "node:fs";
import { DatabaseSync } from "node:sqlite";
import { pathToFileURL } from "node:url";
import pg from "pg";
import { describeError, type Finding, fault, ok, stopping, unchecked } from "../../protocol/index.ts";
import { migrations } from "../storage/migrations.ts";
import { LedgerClient } from "../storage/password-file.ts";
import { clientConfig } from "../storage/pool.ts";
import { describeDatabase, halfRestored, restoringMark, schemaMark } from "../storage/postgres.ts";
import type { CentralFacts } from "./facts.ts";

/** Whether the ledger is there, is one that this program knows, and keeps what it confirms. */
export async function checkDatabase(facts: CentralFacts): Promise<Finding[]> {
  const settings = facts.settings();
  if (!settings.known) return [unchecked(settings.why)];
  const url = settings.value.databaseUrl;
  return url === undefined ? checkFile(facts) : checkServer(facts, url);
}

async function checkFile(facts: CentralFacts): Promise<Finding[]> {
  const { place, hasRun } = facts;
  const file = `${place.dataDir}/ledger.db`;
  if (!existsSync(file) && hasRun)
    return [
      stopping(
        `${file} is missing, which was there before: central would begin anew, and its gateways would not know it`,
        "Put it back if it was moved; else restore the newest backup: plantgate restore",
      ),
    ];
  if (!existsSync(file)) return [unchecked("there is none yet: central has not run")];
  try {
    // SQLite says no more than that it cannot open it
    closeSync(openSync(file, "r"));
    // a file that was closed is looked at as it is; to open it otherwise makes files beside it
    const frozen = existsSync(`${file}-wal`) ? file : new URL(`${pathToFileURL(file).href}?immutable=1`);
    const db = new DatabaseSync(frozen, { readOnly: true, timeout: 3000 });
    try {
      const done = namesOf(db, "SELECT name FROM kysely_migration ORDER BY name");
      const damage = statSync(file).size > mostLookedThrough ? undefined : firstDamage(db);
      if (damage !== undefined) return [damaged(file, damage)];
      const kids = namesOf(db, "SELECT kid AS name FROM signing_keys ORDER BY number");
      return [(await otherKey(facts, kids, file)) ?? (await judgeSteps(done, file))];
    } finally {
      db.close();
    }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EACCES")
      return [unchecked(`${file} cannot be opened: a matter of permissions`)];
    return [damaged(file, describeError(error))];
  }
}

function damaged(file: string, why: string): Finding {
  return stopping(
    `${file} cannot be read: ${why}`,
    "Look at the disk (dmesg, smartctl); stop central, and restore the newest backup: plantgate restore",
  );
}

function namesOf(db: DatabaseSync, query: string): string[] {
  try {
    return db
      .prepare(query)
      .all()
      .map(({ name }) => String(name));
  } catch (error) {
    // a ledger of an older version, that has yet to get that table
    if (describeError(error).includes("no such table: signing_keys")) return [];
    throw error;
  }
}

/** As central's own start judges it: the folder's key leads on from the ledger's, or was one of them. */
async function otherKey(facts: CentralFacts, told: readonly string[], where: string): Promise<Finding | undefined> {
  const own = await facts.signingKids();
  if (!own || told.length === 0) return undefined;
  const leadsOn = told.every((kid, index) => own[index] === kid);
  if (leadsOn || told.includes(own.at(-1) as string)) return undefined;
  return stopping(
    `${where} belongs to a central with another signing key than signing-key.json of ${facts.place.dataDir}`,
    "Put signing-key.json of another replica, or of the backup, there; if that key is lost for good: start once with --new-signing-key, and enroll every gateway anew",
  );
}

/** A larger one is looked through by its backup. */
const mostLookedThrough = 256 * 1024 * 1024;

function firstDamage(db: DatabaseSync): string | undefined {
  const said = String(Object.values(db.prepare("PRAGMA quick_check(1)").get() ?? {})[0]);
  return said === "ok" ? undefined : (said.split("\n").at(-1) as string);
}

async function checkServer(facts: CentralFacts, url: string): Promise<Finding[]> {
  const where = describeDatabase(url);
  const host = facts.databaseHost();
  if (host !== undefined && !(await facts.resolves(host))) return [unchecked(`the name ${host} does not resolve`)];
  const client = new LedgerClient({ ...clientConfig(url), statement_timeout: 3000, query_timeout: 5000 });
  client.on("error", () => {});
  try {
    await client.connect();
    const settings = ["fsync", "full_page_writes", "synchronous_commit", "server_version"];
    const { rows } = await client.query<Record<string, string>>(
      `SELECT ${settings.map((name) => `current_setting('${name}') AS ${name}`).join(", ")}, pg_is_in_recovery()::text AS standby, ${schemaMark} AS mark`,
    );
    const [row = {}] = rows;
    const loose = settings.slice(0, 3).filter((name) => row[name] === "off");
    const findings: Finding[] = [];
    if (loose.length > 0)
      findings.push(
        fault(
          `${where} can lose what it confirmed: ${loose.map((name) => `${name} = off`).join(", ")}`,
          "Set them to on (postgresql.conf; of synchronous_commit also ALTER ROLE or DATABASE … RESET): central refuses to start so",
        ),
      );
    if (row.standby === "true")
      findings.push(fault(`${where} is a standby, and takes no writes`, "Give central the address of the primary"));
    if (row.mark === restoringMark)
      return [...findings, stopping(`${where}: ${halfRestored().message}`, "plantgate restore --help")];
    const shut = await withoutRights(client, where);
    if (shut) return [...findings, shut];
    const steps = await namesAt(client, "SELECT name FROM kysely_migration ORDER BY name");
    const kids = await namesAt(client, "SELECT kid AS name FROM signing_keys ORDER BY number");
    const foreign = await otherKey(facts, kids ?? [], where);
    if (foreign) findings.push(foreign);
    findings.push(steps ? await judgeSteps(steps, `${where}, PostgreSQL ${row.server_version}`) : noLedger(facts, where));
    return findings.filter(({ level }, _, all) => level !== "ok" || all.length === 1);
  } catch (error) {
    return [
      fault(
        `${where} is not reached: ${describeError(error)}`,
        "Does PostgreSQL run, and may this user connect from here (pg_hba.conf, PGPASSFILE)? Central answers 503 meanwhile",
      ),
    ];
  } finally {
    void client.end().catch(() => {});
  }
}

/** Undefined: there is no such table yet. */
async function namesAt(client: pg.Client, query: string): Promise<string[] | undefined> {
  try {
    return (await client.query<{ name: string }>(query)).rows.map(({ name }) => name);
  } catch (error) {
    if (error instanceof pg.DatabaseError && error.code === undefinedTable) return undefined;
    throw error;
  }
}
const undefinedTable = "42P01";

/** Of central's own tables, whatever else lies beside them: all that it does there. A dump that was put back without its owners takes them away. */
async function withoutRights(client: pg.Client, where: string): Promise<Finding | undefined> {
  const all = ["SELECT", "INSERT", "UPDATE", "DELETE"]
    .map((right) => `has_table_privilege(pg_class.oid, '${right}')`)
    .join(" AND ");
  const { rows } = await client.query<{ name: string; role: string }>(
    `SELECT relname AS name, current_user AS role FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
     WHERE nspname = current_schema() AND relkind = 'r' AND NOT (${all})
     AND relowner IN (SELECT own.relowner FROM pg_class own WHERE own.relnamespace = pg_namespace.oid AND own.relname = 'kysely_migration')
     ORDER BY relname`,
  );
  const [first] = rows;
  if (!first) return undefined;
  const more = rows.length > 1 ? ` and ${rows.length - 1} more of its tables` : "";
  return stopping(
    `${where}: the user ${first.role} may not read and write ${first.name}${more}`,
    `As the owner of these tables, or as the database's administrator: GRANT ALL ON ALL TABLES IN SCHEMA … TO "${first.role}"; better still, make that user their owner`,
  );
}

function noLedger({ hasRun, place }: CentralFacts, where: string): Finding {
  if (!hasRun) return ok(`${where} has no ledger yet`);
  return stopping(
    `${where} holds no ledger, and central ran with ${place.dataDir} before: it would begin anew, and its gateways would not know it`,
    "Is it the right database, and may this user use the schema that the tables lie in? Else restore the newest backup: plantgate restore",
  );
}

async function judgeSteps(done: readonly string[], where: string): Promise<Finding> {
  const known = Object.keys(await migrations.getMigrations());
  const newer = done.filter((step) => !known.includes(step));
  if (newer.length > 0)
    return stopping(
      `${where} was written by a newer version (${newer.join(", ")})`,
      "Run that version or a newer one; to go back restore the backup that was made before the upgrade",
    );
  return ok(
    `${where}, schema ${done.at(-1) ?? "empty"}${done.length < known.length ? ", brought up to date at the next start" : ""}`,
  );
}
