import { readFileSync, statSync } from "node:fs";
import type { Socket } from "node:net";
import { homedir } from "node:os";
import { join } from "node:path";
import pg from "pg";

/** What a connection leads to: the fields of a line in a password file. */
export interface Target {
  readonly host: string;
  readonly port: number;
  readonly database: string;
  readonly user: string;
}

/** A connection whose password, where neither its URL nor PGPASSWORD has one, is in PostgreSQL's password file, as for `psql` and `pg_dump`. */
export class LedgerClient extends pg.Client {
  constructor(config?: pg.ClientConfig) {
    super(config);
    const own = this as unknown as { password: unknown; readonly connection: { readonly stream: Socket } };
    // asked for by each connection whose server wants one: whoever writes another into the file starts nothing anew
    own.password ??= (of: Target) => {
      try {
        return passwordOf(of);
      } catch (error) {
        // a connection that comes to nothing is closed by nobody else, and the server waits for its password
        own.connection.stream.destroy();
        throw error;
      }
    };
  }
}

/** @throws Error where the file has none, cannot be read, or others may read it */
function passwordOf(target: Target): string {
  const file = passwordFile();
  const place = `${target.host}:${target.port}:${target.database}:${target.user}`;
  const password = findPassword(readPasswords(file, place), target);
  if (password !== undefined) return password;
  throw new Error(`the database asks for a password: ${file} has no line for ${place}`);
}

function readPasswords(file: string, place: string): string {
  let openTo: number;
  let text: string;
  try {
    openTo = statSync(file).mode & 0o077;
    text = readFileSync(file, "utf8");
  } catch (cause) {
    if ((cause as { code?: unknown }).code === "ENOENT")
      throw new Error(`the database asks for a password for ${place}: there is no ${file} (PGPASSFILE)`);
    throw new Error(`the password file ${file} cannot be read (PGPASSFILE)`, { cause });
  }
  if (process.platform !== "win32" && openTo !== 0) throw new Error(`the password file ${file} may be read by others: chmod 600`);
  return text;
}

/** PGPASSFILE, or where PostgreSQL's own programs look without it. */
function passwordFile(): string {
  const { PGPASSFILE, APPDATA } = process.env;
  if (PGPASSFILE) return PGPASSFILE;
  return process.platform === "win32" ? join(APPDATA ?? ".", "postgresql", "pgpass.conf") : join(homedir(), ".pgpass");
}

/** Of the first line `host:port:database:user:password` that fits; `*` fits all, and `\` takes from `:` and `\` what they mean. */
export function findPassword(text: string, { host, port, database, user }: Target): string | undefined {
  // a socket in a folder is this machine
  const hosts = host.startsWith("/") ? [host, "localhost"] : [host];
  const wanted = [hosts, [String(port)], [database], [user]];
  for (const line of text.split(/\r?\n/)) {
    const [, fields = "", password = ""] = /^((?:(?:\\.|[^\\:])*:){4})(.*)$/.exec(line.startsWith("#") ? "" : line) ?? [];
    const own = (fields.match(/(?:\\.|[^\\:])*:/g) ?? []).map((field) => field.slice(0, -1));
    const fits = wanted.every((any, index) => own[index] === "*" || any.includes(plain(own[index] ?? "")));
    if (fits && password !== "") return plain(password);
  }
  return undefined;
}

function plain(field: string): string {
  return field.replaceAll(/\\(.)/g, "$1");
}
