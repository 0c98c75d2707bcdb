import { execFile, execFileSync, spawnSync } from "node:child_process";
import { once } from "node:events";
import {
  chmodSync,
  cpSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readlinkSync,
  rmSync,
  watch,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { promisify } from "node:util";
import { debianVersion } from "../../packaging/package/deb.ts";
import { project } from "../../packaging/package/workspace.ts";

const install = join(project, "packaging/install");
const before = join(project, "test/fixtures/debian-tree-in-versions");
const places = /\/(opt\/plantgate|var\/lib\/plantgate|etc\/plantgate|run\/systemd|usr\/share\/debconf|usr\/local)\b/g;
const name = "plantgate-gateway";

/** Where a package has its tree: in `package/`, or, as those of before, in `versions/VERSION`. */
type Layout = "package" | "versions";

/**
 * A machine in a folder with this machine's own dpkg: real packages with the real maintainer scripts, their places moved into the folder. A version
 * that is put on trial is kept at once.
 */
export class DpkgMachine {
  readonly path = mkdtempSync(join(tmpdir(), "plantgate-dpkg-"));
  readonly #env: Readonly<Record<string, string>>;

  constructor() {
    for (const folder of ["info", "updates", "triggers"]) mkdirSync(this.at("dpkg", folder), { recursive: true });
    for (const file of ["dpkg/status", "dpkg/available", "usr/share/debconf/confmodule"]) this.write(file, "");
    const silent = "systemctl systemd-sysusers systemd-tmpfiles systemd-notify update-alternatives sync chown".split(" ");
    const programs = Object.fromEntries(silent.map((program) => [program, ""]));
    const own = `--admindir "${this.at("dpkg")}"`;
    programs.dpkg = `exec /usr/bin/dpkg ${own} --log "${this.at("log")}" --force-not-root --force-unsafe-io "$@"`;
    programs["dpkg-query"] = `exec /usr/bin/dpkg-query ${own} "$@"`;
    programs.id = "echo 0";
    programs.uname = "echo x86_64";
    for (const [program, text] of Object.entries(programs)) this.write(`fakes/${program}`, `#!/bin/sh\n${text}\n`, 0o755);
    this.#env = { PATH: `${this.at("fakes")}:/usr/sbin:/usr/bin:/sbin:/bin`, DEBIAN_FRONTEND: "noninteractive" };
  }

  [Symbol.dispose](): void {
    rmSync(this.path, { recursive: true, force: true });
  }

  at(...parts: string[]): string {
    return join(this.path, ...parts);
  }

  /** Of the role's own folder. */
  top(...parts: string[]): string {
    return this.at("opt/plantgate/gateway", ...parts);
  }

  write(file: string, text: string, mode = 0o644): void {
    mkdirSync(dirname(this.at(file)), { recursive: true });
    writeFileSync(this.at(file), text);
    chmodSync(this.at(file), mode);
  }

  get current(): string {
    return readlinkSync(this.top("current")).replace("versions/", "");
  }

  /** What dpkg knows. */
  get known(): string {
    const args = ["--show", "--showformat", "${Version} ${db:Status-Status}", name];
    return spawnSync(this.at("fakes/dpkg-query"), args, { encoding: "utf8" }).stdout;
  }

  /** A program tree, as far as the scripts look at it. */
  tree(version: string, folder: string): void {
    const put = (file: string, text: string, mode = 0o644): void => {
      mkdirSync(dirname(join(folder, file)), { recursive: true });
      writeFileSync(join(folder, file), text);
      chmodSync(join(folder, file), mode);
    };
    const begin = `ln -sfn "versions/$3" "${this.top(".new")}"; mv -T "${this.top(".new")}" "${this.top("current")}"`;
    put(
      "bin/plantgate",
      `#!/bin/sh\ncase "$1 $2" in "--version "*) echo ${version};; "upgrade --begin") ${begin};; esac\n`,
      0o755,
    );
    put("bin/node", `node of ${version}`);
    put(`app/chunks/of-${version}.js`, version);
    put("manifest.json", JSON.stringify({ version }));
    for (const script of ["setup", "note-waiting"]) put(`install/${script}`, this.#moved(join(install, script)), 0o755);
  }

  /** A package of a version. @returns its file */
  package(version: string, layout: Layout = "package"): string {
    const folder = mkdtempSync(this.at("build-"));
    chmodSync(folder, 0o755);
    this.tree(version, join(folder, this.top(layout === "package" ? "package" : `versions/${version}`)));
    mkdirSync(join(folder, this.at("etc/plantgate")), { recursive: true });
    writeFileSync(join(folder, this.at("etc/plantgate/gateway.yaml")), "# as shipped\n");
    cpSync(join(install, "choose"), join(folder, this.top("choose")));
    const control = join(folder, "DEBIAN");
    mkdirSync(control);
    for (const script of ["preinst", "postinst", "prerm", "postrm"]) {
      const text = this.#moved(join(layout === "package" ? join(install, "debian") : before, script));
      writeFileSync(join(control, script), text.replaceAll("@ROLE@", "gateway").replaceAll("@VERSION@", version), {
        mode: 0o755,
      });
    }
    writeFileSync(join(control, "conffiles"), `${this.at("etc/plantgate/gateway.yaml")}\n`);
    writeFileSync(
      join(control, "control"),
      `Package: ${name}\nVersion: ${debianVersion(version)}\nArchitecture: all\nMaintainer: Nobody <nobody@example.com>\nDescription: test\n`,
    );
    const file = this.at(`${name}_${version}_${layout}.deb`);
    execFileSync("dpkg-deb", ["-Znone", "--build", folder, file], { stdio: "ignore" });
    rmSync(folder, { recursive: true });
    return file;
  }

  /** Runs dpkg with records of its own. @returns how it ended and all that was said */
  async dpkg(...args: string[]): Promise<{ readonly code: number; readonly said: string }> {
    return this.dpkgWith({}, ...args);
  }

  async dpkgWith(
    env: Readonly<Record<string, string>>,
    ...args: string[]
  ): Promise<{ readonly code: number; readonly said: string }> {
    return this.#run("dpkg", args, env);
  }

  /** As `dpkg -i`, and dpkg is gone at once when it has begun to unpack, as in a power cut. */
  async cutWhileUnpacking(file: string): Promise<void> {
    const killing = 'case "$1" in --fsys-tarfile) kill -KILL $PPID; exit 1;; esac';
    this.write("fakes/dpkg-deb", `#!/bin/sh\n${killing}\nexec /usr/bin/dpkg-deb "$@"\n`, 0o755);
    await this.dpkg("-i", file);
    rmSync(this.at("fakes/dpkg-deb"));
  }

  /** Runs what calls this machine's programs itself, as the updater does. */
  async within<Value>(run: () => Promise<Value>): Promise<Value> {
    const { PATH } = process.env;
    Object.assign(process.env, { ...this.#env, PLANTGATE_ROOT: this.path });
    try {
      return await run();
    } finally {
      process.env.PATH = PATH;
      for (const name of ["DEBIAN_FRONTEND", "PLANTGATE_ROOT"]) delete process.env[name];
    }
  }

  /** Installs a version from an archive. */
  async install(version: string): Promise<{ readonly code: number; readonly said: string }> {
    const folder = mkdtempSync(this.at("archive-"));
    this.tree(version, folder);
    writeFileSync(join(folder, "manifest.json"), JSON.stringify({ version, platform: "linux-x64" }, null, 2));
    writeFileSync(join(folder, "install.sh"), this.#moved(join(install, "install.sh")), { mode: 0o755 });
    writeFileSync(join(folder, "install/refresh.sh"), "#!/bin/sh\n", { mode: 0o755 });
    writeFileSync(join(folder, "install/gateway.yaml"), "# as shipped\n");
    return this.#run(join(folder, "install.sh"), ["gateway"]);
  }

  async #run(program: string, args: readonly string[], env = {}): Promise<{ readonly code: number; readonly said: string }> {
    try {
      const { stdout, stderr } = await promisify(execFile)(program, args, { env: { ...this.#env, ...env } });
      return { code: 0, said: stdout + stderr };
    } catch (error) {
      const { code, stdout, stderr } = error as { code: number; stdout: string; stderr: string };
      return { code, said: stdout + stderr };
    }
  }

  /** Names that came or went in a folder while something was done. */
  async changesIn(folder: string, run: () => Promise<unknown>): Promise<string[]> {
    const changes: string[] = [];
    const { ino } = lstatSync(folder);
    const watcher = watch(folder, (event, file) => {
      if (event === "rename") changes.push(String(file));
    });
    try {
      await run();
      // comes after all that has happened before; another folder of that name is not seen
      if (existsSync(folder) && lstatSync(folder).ino === ino) {
        const last = `${folder}/the-end`;
        writeFileSync(last, "");
        while (!changes.includes("the-end")) await once(watcher, "change");
        rmSync(last);
      }
    } finally {
      watcher.close();
    }
    return changes.filter((file) => file !== "the-end");
  }

  #moved(script: string): string {
    return readFileSync(script, "utf8").replaceAll(places, (place) => this.at(place));
  }
}
