import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";

/** The layout of a machine with an updater, below a folder; what root's updater would do is done by the test. */
export class UpdatedFolder {
  readonly root: string;
  readonly installedDir: string;
  readonly dataDir: string;

  constructor(root: string, kind: "deb" | "tar" = "deb") {
    this.root = root;
    this.installedDir = join(root, "opt/plantgate/gateway");
    this.dataDir = join(root, "var/lib/plantgate/gateway");
    for (const folder of [join(this.installedDir, "current"), this.dataDir, join(root, "var/lib/dpkg/info")])
      mkdirSync(folder, { recursive: true });
    writeFileSync(join(this.installedDir, "choose"), "");
    if (kind === "deb") writeFileSync(join(root, "var/lib/dpkg/info/plantgate-gateway.list"), "");
  }

  /** What lies there for the updater; undefined: nothing is asked for. */
  get request(): Record<string, unknown> | undefined {
    const file = join(this.dataDir, "upgrade/incoming/request.json");
    return existsSync(file) ? (JSON.parse(readFileSync(file, "utf8")) as Record<string, unknown>) : undefined;
  }
  get incoming(): string[] {
    const folder = join(this.dataDir, "upgrade/incoming");
    return existsSync(folder) ? readdirSync(folder).sort() : [];
  }
  readIncoming(name: string): Buffer {
    return readFileSync(join(this.dataDir, "upgrade/incoming", name));
  }

  /** The updater has looked: whatever comes of it, it is not asked twice. */
  takeRequest(): void {
    rmSync(join(this.dataDir, "upgrade/incoming/request.json"), { force: true });
  }

  /** The updater takes the request; what it was about is on trial from now on. */
  beginTrial(version: string, begun = "2026-01-31T08:00:00.000Z"): void {
    this.takeRequest();
    this.#write("trial.json", {
      version,
      from: "0.1.0",
      starts: 1,
      mostStarts: 3,
      begun,
      watchMs: 1,
      before: { online: true, up: [] },
    });
  }

  /** It has decided. */
  decide(
    version: string,
    outcome: "kept" | "rolled-back" | "refused",
    reason = "",
    at = "2026-01-31T08:01:00.000Z",
    begun = "2026-01-31T08:00:00.000Z",
  ): void {
    this.takeRequest();
    this.#write("last-upgrade.json", { version, from: "0.1.0", outcome, reason, at, begun });
    rmSync(join(this.installedDir, "trial.json"), { force: true });
  }

  #write(name: string, value: object): void {
    writeFileSync(join(this.installedDir, name), `${JSON.stringify(value)}\n`);
  }
}
