import { readdirSync } from "node:fs";
import { join } from "node:path";
import type { Facts } from "../../gateway/doctor/facts.ts";
import { parseJson } from "../../protocol/index.ts";
import type { Subject } from "./examine.ts";
import { readPlain } from "./plain-file.ts";

const mostBytes = 256 * 1024;
/** A line of a secret that has several, from this length on, is looked for by itself: a log has lines. */
const leastLine = 12;
/** Of one secret; the largest keys have fewer. */
const mostLines = 64;

/**
 * Every value that may stand in no bundle, as far as whoever asks can read it, by a name that says nothing of it: secrets of the configuration, keys,
 * tokens, passwords in addresses. Held in memory only, to be looked for.
 */
export async function knownSecrets(subject: Subject, root: string, facts: Facts | undefined): Promise<Map<string, string[]>> {
  const { dataDir, role, said } = subject;
  const values = new Map<string, string[]>();
  const add = (name: string, ...texts: readonly (string | undefined)[]): void => {
    const known = texts.flatMap((text) => (text === undefined || text.trim() === "" ? [] : [text.trim(), ...linesOf(text)]));
    if (known.length > 0) values.set(name, [...(values.get(name) ?? []), ...known]);
  };
  const etc = join(root, "etc/plantgate");
  for (const folder of [join(etc, "secrets"), join(etc, "secrets-not-usable"), join(dataDir, "secrets")])
    for (const [name, text] of filesIn(folder)) add(`secret ${name}`, text);
  const secrets = await facts?.secrets();
  if (secrets?.known) for (const [name, texts] of secrets.value.values) add(`secret ${name}`, ...(texts ?? []));
  for (const name of ["gateway.key", "gateway.key.next"])
    add(`identity/${name}`, ...pemBodies(read(join(dataDir, "identity", name))));
  add("local.json", field(read(join(dataDir, "local.json")), "token"));
  add("keystore/wrapping.key", ...rawKey(join(dataDir, "keystore", "wrapping.key")));
  add("admin.token", read(join(dataDir, "admin.token")));
  for (const name of ["signing-key.json", "signing-key.next.json"]) add(name, field(read(join(dataDir, name)), "d"));
  const { keys = [] } = (parseJson(read(join(dataDir, "secrets-key.json")) ?? "") ?? {}) as { keys?: { k?: string }[] };
  add("secrets-key.json", ...keys.map(({ k }) => k));
  const stored = read(join(dataDir, "gateway.json"));
  const addresses = [field(stored, "proxy"), ...(said?.known ? [said.value.proxy, said.value.databaseUrl] : [])];
  for (const address of addresses)
    if (typeof address === "string") add(`the password in ${role}'s settings`, ...passwordsIn(address));
  // of PostgreSQL's own file the last field of each line: passwords
  for (const line of (read(join(etc, "pgpass")) ?? "").split("\n")) {
    const password = line.split(/(?<!\\):/)[4];
    if (password !== undefined) add("pgpass", ...new Set([password, password.replaceAll(/\\(.)/g, "$1")]));
  }
  add("move-request.json", ...pemBodies(field(read(join(dataDir, "move-request.json")), "privateKey")));
  add("PGPASSWORD", process.env.PGPASSWORD);
  return values;
}

function read(file: string): string | undefined {
  return readPlain(file, mostBytes)?.toString("utf8");
}

function filesIn(folder: string): [string, string][] {
  try {
    return readdirSync(folder).flatMap((name): [string, string][] => {
      const text = read(join(folder, name));
      return text === undefined ? [] : [[name, text]];
    });
  } catch {
    return [];
  }
}

/** What of a text of several lines may be found alone. Certificates are no secret: one may stand in the configuration as well. */
export function linesOf(text: string): string[] {
  const secret = text.replaceAll(/-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----/g, "").trim();
  const lines = secret.split(/[\r\n]+/).map((line) => line.trim());
  if (lines.length < 2 && secret === text.trim()) return [];
  return lines.filter((line) => line.length >= leastLine && !line.startsWith("-----")).slice(0, mostLines);
}

/** What of a PEM file is the key, a line at a time: as one text it would be found only whole. */
function pemBodies(pem: string | undefined): string[] {
  return (pem ?? "").split("\n").filter((line) => line.length >= 40 && !line.startsWith("-----"));
}

function rawKey(file: string): string[] {
  const bytes = readPlain(file, mostBytes);
  return bytes ? [bytes.toString("hex"), bytes.toString("base64"), bytes.toString("base64url")] : [];
}

function field(text: string | undefined, name: string): string | undefined {
  const value = (parseJson(text ?? "") as Record<string, unknown> | undefined)?.[name];
  return typeof value === "string" ? value : undefined;
}

function passwordsIn(address: string): string[] {
  if (!URL.canParse(address)) return [];
  const { password } = new URL(address);
  if (password === "") return [];
  try {
    return [password, decodeURIComponent(password)];
  } catch {
    return [password];
  }
}
