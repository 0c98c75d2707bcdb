import pg from "pg";
import { describeError } from "../../protocol/index.ts";

/**
 * Owners and rights of a schema that moved aside, as statements that give the one in its place the same: a dump is taken without them, as the roles of another
 * server are others. Of tables, views and sequences those that both have; what was taken from a role before is given to none, and is taken again where the
 * default rights of whoever restores gave it. Roles have to have CREATE on the schema before they can own something in it.
 * `$1` is the schema in its place, `$2` the one aside.
 */
const rights = `
WITH place AS (SELECT to_regnamespace(quote_ident($1))::oid AS own, to_regnamespace(quote_ident($2))::oid AS before),
spaces AS (
  SELECT old.nspacl, old.nspowner, new.nspacl AS acl_now, new.nspowner AS owner_now
  FROM place JOIN pg_namespace old ON old.oid = before JOIN pg_namespace new ON new.oid = own),
kept AS (
  SELECT old.oid, old.relname, old.relacl, old.relowner, new.relacl AS acl_now, new.relowner AS owner_now,
    format('%s %I.%I', CASE old.relkind WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END, $1::text, old.relname) AS thing
  FROM place JOIN pg_class old ON old.relnamespace = before JOIN pg_class new ON new.relnamespace = own AND new.relname = old.relname
  WHERE old.relkind IN ('r', 'p', 'v', 'm', 'S') AND new.relkind = old.relkind),
said AS (
  SELECT 1 AS turn, format('REVOKE %s ON SCHEMA %I FROM %s', a.privilege_type, $1::text, ${role("a")}) AS statement
  FROM spaces, ${beyond("acl_now", "nspacl")} a WHERE a.grantee NOT IN (nspowner, owner_now)
  UNION ALL SELECT 1, format('REVOKE %s ON %s FROM %s', a.privilege_type, thing, ${role("a")})
  FROM kept, ${beyond("acl_now", "relacl")} a WHERE a.grantee NOT IN (relowner, owner_now)
  UNION ALL SELECT 2, format('ALTER SCHEMA %I OWNER TO %s', $1::text, nspowner::regrole) FROM spaces WHERE nspowner <> owner_now
  UNION ALL SELECT 3, format('GRANT %s ON SCHEMA %I TO %s', a.privilege_type, $1::text, ${grantee("a")})
  FROM spaces, aclexplode(nspacl) a WHERE a.grantee <> nspowner
  UNION ALL SELECT 4, format('ALTER %s OWNER TO %s', thing, relowner::regrole) FROM kept WHERE relowner <> owner_now
  UNION ALL SELECT 5, format('GRANT %s ON %s TO %s', a.privilege_type, thing, ${grantee("a")})
  FROM kept, aclexplode(relacl) a WHERE a.grantee <> relowner
  UNION ALL SELECT 6, format('GRANT %s (%I) ON %s TO %s', a.privilege_type, c.attname, thing, ${grantee("a")})
  FROM kept JOIN pg_attribute c ON c.attrelid = kept.oid AND NOT c.attisdropped, aclexplode(c.attacl) a
  UNION ALL SELECT 7, format('ALTER DEFAULT PRIVILEGES FOR ROLE %s IN SCHEMA %I GRANT %s ON %s TO %s', d.defaclrole::regrole, $1::text, a.privilege_type,
    CASE d.defaclobjtype WHEN 'r' THEN 'TABLES' WHEN 'S' THEN 'SEQUENCES' WHEN 'f' THEN 'FUNCTIONS' ELSE 'TYPES' END, ${grantee("a")})
  FROM place JOIN pg_default_acl d ON d.defaclnamespace = before, aclexplode(d.defaclacl) a)
SELECT statement FROM said ORDER BY turn, statement`;

/** Rights of one list that another one lacks, also such as there may not be handed on: those are given again without that. */
function beyond(acl: string, other: string): string {
  const rightsOf = (of: string) => `SELECT grantee, privilege_type, is_grantable FROM aclexplode(${of})`;
  return `LATERAL (${rightsOf(acl)} EXCEPT ${rightsOf(other)})`;
}

/** Whose a right is; no role has the number 0, which stands for all. */
function role(acl: string): string {
  return `(CASE ${acl}.grantee WHEN 0 THEN 'PUBLIC' ELSE ${acl}.grantee::regrole::text END)`;
}

/** Who, as a right is given to. */
function grantee(acl: string): string {
  return `(${role(acl)} || CASE WHEN ${acl}.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END)`;
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
