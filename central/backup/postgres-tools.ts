import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { PlantgateError } from "../../protocol/index.ts";
import { describeDatabase } from "../storage/postgres.ts";

const run = promisify(execFile);

/** What PostgreSQL's own tools are called with. The password never stands among the arguments, which all users of the machine see. */
interface Access {
  readonly url: string;
  readonly env: NodeJS.ProcessEnv;
}

function accessTo(url: string): Access {
  const parsed = new URL(url);
  const env = { ...process.env };
  if (parsed.password !== "") env.PGPASSWORD = decodeURIComponent(parsed.password);
  parsed.password = "";
  return { url: parsed.href, env };
}

/**
 * Whether the tool is there and new enough for the server.
 * @param serverVersion its major version
 * @throws PlantgateError CONFIG_INVALID, which says what to install
 */
export async function requireTool(tool: "pg_dump" | "pg_restore", serverVersion: number): Promise<void> {
  let said: string;
  try {
    said = (await run(tool, ["--version"])).stdout;
  } catch (cause) {
    throw new PlantgateError(
      "CONFIG_INVALID",
      `${tool} is not found on this machine: install PostgreSQL's client tools of version ${serverVersion} or newer (Debian: postgresql-client), or put their folder on PATH`,
      { cause },
    );
  }
  const own = Number(/\(PostgreSQL\) (\d+)/.exec(said)?.[1] ?? Number.NaN);
  if (!(own >= serverVersion))
    throw new PlantgateError(
      "CONFIG_INVALID",
      `${tool} here is version ${own}, the server is version ${serverVersion}: older tools cannot copy a newer server; install PostgreSQL's client tools of version ${serverVersion} or newer`,
    );
}

/** Copies one schema in the state of a snapshot that another transaction holds, in pg_dump's custom format. Others are not central's. */
export async function dump(
  url: string,
  { schema, snapshot, file }: { schema: string; snapshot: string; file: string },
): Promise<void> {
  const { url: database, env } = accessTo(url);
  // its body is compressed with all else
  const args = [
    "--format=custom",
    "--compress=0",
    "--no-owner",
    "--no-acl",
    // a pattern: in quotes it is the name itself
    `--schema="${schema.replaceAll('"', '""')}"`,
    `--snapshot=${snapshot}`,
    `--file=${file}`,
    "--dbname",
    database,
  ];
  await call("pg_dump", args, env, url);
}

/** Reads a dump to its end without writing it anywhere. @throws PlantgateError INPUT_INVALID */
export async function judgeDump(file: string): Promise<void> {
  try {
    await run("pg_restore", ["--file=/dev/null", file]);
  } catch (cause) {
    throw new PlantgateError("INPUT_INVALID", `pg_restore cannot read the copy of the database: ${stderrOf(cause)}`, { cause });
  }
}

/** Fills an empty schema in one transaction: all of it, or nothing. What a dump holds of other schemas, and the schema itself, is left out. */
export async function refill(url: string, schema: string, file: string): Promise<void> {
  const { url: database, env } = accessTo(url);
  const args = [
    "--exit-on-error",
    "--single-transaction",
    "--no-owner",
    "--no-acl",
    `--schema=${schema}`,
    "--dbname",
    database,
    file,
  ];
  await call("pg_restore", args, env, url);
}

async function call(tool: string, args: readonly string[], env: NodeJS.ProcessEnv, url: string): Promise<void> {
  try {
    await run(tool, [...args], { env, maxBuffer: 16 * 1024 * 1024 });
  } catch (cause) {
    throw new PlantgateError("PEER_UNREACHABLE", `${tool} failed at ${describeDatabase(url)}: ${stderrOf(cause)}`);
  }
}

function stderrOf(error: unknown): string {
  const { stderr, message } = error as { readonly stderr?: string; readonly message?: string };
  return (stderr?.trim() || message || "it said nothing").split("\n").slice(0, 3).join("; ");
}
