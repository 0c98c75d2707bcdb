import { execFile, spawn } from "node:child_process";
import { createReadStream, mkdirSync } from "node:fs";
import { networkInterfaces } from "node:os";
import { pipeline } from "node:stream/promises";
import { promisify } from "node:util";
import { createGunzip } from "node:zlib";
import { describeError, PlantgateError } from "../../protocol/index.ts";
import { readSettingsFile } from "../cli/settings-file.ts";
import { readForeign } from "./foreign.ts";
import type { Layout } from "./layout.ts";
import type { Services } from "./machine.ts";
import { type Health, health, parseRecord } from "./records.ts";
import type { UnitState } from "./watch.ts";

const healthWithinMs = 5000;
const healthBytes = 256 * 1024;
/** Longer than any of our units may take: its own limit is what counts. */
export const startWithinMs = 35 * 60_000;

/** systemd, dpkg, tar and the role's own address. */
export function machineServices(layout: Layout): Services {
  return {
    async restart(unit) {
      // a unit that was started too often would be refused
      await call("systemctl", ["reset-failed", unit]).catch(() => {});
      const before = await look(unit);
      try {
        await call("systemctl", ["restart", unit], startWithinMs);
      } catch (cause) {
        // cancelled, as by a shutdown or a person, it tells nothing of what was to start
        const now = await look(unit);
        if (!hasFailed(now)) {
          const isUntouched = now.active === "active" && now.invocation === before.invocation;
          // masked, or guarded by somebody against restarts: what ran before runs on
          if (isUntouched) throw new PlantgateError("PEER_REFUSED", `${unit} was not restarted`, { cause });
          return;
        }
        throw new PlantgateError("PEER_UNREACHABLE", `it did not become ready; see: journalctl -u ${unit}`, { cause });
      }
    },
    async tryRestart(unit) {
      await call("systemctl", ["--no-block", "try-restart", unit]).catch(() => {});
    },
    async startLater(unit) {
      await call("systemctl", ["--no-block", "start", unit]).catch(() => {});
    },
    look,
    health: () => askHealth(layout),
    run: (program, args, limitMs) => call(program, args, limitMs),
    async unpackedBytes(file, kind) {
      if (kind === "deb") return Number((await call("dpkg-deb", ["--field", file, "Installed-Size"])).trim()) * 1024;
      let bytes = 0;
      await pipeline(createReadStream(file), createGunzip(), async (parts: AsyncIterable<Buffer>) => {
        for await (const part of parts) bytes += part.length;
      });
      return bytes;
    },
    async unpack(file, kind, folder) {
      mkdirSync(folder, { mode: 0o755 });
      if (kind === "tar") await call("tar", [...safely, "--gzip", "--file", file, "--directory", folder], startWithinMs);
      else await unpackDebian(file, folder);
    },
    async debianVersion(role) {
      const asked = ["--show", "--showformat=${db:Status-Status} ${Version}", `plantgate-${role}`];
      const [status = "", version] = (await call("dpkg-query", asked).catch(() => "")).split(" ");
      // one that a power cut left half-installed is dpkg's as well: installing it again is what repairs that
      if (["", "not-installed", "config-files"].includes(status)) return undefined;
      // Debian writes 1.0.0~rc.1 for 1.0.0-rc.1
      return version?.replaceAll("~", "-");
    },
  };
}

async function look(unit: string): Promise<UnitState> {
  const names = "ActiveState,InvocationID,NRestarts,Result";
  const told = await call("systemctl", ["show", "--property", names, unit]);
  const value = (name: string): string => new RegExp(`^${name}=(.*)$`, "m").exec(told)?.[1] ?? "";
  return {
    active: value("ActiveState"),
    invocation: value("InvocationID"),
    restarts: Number(value("NRestarts")) || 0,
    result: value("Result"),
  };
}

/** Since it was restarted by hand: systemd counts anew then. */
function hasFailed({ active, restarts, result }: UnitState): boolean {
  return active === "failed" || restarts > 0 || (result !== "" && result !== "success");
}

/** Nothing leads out of the folder, and nothing is somebody else's: tar itself holds links back until all files are there. */
const safely = ["--extract", "--no-same-owner", "--no-same-permissions", "--no-acls", "--no-xattrs", "--no-selinux"];

async function unpackDebian(file: string, folder: string): Promise<void> {
  const archive = spawn("dpkg-deb", ["--fsys-tarfile", file], { stdio: ["ignore", "pipe", "pipe"] });
  const tar = spawn("tar", [...safely, "--file", "-", "--directory", folder], { stdio: [archive.stdout, "ignore", "pipe"] });
  // the child has it: this end would keep dpkg-deb from noticing that tar is gone
  archive.stdout.destroy();
  const ended = await Promise.all([endOf(archive, "dpkg-deb"), endOf(tar, "tar")]);
  const failed = ended.find((said) => said !== undefined);
  if (failed !== undefined) throw new PlantgateError("PEER_REFUSED", `the package cannot be unpacked: ${failed}`);
}

function endOf(child: ReturnType<typeof spawn>, name: string): Promise<string | undefined> {
  let said = "";
  child.stderr?.setEncoding("utf8").on("data", (part: string) => {
    said = (said + part).slice(0, 2000);
  });
  return new Promise((resolve) => {
    child.once("error", (error) => resolve(describeError(error)));
    child.once("close", (code) => resolve(code === 0 ? undefined : `${name}: ${said.trim() || `it ended with ${code}`}`));
  });
}

async function call(program: string, args: readonly string[], limitMs = 60_000): Promise<string> {
  try {
    const options = { timeout: limitMs, maxBuffer: 1024 * 1024, killSignal: "SIGKILL" } as const;
    return (await promisify(execFile)(program, args, options)).stdout;
  } catch (error) {
    const { stderr = "", code } = error as { stderr?: string; code?: unknown };
    const said = stderr.trim().split("\n").slice(-3).join(" ") || (code === "ENOENT" ? "it is not there" : describeError(error));
    throw new PlantgateError("PEER_REFUSED", `${program}: ${said}`);
  }
}

/**
 * What the role's process answers. Where a gateway listens stands in its own folder, which it owns: only addresses of this machine are asked,
 * one path, no redirect is followed, and so much is read.
 */
async function askHealth(layout: Layout): Promise<Health | undefined> {
  const address = layout.role === "gateway" ? gatewayAddress(layout) : centralAddress(layout);
  if (address === undefined) return undefined;
  try {
    const response = await fetch(new URL("/health", address), {
      redirect: "error",
      signal: AbortSignal.timeout(healthWithinMs),
    });
    if (!response.ok || response.body === null) return undefined;
    const parts: Uint8Array[] = [];
    let bytes = 0;
    for await (const part of response.body) {
      bytes += part.length;
      if (bytes > healthBytes) return undefined;
      parts.push(part);
    }
    return parseRecord(health, Buffer.concat(parts).toString("utf8"));
  } catch {
    return undefined;
  }
}

function gatewayAddress({ dataDir }: Layout): URL | undefined {
  const told = readForeign(dataDir, ["local.json"], 64 * 1024)?.toString("utf8");
  try {
    const { url } = JSON.parse(told ?? "") as { url: string };
    const { protocol, hostname, port } = new URL(url);
    const own = protocol === "http:" ? ownAddress(hostname) : undefined;
    return own === undefined ? undefined : new URL(`http://${own}:${port}`);
  } catch {
    return undefined;
  }
}

function centralAddress({ configFile }: Layout): URL | undefined {
  try {
    const { host = "127.0.0.1", port = 8420 } = readSettingsFile(configFile) as { host?: string; port?: number };
    const own = ownAddress(host.includes(":") ? `[${host}]` : host);
    return own === undefined ? undefined : new URL(`http://${own}:${port}`);
  } catch {
    return undefined;
  }
}

function ownAddress(hostname: string): string | undefined {
  if (["0.0.0.0", "localhost", "127.0.0.1"].includes(hostname)) return "127.0.0.1";
  if (hostname === "[::]" || hostname === "[::1]") return "[::1]";
  const bare = hostname.replace(/^\[|\]$/g, "");
  const own = Object.values(networkInterfaces()).some((entries = []) => entries.some(({ address }) => address === bare));
  return own ? hostname : undefined;
}
