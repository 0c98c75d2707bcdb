import { execFile } from "node:child_process";
import { lookup } from "node:dns/promises";
import { readFileSync } from "node:fs";
import { isIP } from "node:net";
import { promisify } from "node:util";
import { type Finding, fault, ok, unchecked } from "../../protocol/index.ts";
import type { Facts } from "./facts.ts";
import type { NameServers } from "./name-servers.ts";

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

type Name = readonly [host: string, users: readonly string[]];

export async function checkNames(facts: Facts): Promise<Finding[]> {
  const hosts = await facts.hosts();
  if (hosts.size === 0) return [unchecked("it is not known which names this gateway uses")];
  const names = [...hosts].filter(([host]) => isIP(host) === 0);
  if (names.length === 0) return [ok("only addresses are used")];
  const resolving = await Promise.all(names.map(([host]) => facts.resolves(host)));
  const failing = names.filter((_, index) => !resolving[index]);
  const others = names.filter((name) => !failing.includes(name)).map(([host]) => host);
  const servers =
    failing.length > 0
      ? await facts.place.nameServers(
          failing.map(([host]) => host),
          others,
        )
      : undefined;
  const held = servers ? heldUp(failing, servers) : [];
  const each = names
    .filter((name) => !held.includes(name))
    .map((name) => (failing.includes(name) ? unknown(name) : ok(`resolves (${name[1].join(", ")})`, name[0])));
  return servers && held.length > 0 ? [silence(held, servers), ...each] : each;
}

/** Those that are no matter of one name: no name server answers at all, or one that answers knows them, and comes after one that does not. */
function heldUp(failing: readonly Name[], { answering, silent, found }: NameServers): readonly Name[] {
  if (silent.length === 0) return [];
  return answering.length === 0 ? failing : failing.filter(([host]) => found.has(host));
}

function unknown([host, users]: Name): Finding {
  return fault(
    `the name does not resolve (${users.join(", ")})`,
    `${nameServers()}Correct the name, or add it to /etc/hosts; try: getent hosts ${host}`,
    host,
  );
}

function silence(held: readonly Name[], { answering, silent }: NameServers): Finding {
  const [[first] = [""]] = held;
  const each = held.map(([host, users]) => `${host} (${users.join(", ")})`).join(", ");
  const who = `${answering.length === 0 ? "no name server answers" : "not every name server answers"} (${silent.join(", ")})`;
  return fault(
    `${who}, and so does not resolve: ${each}`,
    `${nameServers()}Does a firewall let this machine through to that? Name another one there, or these names in /etc/hosts; try: getent hosts ${first}`,
    held.length === 1 ? first : undefined,
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
