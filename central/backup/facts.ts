import { sql } from "kysely";
import { PlantgateError, systemClock } from "../../protocol/index.ts";
import { Audit } from "../audit/audit.ts";
import { readMeta } from "../storage/incarnation.ts";
import { lookAt } from "../storage/seen.ts";
import type { Storage } from "../storage/storage.ts";
import type { LedgerFacts } from "./manifest.ts";

/** Tables whose rows a manifest counts: what a person, or a gateway, would miss. */
const counted = [
  "sites",
  "gateway_keys",
  "batches",
  "slices",
  "quarantine",
  "downlink",
  "document_revisions",
  "changes",
  "rollouts",
  "revisions",
  "users",
  "api_tokens",
  "secret_versions",
  "audit",
] as const;

/**
 * Reads what a ledger holds, and goes through its audit log: what is copied with a broken chain would be restored with one.
 * @param db of one state: a copy, or a transaction's snapshot
 * @throws PlantgateError CONFIG_INVALID where the audit log is not what was written
 */
export async function readFacts(db: Storage): Promise<LedgerFacts> {
  const { rows: steps } = await sql<{ name: string }>`SELECT name FROM kysely_migration ORDER BY name`.execute(db);
  const audit = await new Audit(systemClock).verify(db);
  if (audit.badAt !== null)
    throw new PlantgateError(
      "CONFIG_INVALID",
      `the audit log is not what was written: entry ${audit.badAt} does not fit what stands before it. Find out who changed it; this ledger is not backed up as if it were whole`,
    );
  const now = await lookAt(db);
  const tables: Record<string, number> = {};
  for (const table of counted) {
    const { rows } = await sql<{ count: number }>`SELECT count(*) AS count FROM ${sql.table(table)}`.execute(db);
    tables[table] = Number(rows[0]?.count ?? 0);
  }
  const lanes = await db.selectFrom("lanes").select(["site", "lane", "recorded"]).orderBy("site").orderBy("lane").execute();
  const newest = await db.selectFrom("signing_keys").select("kid").orderBy("number", "desc").limit(1).executeTakeFirst();
  const sealed = await db.selectFrom("secret_versions").select("sealed").where("sealed", "<>", "").execute();
  const keys = [...new Set(sealed.flatMap((row) => kidOf(row.sealed) ?? []))].sort();
  return {
    steps: steps.map(({ name }) => name),
    incarnation: now?.incarnation ?? null,
    positions: now?.positions ?? 0,
    audit: { entries: audit.entries, head: audit.head },
    signingKey: newest?.kid ?? (await readMeta(db, "signing-key")) ?? null,
    secrets: { sealed: sealed.length, keys },
    tables,
    lanes,
  };
}

/** The key that a compact JWE names. */
function kidOf(jwe: string): string | undefined {
  try {
    const { kid } = JSON.parse(Buffer.from(jwe.split(".")[0] ?? "", "base64url").toString("utf8")) as { kid?: unknown };
    return typeof kid === "string" ? kid : undefined;
  } catch {
    return undefined;
  }
}
