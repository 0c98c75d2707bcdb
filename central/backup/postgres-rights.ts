import pg from "pg";
import { describeError } from "../../protocol/index.ts";

/**
 * Owners and rights of a schema that moved aside, as statements that give the one in its place the same: a dump is taken without them, as the roles of another
 * server are others. Of tables, views and sequences those that both have; what was taken from a role before is given to none.
 * `$1` is the schema in its place, `$2` the one aside.
 */
const rights = `
WITH place AS (SELECT to_regnamespace(quote_ident($1))::oid AS own, to_regnamespace(quote_ident($2))::oid AS before),
kept AS (
  SELECT old.oid, old.relname, old.relacl, old.relowner, new.relowner AS owner_now,
    format('%s %I.%I', CASE old.relkind WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END, $1::text, old.relname) AS thing
  FROM place JOIN pg_class old ON old.relnamespace = before JOIN pg_class new ON new.relnamespace = own AND new.relname = old.relname
  WHERE old.relkind IN ('r', 'p', 'v', 'm', 'S') AND new.relkind = old.relkind),
said AS (
  SELECT 1 AS turn, format('ALTER SCHEMA %I OWNER TO %s', $1::text, old.nspowner::regrole) AS statement
  FROM place JOIN pg_namespace old ON old.oid = before JOIN pg_namespace new ON new.oid = own WHERE old.nspowner <> new.nspowner
  UNION ALL SELECT 2, format('ALTER %s OWNER TO %s', thing, relowner::regrole) FROM kept WHERE relowner <> owner_now
  UNION ALL SELECT 3, format('GRANT %s ON SCHEMA %I TO %s', a.privilege_type, $1::text, ${grantee("a")})
  FROM place JOIN pg_namespace n ON n.oid = before, aclexplode(n.nspacl) a WHERE a.grantee <> n.nspowner
  UNION ALL SELECT 4, format('GRANT %s ON %s TO %s', a.privilege_type, thing, ${grantee("a")})
  FROM kept, aclexplode(relacl) a WHERE a.grantee <> relowner
  UNION ALL SELECT 5, format('GRANT %s (%I) ON %s TO %s', a.privilege_type, c.attname, thing, ${grantee("a")})
  FROM kept JOIN pg_attribute c ON c.attrelid = kept.oid AND NOT c.attisdropped, aclexplode(c.attacl) a
  UNION ALL SELECT 6, format('ALTER DEFAULT PRIVILEGES FOR ROLE %s IN SCHEMA %I GRANT %s ON %s TO %s', d.defaclrole::regrole, $1::text, a.privilege_type,
    CASE d.defaclobjtype WHEN 'r' THEN 'TABLES' WHEN 'S' THEN 'SEQUENCES' WHEN 'f' THEN 'FUNCTIONS' ELSE 'TYPES' END, ${grantee("a")})
  FROM place JOIN pg_default_acl d ON d.defaclnamespace = before, aclexplode(d.defaclacl) a)
SELECT statement FROM said ORDER BY turn, statement`;

/** Who, as a right is given to; no role has the number 0, which stands for all. */
function grantee(acl: string): string {
  return `(CASE ${acl}.grantee WHEN 0 THEN 'PUBLIC' ELSE ${acl}.grantee::regrole::text END || CASE WHEN ${acl}.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END)`;
}

/** Gives a schema the owners and rights of the one that it took the place of. @returns what could not be given, each as a statement and why */
export async function giveRights(client: pg.Client, schema: string, aside: string): Promise<string[]> {
  const { rows } = await client.query<{ statement: string }>(rights, [schema, aside]);
  const failed: string[] = [];
  for (const { statement } of rows) {
    try {
      await client.query(statement);
    } catch (error) {
      // a role may own the tables and not be allowed this: the ledger is there all the same
      if (!(error instanceof pg.DatabaseError)) throw error;
      failed.push(`${statement} (${describeError(error)})`);
    }
  }
  return failed;
}
