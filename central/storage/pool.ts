import type { Socket } from "node:net";
import type { PostgresPool, PostgresPoolClient } from "kysely";
import pg from "pg";
import { PlantgateError } from "../../protocol/index.ts";
import { type LedgerGate, serverIdentity } from "./gate.ts";
import { LedgerClient } from "./password-file.ts";

/**
 * What connections are for. `work`: what gateways call, and projection; `reading`: people and their tools, whose long queries must not
 * take what gateways need; `migrating`: changes of the schema, which may take their time.
 */
export type PoolUse = keyof typeof uses;

/**
 * Per use: connections of a replica (long polls hold none), and the longest that a statement takes on a server that does not hang. Nobody
 * waits for ever, and no lock is held for ever.
 */
const uses = {
  work: { connections: 10, statementMs: 5000 },
  reading: { connections: 4, statementMs: 30_000 },
  migrating: { connections: 1, statementMs: undefined },
} as const;
const connectTimeoutMs = 5000;
/** Over the server's own limit, whose answer tells more than silence. */
const silentMs = 2000;
const lockTimeoutMs = 4000;
/** A replica that froze in a transaction loses its locks. */
const idleInTransactionMs = 10_000;

/** Settings without which a server may lose what it has confirmed (rule 6); each with what it has to be. */
const required = [
  { name: "fsync", refused: "off" },
  { name: "full_page_writes", refused: "off" },
  { name: "synchronous_commit", refused: "off" },
] as const;

/** What a connection needs that is opened beside the pool; see {@link openPool}. */
export function clientConfig(url: string): pg.ClientConfig {
  return {
    connectionString: url,
    application_name: "plantgate-central",
    connectionTimeoutMillis: connectTimeoutMs,
    keepAlive: true,
    keepAliveInitialDelayMillis: 5000,
    types: { getTypeParser: parserOf as typeof pg.types.getTypeParser },
  };
}

interface Connection extends PostgresPoolClient {
  /** How many connections had failed when it was opened. */
  readonly openedAfter: number;
}

/**
 * Connections to one database, all of which keep what they confirm and lead to the server that the gate knows: after a failover another
 * one may be behind the name. What fails without a word of the server is PEER_UNREACHABLE. Such a connection is given up, and all that
 * were opened before it failed: what silenced one of them (a failover, a proxy, a firewall that forgot) has mostly silenced them all, and
 * each would cost somebody the whole timeout.
 */
export function openPool(url: string, use: PoolUse, gate: LedgerGate): PostgresPool {
  const { connections, statementMs } = uses[use];
  const limits =
    statementMs === undefined
      ? {}
      : { statement_timeout: statementMs, query_timeout: statementMs + silentMs, lock_timeout: lockTimeoutMs };
  const pool = new pg.Pool({
    ...clientConfig(url),
    ...limits,
    Client: LedgerClient,
    max: connections,
    idle_in_transaction_session_timeout: idleInTransactionMs,
    onConnect: ((client: pg.ClientBase) => inspect(client, gate)) as (client: pg.ClientBase) => void,
  });
  let failures = 0;
  // an idle connection that breaks is opened again when it is needed
  pool.on("error", () => {});
  const known = new WeakMap<pg.PoolClient, Connection>();

  const wrap = (client: pg.PoolClient): Connection => {
    const openedAfter = failures;
    let broken: PlantgateError | undefined;
    // one that breaks between two statements of a transaction is told of by the next one
    client.on("error", () => {});
    const query = async (sql: string, parameters: unknown[]): Promise<unknown> => {
      // not even a rollback is sent after what was not answered
      if (broken) throw broken;
      try {
        return await client.query(sql, parameters);
      } catch (error) {
        if (error instanceof pg.DatabaseError) throw error;
        failures++;
        broken = new PlantgateError("PEER_UNREACHABLE", "the database does not answer", { cause: error });
        throw broken;
      }
    };
    const release = (discard?: boolean): void => {
      if (discard !== true && openedAfter === failures) client.release();
      else giveUp(client);
    };
    return { openedAfter, query: query as unknown as PostgresPoolClient["query"], release };
  };

  return {
    async connect() {
      for (;;) {
        gate.check();
        const client = await pool.connect().catch(unreachable);
        const connection = known.get(client) ?? wrap(client);
        known.set(client, connection);
        if (connection.openedAfter === failures) return connection;
        connection.release();
      }
    },
    end: () => pool.end(),
  } as unknown as PostgresPool;
}

/** Ends a connection without waiting for its other end, which may be gone. */
function giveUp(client: pg.PoolClient): void {
  client.release(true);
  (client as unknown as { readonly connection: { readonly stream: Socket } }).connection.stream.destroy();
}

/** Whatever keeps us from a connection, a server that refuses it as well, is no connection. */
function unreachable(cause: unknown): never {
  if (cause instanceof PlantgateError) throw cause;
  throw new PlantgateError("PEER_UNREACHABLE", "the database cannot be reached", { cause });
}

/** Asks a new connection whether its server flushes, and which one it is. @throws PlantgateError CONFIG_INVALID, LEDGER_REPLACED */
async function inspect(client: pg.ClientBase, gate: LedgerGate): Promise<void> {
  const names = required.map(({ name }) => `current_setting('${name}') AS ${name}`);
  const { rows } = await client.query<Record<string, string>>(
    `SELECT ${names.join(", ")}, identity.server FROM (${serverIdentity}) AS identity`,
  );
  const [row = {}] = rows;
  const loose = required.filter(({ name, refused }) => row[name] === refused);
  if (loose.length > 0) {
    const settings = loose.map(({ name }) => `${name} = on`).join(", ");
    throw new PlantgateError(
      "CONFIG_INVALID",
      `this PostgreSQL server can lose what it confirmed, so that acknowledged messages would be gone after a power cut: set ${settings} (postgresql.conf, or ALTER ROLE/DATABASE … RESET for synchronous_commit)`,
    );
  }
  gate.admit(row.server ?? "");
}

/** 8-byte integers are numbers here as on SQLite: none of ours comes near 2^53. Sums of them are `numeric`. */
function parserOf(oid: number, format?: "text" | "binary"): unknown {
  if (oid === pg.types.builtins.INT8 || oid === pg.types.builtins.NUMERIC) return Number;
  return pg.types.getTypeParser(oid, format as "text");
}
