import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { installFromDebian } from "./debian.ts";

/** Programs that tests run as real peers and observers, by Debian package. */
const packages = {
  mosquitto: "mosquitto",
  mosquitto_passwd: "mosquitto",
  "nats-server": "nats-server",
  strace: "strace",
  eatmydata: "eatmydata",
  chromium: "chromium",
  postgres: "postgresql",
  debootstrap: "debootstrap",
  ip: "iproute2",
  wine64: "wine64",
  mono: "mono-runtime",
  mcs: "mono-mcs libmono-system-serviceprocess4.0-cil",
  pg_dump: "postgresql-client",
  "systemd-analyze": "systemd",
} as const;
export type Service = keyof typeof packages;

/** What shows that a program has beside it what a test asks of it, where Debian has that in a package of its own. */
const beside: { readonly [name in Service]?: string } = { mcs: "/usr/lib/mono/4.5/System.ServiceProcess.dll" };

const found = new Map<Service, string | undefined>();

/**
 * The path of a program. Missing, it is installed where that is possible (root, apt-get); else `undefined`, said loudly, so that a test
 * can skip itself: `describe.skipIf(!(await requireService("mosquitto")))`. With REQUIRE_SERVICES=1 a missing program is an error.
 */
export async function requireService(name: Service): Promise<string | undefined> {
  if (!found.has(name)) found.set(name, find(name) ?? install(name));
  const path = found.get(name);
  if (path !== undefined) return path;
  const advice = `${name} is missing; install it with: apt-get install -y ${packages[name]}`;
  if (process.env.REQUIRE_SERVICES === "1") throw new Error(advice);
  process.stderr.write(`\n*** TESTS SKIPPED: ${advice}\n\n`);
  return undefined;
}

function find(name: Service): string | undefined {
  if (!existsSync(beside[name] ?? "/")) return undefined;
  // daemons lie in /usr/sbin, PostgreSQL in a folder per version; neither is on an ordinary user's path
  const script = `PATH="$PATH:/usr/sbin:/sbin:/usr/local/sbin:/usr/lib/wine:$(echo /usr/lib/postgresql/*/bin | tr ' ' ':')"; command -v ${name}`;
  const { status, stdout } = spawnSync("sh", ["-c", script], { encoding: "utf8" });
  return status === 0 ? stdout.trim() : undefined;
}

function install(name: Service): string | undefined {
  installFromDebian(...packages[name].split(" "));
  return find(name);
}
