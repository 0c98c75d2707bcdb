import { execFileSync } from "node:child_process";
import { generateKeyPairSync, sign } from "node:crypto";
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import type { Role } from "../../packaging/cli/installed.ts";
import { machineDisk } from "../../packaging/upgrade/disk.ts";
import { type Layout, layoutOf } from "../../packaging/upgrade/layout.ts";
import type { Machine, Services } from "../../packaging/upgrade/machine.ts";
import type { Trial } from "../../packaging/upgrade/records.ts";
import { machineServices } from "../../packaging/upgrade/services.ts";
import type { TrialDeps } from "../../packaging/upgrade/trials.ts";
import type { Package } from "../../packaging/upgrade/upgrade.ts";
import { type Clock, PlantgateError } from "../../protocol/index.ts";

/** The power is cut: nothing of this updater happens any more. */
export class Cut extends Error {}

/** How a version does when it is started. */
export type Conduct = "well" | "never ready" | "ends soon" | "ends for good" | "offline" | "connector down" | "silent";

const platform = `${process.platform}-${process.arch}`;
const choose = new URL("../../packaging/install/choose", import.meta.url).pathname;

/**
 * A machine with an installed gateway, in a folder: real files, real packages, the real `choose`; its supervisor and its gateway are played.
 * Time passes by sleeping.
 */
export class InstalledMachine {
  readonly root = mkdtempSync(join(tmpdir(), "plantgate-machine-"));
  readonly layout: Layout;
  readonly keys = generateKeyPairSync("ed25519");
  readonly conduct = new Map<string, Conduct>();
  /** The schema of central's database that a version brings, where it is another one. */
  readonly schemaSteps = new Map<string, string>();
  readonly said: string[] = [];
  /** What runs; undefined: nothing does. */
  running: string | undefined;
  /** Every version that was started, in order. */
  readonly started: string[] = [];
  #unit = { active: "inactive", invocation: "", restarts: 0, result: "success" };
  /** How far the clock on the wall is from running time. */
  wallAheadMs = 0;
  #now = Date.UTC(2026, 0, 1);
  #readyAt = 0;

  constructor(role: Role = "gateway", first = "0.1.0") {
    process.env.PLANTGATE_ROOT = this.root;
    this.layout = layoutOf(role);
    mkdirSync(this.layout.dataDir, { recursive: true });
    mkdirSync(this.layout.versions, { recursive: true });
    cpSync(choose, this.layout.choose);
    this.tree(first, join(this.layout.versions, first));
    symlinkSync(`versions/${first}`, this.layout.current);
  }

  [Symbol.dispose](): void {
    delete process.env.PLANTGATE_ROOT;
    rmSync(this.root, { recursive: true, force: true });
  }

  readonly clock: Clock = {
    now: () => this.#now + this.wallAheadMs,
    monotonic: () => this.#now,
    sleep: async (ms) => {
      this.#now += ms;
      this.#supervise();
    },
  };

  /** A program tree, as far as an updater looks at it. */
  tree(version: string, folder: string, more: Readonly<Record<string, unknown>> = {}): string {
    mkdirSync(join(folder, "bin"), { recursive: true });
    const program = join(folder, "bin/plantgate");
    writeFileSync(
      program,
      `#!/bin/sh\ncase "$1 $2" in "--version "*) echo ${version};; "queue judge") [ ! -e "$4/newer" ] || { echo "the queue has format 9" >&2; exit 1; };; "upgrade --facts") echo '{"schemaStep":"${this.schemaSteps.get(version) ?? "0005"}"}';; "backup --out") echo backup >>"${this.root}/calls"; echo '{"file":"'"$3"'/b"}';; esac\n`,
    );
    chmodSync(program, 0o755);
    writeFileSync(join(folder, "release-keys.pem"), this.keys.publicKey.export({ type: "spki", format: "pem" }));
    const manifest = { product: "plantgate", version, platform, node: "26.10.0", queueFormat: 4, ...more };
    writeFileSync(join(folder, "manifest.json"), JSON.stringify(manifest));
    return folder;
  }

  /** The bundle of a version; `change` gets its tree before it is packed. */
  tar(version: string, more: Readonly<Record<string, unknown>> = {}, change: (tree: string) => void = () => {}): Package {
    const name = `plantgate-${version}-${platform}`;
    const folder = mkdtempSync(join(this.root, "build-"));
    change(this.tree(version, join(folder, name), more));
    const file = join(this.root, `${name}.tar.gz`);
    execFileSync("tar", ["-czf", file, "-C", folder, name]);
    return this.signed(file);
  }

  /** @param place of the tree in it: packages of before had it in `versions/VERSION` */
  deb(version: string, role = "gateway", place = "package"): Package {
    const folder = mkdtempSync(join(this.root, "build-"));
    chmodSync(folder, 0o755);
    this.tree(version, join(folder, `opt/plantgate/${role}`, place));
    mkdirSync(join(folder, "DEBIAN"));
    writeFileSync(
      join(folder, "DEBIAN/control"),
      `Package: plantgate-${role}\nVersion: ${version}\nArchitecture: all\nMaintainer: Nobody <nobody@example.com>\nInstalled-Size: 10\nDescription: test\n`,
    );
    const file = join(this.root, `plantgate-${role}_${version}_all.deb`);
    execFileSync("dpkg-deb", ["--root-owner-group", "--build", folder, file], { stdio: "ignore" });
    return this.signed(file);
  }

  signed(file: string): Package {
    const bytes = readFileSync(file);
    const signature = sign(null, bytes, this.keys.privateKey).toString("base64");
    writeFileSync(`${file}.sig`, `${signature}\n`);
    return { name: basename(file), bytes, signature };
  }

  get current(): string {
    return basename(readlinkSync(this.layout.current));
  }

  record(file: "trial" | "last"): Record<string, unknown> | undefined {
    const path = this.layout[file];
    return existsSync(path) ? (JSON.parse(readFileSync(path, "utf8")) as Record<string, unknown>) : undefined;
  }

  /** The gateway's own mark, as it writes it. */
  markHealthy(trial: Pick<Trial, "version" | "begun">): void {
    writeFileSync(join(this.layout.dataDir, `healthy-${trial.version}`), `${trial.begun}\n`);
  }

  /** The supervisor starts the unit: `choose`, then what is current. */
  start(): void {
    this.stop();
    const env = { ...process.env, INVOCATION_ID: "", PLANTGATE_ROOT: this.root };
    execFileSync("dash", [this.layout.choose], { env, stdio: "ignore" });
    const version = this.current;
    // a tree that is not whole does not start
    execFileSync(join(this.layout.current, "bin/plantgate"), ["--version"]);
    if (!existsSync(join(this.layout.current, "manifest.json"))) throw new Error(`half a tree is current: ${version}`);
    this.started.push(version);
    this.#unit.invocation = `run-${this.started.length}`;
    this.#readyAt = this.#now;
    if (this.#conductOf(version) === "never ready") {
      this.#unit.active = "activating";
      this.#unit.result = "exit-code";
      return;
    }
    this.running = version;
    this.#unit.active = "active";
    this.#unit.result = "success";
  }

  /** @param between two starts of a process that ended: systemd calls it failed then */
  stop(between = false): void {
    this.running = undefined;
    this.#unit.active = between ? "failed" : "inactive";
  }

  /** The process ends by itself, and the supervisor starts it again with the next look. */
  crash(): void {
    this.running = undefined;
    this.#unit.active = "activating";
    this.#unit.result = "signal";
  }

  /** After a power cut: the unit starts, and is started again for as long as it does not come up. */
  boot(): void {
    this.#unit.restarts = 0;
    this.start();
    for (let starts = 0; this.#unit.active !== "active"; starts++) {
      if (starts > 10) throw new Error("it never comes up");
      this.start();
    }
  }

  deps(services: Partial<Services> = {}, disk: Machine | undefined = undefined): TrialDeps {
    const machine: Machine = disk ?? { clock: this.clock, ...machineDisk, ...this.services(), ...services };
    return { layout: this.layout, machine, tell: (line) => this.said.push(line) };
  }

  /**
   * A machine whose power is cut at the `at`th step that changes something, before or after it happened; or amidst the `at`th deletion of a tree,
   * which leaves half of it.
   */
  cutAt(at: number, side: "before" | "amidst" | "after"): TrialDeps & { readonly isCut: () => boolean } {
    const whole = this.deps().machine;
    let steps = 0;
    let isCut = false;
    const changing = new Set([
      ...[
        "write",
        "point",
        "remove",
        "rename",
        "removeTree",

        "makeFolder",
        "writeBytes",
        "flushTree",
        "removeForeign",
      ],
      ...["restart", "tryRestart", "startLater", "unpack", "run"],
    ]);
    const machine = new Proxy(whole, {
      get: (target, name: keyof Machine) => {
        const call = target[name];
        if (typeof call !== "function") return call;
        return (...args: unknown[]) => {
          if (isCut) throw new Cut();
          const counts = side === "amidst" ? name === "removeTree" && existsSync(String(args[0])) : changing.has(name);
          if (!counts) return (call as (...given: unknown[]) => unknown).apply(target, args);
          const isHere = ++steps === at;
          if (isHere && side === "amidst") {
            for (const part of readdirSync(String(args[0])))
              if (part !== "bin") rmSync(join(String(args[0]), part), { recursive: true });
            isCut = true;
            throw new Cut();
          }
          if (isHere && side === "before") {
            isCut = true;
            throw new Cut();
          }
          const value = (call as (...given: unknown[]) => unknown).apply(target, args);
          if (!isHere) return value;
          isCut = true;
          if (!(value instanceof Promise)) throw new Cut();
          const cut = (): never => {
            throw new Cut();
          };
          return value.then(cut, cut);
        };
      },
    });
    return { ...this.deps({}, machine), isCut: () => isCut };
  }

  services(): Services {
    const real = machineServices(this.layout);
    return {
      run: real.run,
      unpack: real.unpack,
      unpackedBytes: real.unpackedBytes,
      debianVersion: async () => undefined,
      restart: async () => {
        this.#unit.restarts = 0;
        this.start();
        if (this.#unit.active !== "active") throw new PlantgateError("PEER_UNREACHABLE", "it did not become ready");
      },
      tryRestart: async () => {
        if (this.#unit.active !== "inactive") this.start();
      },
      startLater: async () => {},
      look: async () => ({ ...this.#unit }),
      health: async () => {
        if (this.running === undefined || this.#conductOf(this.running) === "silent") return undefined;
        const conduct = this.#conductOf(this.running);
        return {
          version: this.running,
          link: conduct === "offline" ? "offline" : "online",
          connectors: [
            { name: "broker", state: conduct === "connector down" ? "down" : "up" },
            { name: "wms", state: "down" },
          ],
        };
      },
    };
  }

  #conductOf(version: string): Conduct {
    return this.conduct.get(version) ?? "well";
  }

  #supervise(): void {
    const conduct = this.running === undefined ? undefined : this.#conductOf(this.running);
    if (conduct === "ends for good" && this.#now - this.#readyAt > 5000) {
      // with a code for which its supervisor does not start it again
      this.running = undefined;
      this.#unit.active = "failed";
      this.#unit.result = "exit-code";
      return;
    }
    if (this.running !== undefined && this.#conductOf(this.running) === "ends soon" && this.#now - this.#readyAt > 5000)
      this.crash();
    else if (this.#unit.active === "activating") {
      const { restarts } = this.#unit;
      this.start();
      this.#unit.restarts = restarts + 1;
    }
  }
}
