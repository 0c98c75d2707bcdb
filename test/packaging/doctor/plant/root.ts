import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { appendFileSync, chmodSync, chownSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { version } from "../../../../gateway/version.ts";
import type { Role } from "../../../../packaging/cli/installed.ts";

import { freePort } from "../../../support/mosquitto.ts";
import { type NameServer, startNameServer } from "../../../support/name-server.ts";

/** Nobody else's number, on the machine that tests run on. */
export const serviceUid = 64_123;

const unitOf = (role: Role): string =>
  readFileSync(new URL(`../../../../packaging/install/units/plantgate-${role}.service`, import.meta.url), "utf8");

/** As systemd describes a unit that runs, where nothing else was told. */
const healthy = {
  LoadState: "loaded",
  ActiveState: "active",
  SubState: "running",
  UnitFileState: "enabled",
  Result: "success",
  NRestarts: "0",
  NeedDaemonReload: "no",
};
/** Of the unit that takes what central offers. */
export const upgradePath = "plantgate-gateway-upgrade.path";
export type UnitState = Partial<Record<keyof typeof healthy | "FragmentPath", string>>;

/**
 * A machine of its own as far as files go: for whoever is entered into it `/opt`, `/etc`, `/var/lib` and `/run` are folders of the test, in which a
 * package put a role. dpkg answers from its own lists; systemd is played by a script.
 */
export async function openRoot(folder: string, role: Role, dataFolder: string) {
  const at = (path: string): string => join(folder, path);
  for (const path of ["opt", "lib/dpkg/info", "lib/dpkg/updates", `lib/plantgate/${role}`, "run/systemd/system", "bin"])
    mkdirSync(at(path), { recursive: true });
  execFileSync("cp", ["-a", "/etc", at("etc")]);
  appendFileSync(at("etc/passwd"), `plantgate-${role}:x:${serviceUid}:${serviceUid}::/nonexistent:/usr/sbin/nologin\n`);

  const nameServer = await startOwnNameServer();
  writeFileSync(at("etc/resolv.conf"), `nameserver ${nameServer.address.replace(/:53$/, "")}\n`);
  writeFileSync(at("etc/nsswitch.conf"), "passwd: files\ngroup: files\nshadow: files\nhosts: files dns\n");
  let names = new Set<string>();
  const know = (known: Iterable<string>): void => {
    names = new Set(known);
    writeFileSync(at("etc/hosts"), ["127.0.0.1 localhost", ...[...names].map((name) => `127.0.0.1 ${name}`), ""].join("\n"));
  };

  const top = at(`opt/plantgate/${role}`);
  const tree = join(top, "versions", version);
  for (const each of ["bin", "app/packaging/cli", "install/units"]) mkdirSync(join(tree, each), { recursive: true });
  for (const program of ["bin/node", "bin/plantgate", "app/packaging/cli/launch.mjs", "../../choose"])
    writeFileSync(join(tree, program), "", { mode: 0o755 });
  writeFileSync(join(tree, "release-keys.pem"), "");
  const manifest = { product: "plantgate", version, platform: "linux-x64", node: process.versions.node, queueFormat: 4 };
  const writeManifest = (more: object = {}): void =>
    writeFileSync(join(tree, "manifest.json"), JSON.stringify({ ...manifest, ...more }));
  writeManifest();
  symlinkSync(`versions/${version}`, join(top, "current"));
  mkdirSync(at("etc/plantgate/secrets"), { recursive: true, mode: 0o700 });
  chmodSync(at("etc/plantgate"), 0o755);
  const config = at(`etc/plantgate/${role}.yaml`);
  const port = await freePort();
  writeFileSync(config, `port: ${port}\n`, { mode: 0o644 });

  const unitFile = at(`lib/plantgate-${role}.service`);
  for (const file of [unitFile, join(tree, `install/units/plantgate-${role}.service`)]) writeFileSync(file, unitOf(role));
  const tell = (state: UnitState = {}, unit = `plantgate-${role}.service`): void => {
    const said = { ...healthy, FragmentPath: `/var/lib/${unit}`, ...state };
    writeFileSync(
      at(`state-of-${unit}`),
      Object.entries(said)
        .map(([name, value]) => `${name}=${value}\n`)
        .join(""),
    );
  };
  tell();
  tell({}, upgradePath);
  writeFileSync(at("bin/systemctl"), `#!/bin/sh\n[ "$1" != show ] || cat "${at("state-of-")}$2"\n`, { mode: 0o755 });
  const packaged = (status = "install ok installed", said = version): void =>
    writeFileSync(
      at("lib/dpkg/status"),
      `Package: plantgate-${role}\nStatus: ${status}\nMaintainer: Nobody <nobody@example.com>\nArchitecture: all\nVersion: ${said}\nDescription: test\n\n`,
    );
  packaged();

  const script = [
    `mount --bind ${at("opt")} /opt`,
    `mount --bind ${dataFolder} ${at(`lib/plantgate/${role}`)}`,
    `mount --rbind ${at("lib")} /var/lib`,
    `mount --bind ${at("run")} /run`,
    `mount --bind ${at("etc")} /etc`,
    "echo ready",
    "exec cat",
  ].join(" && ");
  const holder: ChildProcess = spawn("unshare", ["--mount", "--propagation", "private", "sh", "-c", script], {
    stdio: ["pipe", "pipe", "inherit"],
  });
  const [line] = (await once(createInterface({ input: holder.stdout! }), "line")) as [string];
  if (line !== "ready") throw new Error(line);

  const entered = ["nsenter", `--mount=/proc/${holder.pid}/ns/mnt`, "--"];
  return {
    role,
    at,
    top,
    tree,
    config,
    unitFile,
    /** Of the local listener. */
    port,
    /** As seen from inside. */
    dataDir: `/var/lib/plantgate/${role}`,
    /** Before the command of a process that is to see this machine: as root, or as the service's user. */
    entered,
    enteredAsService: [...entered, "setpriv", `--reuid=${serviceUid}`, `--regid=${serviceUid}`, "--clear-groups"],
    env: { PATH: `${at("bin")}:${process.env.PATH}` },
    /** What systemd says of the role's unit, or of another; without, that it runs. */
    tell,
    packaged,
    writeManifest,
    /** Which names this machine knows; of all others its name server says that there are none. */
    know,
    forget: (name: string): void => know([...names].filter((each) => each !== name)),
    recall: (name: string): void => know([...names, name]),
    nameServer,
    putSecret(name: string, value: string, mode = 0o600): void {
      writeFileSync(at(`etc/plantgate/secrets/${name}`), value);
      chmodSync(at(`etc/plantgate/secrets/${name}`), mode);
    },
    /** What systemd would hand over at the next start. */
    credentials(names: Readonly<Record<string, string>>): Record<string, string> {
      const handed = at("credentials");
      mkdirSync(handed, { recursive: true });
      for (const [name, value] of Object.entries(names)) {
        writeFileSync(join(handed, `secrets_${name}`), value, { mode: 0o600 });
        chownSync(join(handed, `secrets_${name}`), serviceUid, serviceUid);
      }
      return { CREDENTIALS_DIRECTORY: handed };
    },
    async [Symbol.asyncDispose](): Promise<void> {
      const ended = once(holder, "exit");
      holder.stdin?.end();
      await ended;
      await nameServer.stop();
    },
  };
}

/** At an address of its own: the port is the same for all. */
function startOwnNameServer(): Promise<NameServer> {
  const [, , third, fourth] = randomBytes(4);
  return startNameServer(`127.53.${third}.${((fourth ?? 0) % 254) + 1}`, { port: 53 });
}
export type Root = Awaited<ReturnType<typeof openRoot>>;
