import { PostgresDialect, type PostgresPool, type PostgresPoolClient } from "kysely";
import pg from "pg";
import { PlantgateError } from "../../protocol/index.ts";

/** Connections of a replica; long polls hold none. */
const maxConnections = 10;
const connectTimeoutMs = 5000;
/** A statement that takes longer is on a server that hangs: nobody waits for ever, and no lock is held for ever. */
const statementTimeoutMs = 30_000;
const lockTimeoutMs = 10_000;

/** Settings without which a server may lose what it has confirmed (rule 6); each with what it has to be. */
const required = [
  { name: "fsync", refused: "off" },
  { name: "full_page_writes", refused: "off" },
  { name: "synchronous_commit", refused: "off" },
] as const;

/**
 * A server that keeps what it confirms. Every new connection is asked for that: after a failover another server may be behind the name.
 * Errors of the connection itself, which have no SQLSTATE, come out as PEER_UNREACHABLE.
 */
export function postgresDialect(url: string): PostgresDialect {
  return new PostgresDialect({ pool: async () => openPool(url) });
}

/** What a connection needs that is opened beside the pool; see {@link openPool}. */
export function clientConfig(url: string): pg.ClientConfig {
  return {
    connectionString: url,
    application_name: "plantgate-central",
    connectionTimeoutMillis: connectTimeoutMs,
    keepAlive: true,
    types: { getTypeParser: parserOf as typeof pg.types.getTypeParser },
  };
}

function openPool(url: string): PostgresPool {
  const pool = new pg.Pool({
    ...clientConfig(url),
    max: maxConnections,
    statement_timeout: statementTimeoutMs,
    lock_timeout: lockTimeoutMs,
    idle_in_transaction_session_timeout: statementTimeoutMs,
    query_timeout: statementTimeoutMs + connectTimeoutMs,
    onConnect: requireFlushes as (client: pg.ClientBase) => void,
  });
  // an idle connection that breaks is opened again when it is needed
  pool.on("error", () => {});
  const wrapped = new WeakMap<pg.PoolClient, PostgresPoolClient>();
  return {
    async connect() {
      const client = await pool.connect().catch(unreachable);
      let known = wrapped.get(client);
      if (!known) {
        known = {
          query: ((sql: string, parameters: unknown[]) =>
            client.query(sql, parameters).catch(told)) as unknown as PostgresPoolClient["query"],
          release: (discard?: boolean) => client.release(discard),
        };
        wrapped.set(client, known);
        // one that breaks between two statements of a transaction is told of by the next one
        client.on("error", () => {});
      }
      return known;
    },
    end: () => pool.end(),
  } as PostgresPool;
}

/** @throws PlantgateError PEER_UNREACHABLE for what no server has said; what a server says passes as it is */
function told(error: unknown): never {
  if (error instanceof pg.DatabaseError || error instanceof PlantgateError) throw error;
  throw new PlantgateError("PEER_UNREACHABLE", "the database does not answer", { cause: error });
}

/** Whatever keeps us from a connection, a server that refuses it as well, is no connection. */
function unreachable(cause: unknown): never {
  if (cause instanceof PlantgateError) throw cause;
  throw new PlantgateError("PEER_UNREACHABLE", "the database cannot be reached", { cause });
}

async function requireFlushes(client: pg.ClientBase): Promise<void> {
  const names = required.map(({ name }) => `current_setting('${name}') AS ${name}`);
  const { rows } = await client.query<Record<string, string>>(`SELECT ${names.join(", ")}`);
  const loose = required.filter(({ name, refused }) => rows[0]?.[name] === refused);
  if (loose.length === 0) return;
  const settings = loose.map(({ name }) => `${name} = on`).join(", ");
  throw new PlantgateError(
    "CONFIG_INVALID",
    `this PostgreSQL server can lose what it confirmed, so that acknowledged messages would be gone after a power cut: set ${settings} (postgresql.conf, or ALTER ROLE/DATABASE … RESET for synchronous_commit)`,
  );
}

/** 8-byte integers are numbers here as on SQLite: none of ours comes near 2^53. Sums of them are `numeric`. */
function parserOf(oid: number, format?: "text" | "binary"): unknown {
  if (oid === pg.types.builtins.INT8 || oid === pg.types.builtins.NUMERIC) return Number;
  return pg.types.getTypeParser(oid, format as "text");
}

/**
 * What a server says when it cannot work now: SQLSTATE classes 08 connection, 53 resources (disk full, too many connections), 57
 * intervention (shutdown, cancelled statement), 58 system; 25006 a read-only standby, 25P03 a transaction cut for idleness, 40001, 40P01
 * and 55P03 a lost race for locks.
 */
export function isPostgresOutage(error: unknown): boolean {
  if (!(error instanceof pg.DatabaseError) || error.code === undefined) return false;
  return /^(?:08|53|57|58)/.test(error.code) || ["25006", "25P03", "40001", "40P01", "55P03"].includes(error.code);
}

/** Where a database is, for a log or a person: never with its password. */
export function describeDatabase(url: string): string {
  try {
    const { protocol, hostname, port, pathname } = new URL(url);
    return `${protocol}//${hostname}${port === "" ? "" : `:${port}`}${pathname}`;
  } catch {
    return "postgres://(an address that cannot be read)";
  }
}
