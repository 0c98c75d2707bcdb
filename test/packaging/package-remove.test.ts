import { execFileSync, spawnSync } from "node:child_process";
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { describe, expect, it } from "vitest";
import { project } from "../../packaging/package/workspace.ts";
import { temporaryFolder } from "../support/folder.ts";

type Role = "gateway" | "central";

const install = join(project, "packaging/install");
const places = /\/(opt\/plantgate|var\/lib\/plantgate|etc\/plantgate|run\/systemd|usr\/share\/debconf|usr\/local)\b/g;

/** A machine in a folder: the scripts find it instead of `/`, and programs that only note what they are told. */
function openMachine() {
  const folder = temporaryFolder();
  const at = (path: string): string => join(folder.path, path);
  const put = (path: string, text = "", mode = 0o644): void => {
    mkdirSync(dirname(at(path)), { recursive: true });
    writeFileSync(at(path), text);
    chmodSync(at(path), mode);
  };
  const programs = {
    id: "echo 0",
    "dpkg-query": "exit 1",
    uname: "echo x86_64",
    chown: "",
    sync: "",
    systemctl: `echo "$*" >>"${at("told")}"`,
    "systemd-sysusers": "",
    "systemd-tmpfiles": "",
    "systemd-notify": "",
    "update-alternatives": "",
  };
  for (const [name, text] of Object.entries(programs)) put(`fakes/${name}`, `#!/bin/sh\n${text}\n`, 0o755);
  put("told");
  return {
    at,
    put,
    has: (path: string): boolean => existsSync(at(path)),
    told: (): string[] => readFileSync(at("told"), "utf8").trim().split("\n"),
    /** Runs one of the scripts there, its places and its role filled in. */
    run(script: string, role: Role, ...args: readonly string[]) {
      const text = readFileSync(join(install, script), "utf8").replaceAll(places, (place) => at(place));
      put("archive/script", text.replaceAll("@ROLE@", role).replaceAll("@VERSION@", "1.0.0"), 0o755);
      const env = { PATH: `${at("fakes")}:/usr/sbin:/usr/bin:/sbin:/bin` };
      return spawnSync("dash", [at("archive/script"), ...args], { env, encoding: "utf8", timeout: 120_000 });
    },
    [Symbol.dispose]: () => folder[Symbol.dispose](),
  };
}

/** Data and secrets of a role whose package was removed while so much waited. */
function removed(role: Role, waiting?: string) {
  const machine = openMachine();
  machine.put(`var/lib/plantgate/${role}/queue.sqlite`);
  machine.put(`var/lib/plantgate/${role}/damaged/x`);
  machine.put("etc/plantgate/secrets/wms");
  if (waiting !== undefined) machine.put(`var/lib/plantgate/${role}.waiting`, `${waiting}\n`);
  return machine;
}

describe("purge of the Debian package", () => {
  it("deletes an empty queue, and asks for one that is not", () => {
    using empty = removed("gateway", "0");
    expect(empty.run("debian/postrm", "gateway", "purge")).toMatchObject({ status: 0, stderr: "" });
    expect(empty.has("var/lib/plantgate")).toBe(false);
    expect(empty.has("etc/plantgate")).toBe(false);
    using full = removed("gateway", "12");
    const { status, stderr } = full.run("debian/postrm", "gateway", "purge");
    expect({ status, stderr }).toMatchObject({ status: 0, stderr: expect.stringContaining("messages that wait: 12") });
    expect(full.has("var/lib/plantgate/gateway/queue.sqlite")).toBe(true);
    expect(full.has("etc/plantgate/secrets/wms")).toBe(true);
  });

  it("deletes nothing unasked where it is not known what waits, though the folder is empty", () => {
    using machine = removed("gateway", "unknown");
    rmSync(machine.at("var/lib/plantgate/gateway"), { recursive: true });
    mkdirSync(machine.at("var/lib/plantgate/gateway"));
    expect(machine.run("debian/postrm", "gateway", "purge").status).toBe(0);
    expect(machine.has("etc/plantgate/secrets/wms")).toBe(true);
    using noted = removed("gateway");
    expect(noted.run("debian/postrm", "gateway", "purge").status).toBe(0);
    expect(noted.has("etc/plantgate/secrets/wms")).toBe(true);
  });

  it("deletes nothing of an archive that has taken the package's place", () => {
    using machine = removed("gateway", "0");
    machine.put("opt/plantgate/gateway/current/install/gateway.yaml", "# empty\n");
    expect(machine.run("debian/postrm", "gateway", "purge").status).toBe(0);
    expect(machine.has("var/lib/plantgate/gateway/queue.sqlite")).toBe(true);
    expect(machine.has("etc/plantgate/secrets/wms")).toBe(true);
    // dpkg itself deletes what is a package's settings
    expect(readFileSync(machine.at("etc/plantgate/gateway.yaml"), "utf8")).toBe("# empty\n");
  });

  it("empties a data folder that cannot be removed, as a disk is mounted there, and ends well", () => {
    using machine = removed("gateway", "0");
    machine.put("fakes/rmdir", "#!/bin/sh\nexit 1\n", 0o755);
    expect(machine.run("debian/postrm", "gateway", "purge").status).toBe(0);
    expect(readdirSync(machine.at("var/lib/plantgate/gateway"))).toEqual([]);
  });

  it("deletes with central's data the copies that upgrades made of them, and no backup", () => {
    using machine = removed("central");
    machine.put("var/lib/plantgate/central-before-upgrades/b");
    machine.put("var/lib/plantgate/central-backups/b");
    const kept = machine.run("debian/postrm", "central", "purge");
    expect(kept.stderr).toContain("central-before-upgrades");
    expect(kept.stderr).not.toContain("wait");
    machine.put("etc/plantgate/pgpass");
    expect(machine.has("var/lib/plantgate/central-before-upgrades/b")).toBe(true);
    const deleted = machine.run("uninstall.sh", "central", "central", "--purge", "--delete-waiting");
    expect(deleted).toMatchObject({ status: 0, stderr: "", stdout: expect.stringContaining("central-backups") });
    expect(readdirSync(machine.at("var/lib/plantgate"))).toEqual(["central-backups"]);
    expect(machine.has("etc/plantgate/pgpass")).toBe(false);
  });
});

describe("purge of one role", () => {
  it.each(["debian/postrm", "uninstall.sh"])("leaves what the other needs, also where that has no settings (%s)", (script) => {
    using machine = removed("central");
    rmSync(machine.at("var/lib/plantgate/central"), { recursive: true });
    machine.put("opt/plantgate/gateway/current/bin/plantgate");
    machine.put("etc/plantgate/release-keys.d/ours.pem");
    const args = script === "uninstall.sh" ? ["central", "--purge"] : ["purge"];
    expect(machine.run(script, "central", ...args)).toMatchObject({ status: 0, stderr: "" });
    expect(machine.has("etc/plantgate/secrets/wms")).toBe(true);
    expect(machine.has("etc/plantgate/release-keys.d/ours.pem")).toBe(true);
  });
});

describe("what is noted for a later purge", () => {
  it("is not waited for where the program does not answer", () => {
    using machine = openMachine();
    execFileSync("mkfifo", [machine.at("never")]);
    machine.put("var/lib/plantgate/gateway/queue.sqlite");
    // what its folder holds is the service's to choose
    machine.put("bin/plantgate", `#!/bin/sh\nexec cat "${machine.at("never")}"\n`, 0o755);
    machine.put("fakes/timeout", '#!/bin/sh\nshift 3; exec /usr/bin/timeout 1 "$@"\n', 0o755);
    machine.put("bin/node", "#!/bin/sh\necho SyntaxError >&2\nexit 1\n", 0o755);
    expect(machine.run("note-waiting", "gateway", "gateway")).toMatchObject({ status: 0, stderr: "" });
    expect(readFileSync(machine.at("var/lib/plantgate/gateway.waiting"), "utf8")).toBe("unknown\n");
  });

  it.each([
    ["", "0"],
    ["# dataDir: /srv/queue\n", "0"],
    ["dataDir: /var/lib/plantgate/gateway\n", "0"],
    ['dataDir: "/var/lib/plantgate/gateway/" # as shipped\n', "0"],
    ["dataDir: /srv/queue\n", "unknown"],
    ["port: 1\n{dataDir: /srv/queue}\n", "unknown"],
    ["dataDir: /var/lib/plantgate/gateway2\n", "unknown"],
  ])("of a gateway without a queue whose settings are %j: %s", (settings, waiting) => {
    using machine = openMachine();
    machine.put("etc/plantgate/gateway.yaml", settings.replaceAll("/var/lib", machine.at("var/lib")));
    mkdirSync(machine.at("var/lib/plantgate/gateway"), { recursive: true });
    expect(machine.run("note-waiting", "gateway", "gateway")).toMatchObject({ status: 0, stderr: "" });
    expect(readFileSync(machine.at("var/lib/plantgate/gateway.waiting"), "utf8")).toBe(`${waiting}\n`);
  });

  it("is forgotten when it is installed or removed again", () => {
    using machine = removed("gateway", "0");
    machine.put("opt/plantgate/gateway/versions/1.0.0/bin/plantgate", "#!/bin/sh\n", 0o755);
    expect(machine.run("setup", "gateway", "gateway", "1.0.0")).toMatchObject({ status: 0, stderr: "" });
    expect(machine.has("var/lib/plantgate/gateway.waiting")).toBe(false);
    machine.put("var/lib/plantgate/gateway.waiting", "0\n");
    expect(machine.run("debian/prerm", "gateway", "remove").status).toBe(0);
    expect(machine.has("var/lib/plantgate/gateway.waiting")).toBe(false);
  });
});

describe("where no systemd runs, as in an image that is built", () => {
  it("notes what starts with the machine, starts nothing, and takes it back", () => {
    using machine = openMachine();
    machine.put("opt/plantgate/gateway/versions/1.0.0/bin/plantgate", "#!/bin/sh\n", 0o755);
    machine.put("var/lib/plantgate/gateway/gateway.json");
    expect(machine.run("setup", "gateway", "gateway", "1.0.0")).toMatchObject({ status: 0, stderr: "", stdout: "" });
    const units = ["plantgate-gateway-upgrade.service", "plantgate-gateway-upgrade.path", "plantgate-gateway.service"];
    expect(machine.told()).toEqual(units.map((unit) => `enable --quiet ${unit}`));
    expect(readFileSync(machine.at("opt/plantgate/gateway/units-enabled"), "utf8").trim().split("\n")).toEqual(units);
    machine.put("told");
    expect(machine.run("debian/prerm", "gateway", "remove").status).toBe(0);
    expect(machine.told()).toEqual([
      "disable --quiet plantgate-gateway-upgrade.path",
      "disable --quiet plantgate-gateway-upgrade.service plantgate-gateway.service",
    ]);
  });
});

describe("what somebody decided of a service", () => {
  /** A machine whose systemctl says of each unit what is written there, and whose gateway is enrolled. */
  function running(state: string) {
    const machine = openMachine();
    mkdirSync(machine.at("run/systemd/system"), { recursive: true });
    const said = `case $1 in show) echo ${state};; is-active) [ ${state} = active ];; esac`;
    machine.put("fakes/systemctl", `#!/bin/sh\necho "$*" >>"${machine.at("told")}"\n${said}\n`, 0o755);
    machine.put("var/lib/plantgate/gateway/gateway.json");
    machine.put("opt/plantgate/gateway/versions/1.0.0/bin/plantgate", "#!/bin/sh\n", 0o755);
    return machine;
  }
  const changes = (machine: ReturnType<typeof openMachine>) =>
    machine.told().filter((line) => /^(enable|start|restart)/.test(line));

  it("stands: a later version enables and starts nothing again that was taken out", () => {
    using machine = running("inactive");
    machine.run("setup", "gateway", "gateway", "1.0.0");
    expect(changes(machine)).toContain("start plantgate-gateway.service");
    machine.put("told");
    machine.put("opt/plantgate/gateway/versions/1.1.0/bin/plantgate", "#!/bin/sh\n", 0o755);
    const { status, stdout } = machine.run("setup", "gateway", "gateway", "1.1.0");
    expect({ status, stdout }).toMatchObject({
      status: 0,
      stdout: expect.stringContaining("plantgate-gateway.service is stopped"),
    });
    expect(changes(machine)).toEqual([]);
  });

  it("stands as well where the package of before noted nothing: what it brought is enabled no second time, what is new is", () => {
    using machine = running("inactive");
    for (const unit of ["plantgate-gateway.service", "plantgate-gateway-upgrade.service"])
      machine.put(`opt/plantgate/gateway/versions/1.0.0/install/units/${unit}`);
    symlinkSync("versions/1.0.0", machine.at("opt/plantgate/gateway/current"));
    machine.put("opt/plantgate/gateway/versions/1.1.0/bin/plantgate", "#!/bin/sh\n", 0o755);
    expect(machine.run("setup", "gateway", "gateway", "1.1.0").status).toBe(0);
    const units = ["enable --quiet plantgate-gateway-upgrade.path", "start plantgate-gateway-upgrade.path"];
    expect(changes(machine)).toEqual(units);
  });

  it("is nothing where the package was taken out and stays after all, or its first installation was cut off", () => {
    using machine = running("inactive");
    const unit = "opt/plantgate/gateway/versions/1.0.0/install/units/plantgate-gateway.service";
    machine.put(unit);
    // the power goes with the first unit that is enabled
    const whole = readFileSync(machine.at("fakes/systemctl"), "utf8");
    machine.put("fakes/systemctl", '#!/bin/sh\n[ "$1" != enable ] || kill -9 $PPID\n', 0o755);
    expect(machine.run("setup", "gateway", "gateway", "1.0.0").status).not.toBe(0);
    machine.put("fakes/systemctl", whole, 0o755);
    expect(machine.run("setup", "gateway", "gateway", "1.0.0").status).toBe(0);
    expect(changes(machine)).toContain("enable --quiet plantgate-gateway.service");
    expect(machine.run("debian/prerm", "gateway", "remove").status).toBe(0);
    machine.put("told");
    expect(machine.run("setup", "gateway", "gateway", "1.0.0").status).toBe(0);
    expect(changes(machine)).toContain("enable --quiet plantgate-gateway.service");
  });

  it("is not spoken over: central that stays stopped listens nowhere", () => {
    using machine = running("inactive");
    machine.put("opt/plantgate/central/versions/1.0.0/bin/plantgate", "#!/bin/sh\n", 0o755);
    const said = () => machine.run("setup", "central", "central", "1.0.0");
    expect(said()).toMatchObject({ status: 0, stdout: expect.stringContaining("central listens on") });
    expect(said()).toMatchObject({ status: 0, stdout: expect.not.stringContaining("central listens on") });
  });

  it("is not what a failed start is: a version that may repair it is started", () => {
    using machine = running("failed");
    machine.put("opt/plantgate/gateway/units-enabled", "plantgate-gateway.service\n");
    symlinkSync("versions/1.0.0", machine.at("opt/plantgate/gateway/current"));
    expect(machine.run("setup", "gateway", "gateway", "1.0.0").status).toBe(0);
    expect(changes(machine)).toContain("start plantgate-gateway.service");
    expect(changes(machine)).not.toContain("enable --quiet plantgate-gateway.service");
  });
});

describe("install.sh", () => {
  /** An archive whose parts note that they are called. */
  function archive(machine: ReturnType<typeof openMachine>, version: string, setup = ""): void {
    machine.put("archive/manifest.json", JSON.stringify({ version, platform: "linux-x64" }, null, 2));
    machine.put("archive/bin/plantgate", "#!/bin/sh\n", 0o755);
    for (const [part, text] of Object.entries({ "refresh.sh": "", setup }))
      machine.put(`archive/install/${part}`, `#!/bin/sh\necho ${part} "$@" >>"${machine.at("told")}"\n${text}\n`, 0o755);
  }
  const places = (machine: ReturnType<typeof openMachine>) => {
    rmSync(machine.at("opt"), { recursive: true, force: true });
    mkdirSync(machine.at("opt/plantgate/gateway/versions/1.0.0"), { recursive: true });
    symlinkSync("versions/1.0.0", machine.at("opt/plantgate/gateway/current"));
  };

  it("puts the units in place before what it starts; where another version runs, not before that one is kept", () => {
    using machine = openMachine();
    archive(machine, "1.0.0");
    expect(machine.run("install.sh", "gateway", "gateway")).toMatchObject({ status: 0, stderr: "" });
    expect(machine.told()).toEqual(["refresh.sh gateway", "setup gateway 1.0.0"]);
    places(machine);
    machine.put("told");
    archive(machine, "1.1.0", `: >"${machine.at("opt/plantgate/gateway/trial.json")}"`);
    expect(machine.run("install.sh", "gateway", "gateway")).toMatchObject({ status: 0, stderr: "" });
    expect(machine.told()).toEqual(["setup gateway 1.1.0"]);
    places(machine);
    machine.put("told");
    archive(machine, "1.2.0", `ln -sfn versions/1.2.0 "${machine.at("opt/plantgate/gateway/current")}"`);
    expect(machine.run("install.sh", "gateway", "gateway")).toMatchObject({ status: 0, stderr: "" });
    expect(machine.told()).toEqual(["setup gateway 1.2.0", "refresh.sh gateway"]);
  });

  it("ends where the archive cannot be read whole", () => {
    using machine = openMachine();
    archive(machine, "1.0.0");
    machine.put("fakes/cp", "#!/bin/sh\necho cp: read error >&2\nexit 1\n", 0o755);
    expect(machine.run("install.sh", "gateway", "gateway").status).toBe(1);
    expect(readdirSync(machine.at("opt/plantgate/gateway/versions"))).toEqual([]);
    expect(machine.told()).toEqual([""]);
  });
});

describe("secrets of the machine", () => {
  it("that systemd would start nothing for are put aside, and said; the others stay", () => {
    using machine = openMachine();
    for (const name of ["wms", "with space", "a:b", "schlüssel", "two\nlines", "sub/x", "sub/y:z", "n".repeat(245)])
      machine.put(`etc/plantgate/secrets/${name}`);
    machine.put("etc/plantgate/secrets/large", "x".repeat(1_100_000));
    const { status, stderr, stdout } = machine.run("usable-secrets", "gateway");
    expect(status).toBe(0);
    expect(readdirSync(machine.at("etc/plantgate/secrets")).sort()).toEqual(["sub", "with space", "wms"]);
    const aside = readdirSync(machine.at("etc/plantgate/secrets-not-usable")).sort();
    expect(aside).toEqual(["a:b", "large", "n".repeat(245), "schlüssel", "two\nlines", "y:z"]);
    for (const name of aside) expect(stderr + stdout).toContain(name);
  });

  it("may have no folder: it is made", () => {
    using machine = openMachine();
    machine.put("etc/plantgate/gateway.yaml");
    expect(machine.run("usable-secrets", "gateway")).toMatchObject({ status: 0, stderr: "", stdout: "" });
    expect(readdirSync(machine.at("etc/plantgate/secrets"))).toEqual([]);
  });
});
