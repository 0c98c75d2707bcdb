import { spawn } from "node:child_process";
import { once } from "node:events";
import { appendFileSync, chmodSync, existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { requireService } from "../support/services.ts";
import { publicFolder } from "./leftovers.ts";
import { must } from "./programs.ts";
import { until } from "./wait.ts";

export interface PostgresServer extends AsyncDisposable {
  readonly url: string;
  /** What lets somebody in, as a line of a password file. */
  readonly passwordLine: string;
}

/** A PostgreSQL of this machine, at its end of a cable, that wants a password. */
export async function startPostgres(address: string): Promise<PostgresServer> {
  const binary = await requireService("postgres");
  if (binary === undefined) throw new Error("there is no PostgreSQL here: apt-get install postgresql");
  const folder = publicFolder();
  mkdirSync(folder, { recursive: true });
  chmodSync(folder, 0o777);
  const data = join(folder, "data");
  // whoever kills this process kills it, too
  const user = ["--reuid", "postgres", "--regid", "postgres", "--init-groups", "--pdeathsig", "KILL"];
  const as = (command: string, ...args: string[]): string[] => [...user, join(dirname(binary), command), ...args];
  const secret = join(folder, "password");
  writeFileSync(secret, "open:sesame\n");
  const access = ["-U", "postgres", "-A", "scram-sha-256", `--pwfile=${secret}`];
  await must(["setpriv", ...as("initdb", "-D", data, ...access, "-E", "UTF8", "--no-locale", "--no-sync")]);
  appendFileSync(join(data, "pg_hba.conf"), `host all all ${address}/30 scram-sha-256\n`);
  const settings = [`listen_addresses=${address}`, "unix_socket_directories=", "shared_buffers=64MB"];
  const server = spawn("setpriv", as("postgres", "-D", data, ...settings.flatMap((each) => ["-c", each])), { stdio: "ignore" });
  const ended = once(server, "exit");
  await until(
    () => statusIn(data),
    (status) => status === "ready",
    ended,
  );
  return {
    url: `postgres://postgres@${address}:5432/postgres`,
    passwordLine: `${address}:5432:*:postgres:open\\:sesame\n`,
    async [Symbol.asyncDispose]() {
      server.kill("SIGQUIT");
      await ended;
    },
  };
}

/** As pg_ctl reads it: the eighth line of what the server notes of itself. */
function statusIn(data: string): string | undefined {
  const file = join(data, "postmaster.pid");
  return existsSync(file) ? readFileSync(file, "utf8").split("\n")[7]?.trim() : undefined;
}
