import { spawnSync } from "node:child_process";
import { randomUUID } from "node:crypto";
import { chmodSync, chownSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import pg from "pg";
import { claimPort } from "../fault/plant/ports.ts";
import { onceARun } from "./once-a-run.ts";
import { requireService } from "./services.ts";

/** A database of its own on this run's server, gone with the test. */
export interface TestDatabase extends AsyncDisposable {
  readonly url: string;
  readonly name: string;
  query<Row extends pg.QueryResultRow = pg.QueryResultRow>(sql: string, values?: readonly unknown[]): Promise<Row[]>;
}

let server: Promise<string | undefined> | undefined;

/** Where this run's server answers; undefined where there is no PostgreSQL and none can be installed. */
export function postgresServer(): Promise<string | undefined> {
  server ??= findOrStart();
  return server;
}

/** @param template a database of this server that it is a copy of, and to which nothing is connected */
export async function createDatabase(template = "template1"): Promise<TestDatabase> {
  const base = await postgresServer();
  if (base === undefined) throw new Error("there is no PostgreSQL");
  const name = `test_${randomUUID().replaceAll("-", "")}`;
  await once(`${base}/postgres`, `CREATE DATABASE ${name} TEMPLATE ${template}`);
  const url = `${base}/${name}`;
  return {
    url,
    name,
    query: async (sql, values) => (await once(url, sql, values)) as never,
    async [Symbol.asyncDispose]() {
      await once(`${base}/postgres`, `DROP DATABASE IF EXISTS ${name} WITH (FORCE)`);
    },
  };
}

/** One statement on a connection of its own. */
export async function once(url: string, sql: string, values: readonly unknown[] = []): Promise<pg.QueryResultRow[]> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    return (await client.query(sql, [...values])).rows;
  } finally {
    await client.end();
  }
}

async function findOrStart(): Promise<string | undefined> {
  const binary = await requireService("postgres");
  if (binary === undefined) return undefined;
  return onceARun("server", async (folder) => (await startServer(dirname(binary), folder)).url);
}

export interface OwnServer extends AsyncDisposable {
  readonly url: string;
  /** Ends it as a power cut would; it comes back on a new timeline, as a standby that took over from it. */
  promote(): void;
}

/** A server of a test's own, with settings of its own. */
export async function startOwnServer(settings = ""): Promise<OwnServer> {
  const binary = await requireService("postgres");
  if (binary === undefined) throw new Error("there is no PostgreSQL");
  const folder = mkdtempSync(join(tmpdir(), "plantgate-loose-"));
  const { url, port } = await startServer(dirname(binary), folder, settings);
  const stop = (): void => {
    const [command = "", ...args] = JSON.parse(readFileSync(join(folder, "stop"), "utf8")) as string[];
    spawnSync(command, args, { stdio: "ignore" });
  };
  return {
    url: `${url}/postgres`,
    promote() {
      stop();
      writeFileSync(join(folder, "data", "standby.signal"), "");
      run(startCommand(dirname(binary), folder, port, settings));
      run(asServer(dirname(binary))("pg_ctl", "promote", "-w", "-D", join(folder, "data")));
    },
    async [Symbol.asyncDispose]() {
      stop();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** The server flushes, as central asks of one. It runs as another user where this process is root, which PostgreSQL refuses to be. */
async function startServer(binaries: string, folder: string, more = ""): Promise<{ url: string; port: number }> {
  const root = process.getuid?.() === 0;
  const data = join(folder, "data");
  mkdirSync(data);
  if (root) {
    chmodSync(folder, 0o755);
    const [uid, gid] = [idOf("-u"), idOf("-g")];
    chownSync(data, uid, gid);
    chownSync(folder, uid, gid);
  }
  const as = asServer(binaries);
  run(as("initdb", "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-locale", "--no-sync"));
  writeFileSync(join(folder, "stop"), JSON.stringify(as("pg_ctl", "stop", "-D", data, "-m", "immediate")));
  for (let tries = 1; ; tries++) {
    const port = await claimPort();
    try {
      run(startCommand(binaries, folder, port, more));
      return { url: `postgres://postgres@127.0.0.1:${port}`, port };
    } catch (error) {
      // somebody else may have taken the port meanwhile
      if (tries === 3) throw error;
    }
  }
}

function startCommand(binaries: string, folder: string, port: number, more: string): string[] {
  const settings = `-p ${port} -c listen_addresses=127.0.0.1 -c unix_socket_directories='' -c max_connections=300 -c shared_buffers=64MB ${more}`;
  return asServer(binaries)("pg_ctl", "start", "-w", "-D", join(folder, "data"), "-l", join(folder, "log"), "-o", settings);
}

function asServer(binaries: string): (command: string, ...args: string[]) => string[] {
  const user = process.getuid?.() === 0 ? ["runuser", "-u", "postgres", "--"] : [];
  return (command, ...args) => [...user, join(binaries, command), ...args];
}

function idOf(flag: string): number {
  return Number(spawnSync("id", [flag, "postgres"], { encoding: "utf8" }).stdout.trim());
}

function run([command = "", ...args]: readonly string[]): void {
  // nothing of the server's keeps a pipe of ours open
  const { status, stderr } = spawnSync(command, args, { stdio: ["ignore", "ignore", "inherit"], encoding: "utf8" });
  if (status !== 0) throw new Error(`${command} ${args.join(" ")} failed: ${stderr ?? ""}`);
}
