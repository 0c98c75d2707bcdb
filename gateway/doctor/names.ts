import { execFile } from "node:child_process";
import { lookup } from "node:dns/promises";
import { readFileSync } from "node:fs";
import { isIP } from "node:net";
import { hostname } from "node:os";
import { promisify } from "node:util";
import { type Finding, fault, ok, unchecked } from "../../protocol/index.ts";
import type { Facts } from "./facts.ts";

const limitMs = 5000;

/**
 * Whether a name resolves as every program of this machine would resolve it. By `getent`, where there is one: a name server that is silent would
 * hold up this process's own lookups, one by one.
 */
export async function resolves(host: string): Promise<boolean> {
  if (isIP(host) !== 0) return true;
  try {
    const { stdout } = await promisify(execFile)("getent", ["ahosts", host], { timeout: limitMs });
    return stdout.trim() !== "";
  } catch (error) {
    const { code } = error as { code?: unknown };
    if (code !== "ENOENT") return false;
  }
  return lookup(host).then(
    () => true,
    () => false,
  );
}

export async function checkNames(facts: Facts): Promise<Finding[]> {
  const hosts = await facts.hosts();
  if (hosts.size === 0) return [unchecked("it is not known which names this gateway uses")];
  const names = [...hosts].filter(([host]) => isIP(host) === 0);
  if (names.length === 0) return [ok("only addresses are used")];
  const own = ownNames();
  const asked = names.filter(([host]) => !own.has(host.toLowerCase()));
  const resolving = await Promise.all(asked.map(([host]) => facts.resolves(host)));
  // that is no matter of one name; those that need no name server say nothing of it
  const isNone = asked.length > 1 && !resolving.includes(true);
  const single = isNone ? names.filter((each) => !asked.includes(each)) : names;
  const each = await Promise.all(
    single.map(async ([host, users]): Promise<Finding> => {
      const who = users.join(", ");
      if (await facts.resolves(host)) return ok(`resolves (${who})`, host);
      return fault(
        `the name does not resolve (${who})`,
        `${nameServers()}Correct the name, or add it to /etc/hosts; try: getent hosts ${host}`,
        host,
      );
    }),
  );
  return isNone ? [noneOf(asked, single.length === 0), ...each] : each;
}

/** Names that this machine answers by itself, in lower case: its own, and those of its hosts' file. */
function ownNames(): ReadonlySet<string> {
  const always = ["localhost", hostname().toLowerCase()];
  try {
    return new Set([...always, ...namesIn(readFileSync("/etc/hosts", "utf8"))]);
  } catch {
    // whoever resolves cannot read it either
    return new Set(always);
  }
}

/** The names of a hosts' file, in lower case. */
export function namesIn(hostsFile: string): string[] {
  return hostsFile.split("\n").flatMap((line) => line.replace(/#.*/, "").trim().toLowerCase().split(/\s+/).slice(1));
}

function noneOf(names: readonly (readonly [host: string, users: readonly string[]])[], areAll: boolean): Finding {
  const [[first] = [""]] = names;
  const each = names.map(([host, users]) => `${host} (${users.join(", ")})`).join(", ");
  return fault(
    `none of the names${areAll ? "" : " that need a name server"} resolves: ${each}`,
    `${nameServers()}Does that answer? Else name them in /etc/hosts; try: getent hosts ${first}`,
  );
}

function nameServers(): string {
  try {
    const servers = [...readFileSync("/etc/resolv.conf", "utf8").matchAll(/^\s*nameserver\s+(\S+)/gm)].map(
      ([, server]) => server,
    );
    return servers.length > 0 ? `This machine asks ${servers.join(", ")}. ` : "/etc/resolv.conf names no name server: add one. ";
  } catch {
    return "/etc/resolv.conf cannot be read. ";
  }
}
