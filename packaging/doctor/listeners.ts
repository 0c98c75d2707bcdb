import { existsSync, readdirSync, readFileSync, readlinkSync } from "node:fs";
import { createServer } from "node:net";
import { endianness } from "node:os";
import { describeError, type Listener, type Listeners } from "../../protocol/index.ts";

/** Who listens on which TCP port, as Linux tells it; whose process that is, root alone can see of all. Undefined: no Linux. */
export function listListeners(): Listeners | undefined {
  const sockets = new Map<string, { readonly address: string; readonly port: number }>();
  // the second one is missing where IPv6 is off
  const tables = ["/proc/net/tcp", "/proc/net/tcp6"].filter((table) => existsSync(table));
  if (tables.length === 0) return undefined;
  for (const line of tables.flatMap((table) => read(table).split("\n").slice(1))) {
    const [, local, , state, , , , , , inode] = line.trim().split(/\s+/);
    const [address, port] = local?.split(":") ?? [];
    if (state === "0A" && address !== undefined && port !== undefined && inode !== undefined)
      sockets.set(inode, { address: addressOf(address), port: Number.parseInt(port, 16) });
  }
  const owners = ownersOf(new Set(sockets.keys()));
  const listeners = new Map<number, Listener[]>();
  for (const [inode, { address, port }] of sockets) {
    const pid = owners.get(inode);
    const listener = { address, pid, command: pid === undefined ? undefined : commandOf(pid) };
    listeners.set(port, [...(listeners.get(port) ?? []), listener]);
  }
  return listeners;
}

/** The kernel prints words of four bytes as its processor reads them. */
function addressOf(hex: string): string {
  const words = hex.match(/.{8}/g) ?? [];
  const bytes = Buffer.concat(
    words.map((word) => (endianness() === "LE" ? Buffer.from(word, "hex").reverse() : Buffer.from(word, "hex"))),
  );
  if (bytes.length === 4) return bytes.join(".");
  if (bytes.subarray(0, 12).equals(mapped)) return bytes.subarray(12).join(".");
  const groups = Array.from({ length: 8 }, (_, index) => bytes.readUInt16BE(2 * index).toString(16));
  return new URL(`http://[${groups.join(":")}]`).hostname.slice(1, -1);
}
/** Before an address of IPv4 that a socket of IPv6 listens at. */
const mapped = Buffer.from("00000000000000000000ffff", "hex");

/** Why a service could not listen there, whoever else does: no such address here, or a port that root alone may take. The port itself is left alone. */
export async function whyNotListen(host: string, port: number): Promise<string | undefined> {
  if (process.geteuid?.() !== 0 && port !== 0 && port < firstFreePort())
    return `port ${port} is root's alone: a service may listen from ${firstFreePort()} on`;
  const server = createServer();
  try {
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      server.listen({ host, port: 0, exclusive: true }, resolve);
    });
    return undefined;
  } catch (error) {
    return `nobody can listen at ${host} here: ${describeError(error)}`;
  } finally {
    server.close();
  }
}

function firstFreePort(): number {
  try {
    return Number(read("/proc/sys/net/ipv4/ip_unprivileged_port_start"));
  } catch {
    return 0;
  }
}

function ownersOf(inodes: ReadonlySet<string>): Map<string, number> {
  const owners = new Map<string, number>();
  for (const pid of readdirSync("/proc").filter((name) => /^\d+$/.test(name))) {
    for (const handle of entriesOf(`/proc/${pid}/fd`)) {
      const inode = /^socket:\[(\d+)\]$/.exec(targetOf(`/proc/${pid}/fd/${handle}`))?.[1];
      if (inode !== undefined && inodes.has(inode)) owners.set(inode, Number(pid));
    }
  }
  return owners;
}

/** None of a process that is gone meanwhile, or not ours to look at. */
function entriesOf(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}

/** Of a busy process one is always closed meanwhile, which says nothing of the others. */
function targetOf(link: string): string {
  try {
    return readlinkSync(link);
  } catch {
    return "";
  }
}

function commandOf(pid: number): string | undefined {
  try {
    return read(`/proc/${pid}/comm`).trim();
  } catch {
    return undefined;
  }
}

function read(file: string): string {
  return readFileSync(file, "utf8");
}
