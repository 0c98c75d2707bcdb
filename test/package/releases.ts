import { createPublicKey, generateKeyPairSync, sign, verify } from "node:crypto";
import {
  copyFileSync,
  cpSync,
  existsSync,
  globSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { basename, dirname, join } from "node:path";
import { version } from "../../gateway/version.ts";
import { openReleaseKey, type ReleaseKey, signFile } from "../../packaging/package/signing.ts";
import { project } from "../../packaging/package/workspace.ts";
import { contained, must } from "./programs.ts";

export type Kind = "deb" | "tar";
export type Role = "gateway" | "central";
export type Version = keyof typeof versions;

const [major = 0, minor = 0] = version.split(".").map(Number);
const later = (by: number): string => `${major}.${minor + by}.0`;
export const versions = {
  /** What `npm run package` made. */
  base: version,
  /** The next one, made by `npm run package -- --release`. */
  next: later(1),
  /** A good one after that. */
  last: later(2),
  /** The newest, and it ends by itself some seconds after its start. */
  bad: later(3),
  /** Of central: the same, and before that it brings the ledger to a schema that no version before knows. */
  newer: later(4),
} as const;

/** How long the bad version runs each time. */
export const badSeconds = 5;
const targets = {
  x64: { platform: "linux-x64", architecture: "amd64" },
  arm64: { platform: "linux-arm64", architecture: "arm64" },
} as const;

/** Packages of several versions, all signed with the key that the base's build used. */
export class Releases {
  readonly #folder: string;
  readonly #key: ReleaseKey;
  readonly #made = new Map<string, Promise<void>>();
  readonly #target: (typeof targets)[keyof typeof targets];

  /** @throws Error where `npm run package` has not been run */
  constructor(
    folder: string,
    kinds: readonly Kind[],
    of: { readonly central: boolean },
    cpu = process.arch as keyof typeof targets,
  ) {
    this.#folder = folder;
    this.#target = targets[cpu];
    mkdirSync(folder, { recursive: true });
    this.#key = openReleaseKey(process.env.PLANTGATE_RELEASE_KEY, join(project, ".plantgate/release"));
    const needed = kinds.map((kind) => this.file(kind, "base"));
    // the gateway enrolls at an installed central, and a lost one is installed anew from the archive
    if (kinds.includes("deb"))
      needed.push(this.file("deb", "base", "central"), ...(of.central ? [this.file("tar", "base")] : []));
    for (const file of needed) {
      if (!existsSync(file)) throw new Error(`${file} is not there: run "npm run package" first`);
      if (!this.#isOurs(file))
        throw new Error(
          `${file} was signed with another key: name it in PLANTGATE_RELEASE_KEY here as well, or run "npm run package" again`,
        );
    }
  }

  #isOurs(file: string): boolean {
    const signature = Buffer.from(readFileSync(`${file}.sig`, "utf8"), "base64");
    return verify(null, readFileSync(file), createPublicKey(this.#key.privateKey), signature);
  }

  /** Its signature lies beside it. An archive holds both roles. */
  file(kind: Kind, which: Version, role: Role = "gateway"): string {
    const name =
      kind === "deb"
        ? `plantgate-${role}_${versions[which]}_${this.#target.architecture}.deb`
        : `plantgate-${versions[which]}-${this.#target.platform}.tar.gz`;
    if (which === "base") return join(project, "out/packages", name);
    return join(this.#folder, which === "next" && role === "gateway" ? "out/packages" : "", name);
  }

  /**
   * Begins to make the versions after the first one as soon as `begin` resolves, one after the other in the order in which they are needed: {@link made}
   * waits for one of them.
   */
  makeLater(kinds: readonly Kind[], of: { readonly gateway: boolean; readonly central: boolean }, begin: Promise<void>): void {
    let last = begin;
    const then = (make: () => Promise<void>, ...files: readonly string[]): void => {
      last = last.then(make);
      // who waits for it sees it fail
      last.catch(() => {});
      for (const file of files) this.#made.set(file, last);
    };
    if (of.gateway) {
      then(() => this.#buildNext(kinds), ...kinds.map((kind) => this.file(kind, "next")));
      for (const which of ["bad", "last"] as const)
        for (const kind of kinds) then(() => this.repack(kind, which, { ends: which === "bad" }), this.file(kind, which));
    }
    if (of.central && kinds.includes("deb"))
      for (const which of ["next", "bad", "newer"] as const)
        then(() => this.repack("deb", which, { role: "central", ends: which !== "next" }), this.file("deb", which, "central"));
  }

  /** Resolves once this version is there. */
  made(kind: Kind, which: Version, role: Role = "gateway"): Promise<void> {
    return this.#made.get(this.file(kind, which, role)) ?? Promise.resolve();
  }

  /** As a release manager would. */
  async #buildNext(kinds: readonly Kind[]): Promise<void> {
    const out = join(this.#folder, "out");
    mkdirSync(out, { recursive: true });
    mkdirSync(join(project, "out/cache"), { recursive: true });
    symlinkSync(join(project, "out/cache"), join(out, "cache"));
    const what = [
      "--release",
      versions.next,
      "--platform",
      this.#target.platform,
      "--kind",
      kinds.join(","),
      "--role",
      "gateway",
      "--out",
      out,
      "--quick",
    ];
    await must([...contained, process.execPath, join(project, "packaging/package/main.ts"), ...what], {
      cwd: project,
      timeoutMs: 1_800_000,
    });
    rmSync(join(out, "work"), { recursive: true });
  }

  /**
   * A package that is there once more under another number: of a gateway the next version, of central the one that `npm run package` made,
   * unless it is said from which.
   * @param ends with an entry that ends by itself
   */
  async repack(
    kind: Kind,
    which: "next" | "bad" | "last" | "newer",
    { role = "gateway", ends = false, from = role === "gateway" ? "next" : "base" }: Repacking = {},
  ): Promise<void> {
    const tree = join(this.#folder, `${kind}-${role}-${which}`);
    await must(["cp", "-al", await this.#unpacked(kind, from, role), tree]);
    renumber(tree, versions[from], versions[which]);
    if (ends) endByItself(tree, role);
    if (which === "newer") bringNewerSchema(tree);
    const file = this.file(kind, which, role);
    if (kind === "deb") {
      rmSync(join(tree, "DEBIAN/md5sums"), { force: true });
      await must(["dpkg-deb", "--root-owner-group", "-Zzstd", "-z1", "--build", tree, file]);
    } else
      await must([
        "tar",
        "--owner=root:0",
        "--group=root:0",
        "-I",
        "gzip -1",
        "-cf",
        file,
        "-C",
        tree,
        ...globSync("*", { cwd: tree }),
      ]);
    await signFile(file, this.#key);
    rmSync(tree, { recursive: true });
  }

  /** What a package holds; nothing of it is written to. */
  async #unpacked(kind: Kind, which: Version, role: Role): Promise<string> {
    const tree = join(this.#folder, `${kind}-${role}-${which}-unpacked`);
    if (existsSync(tree)) return tree;
    mkdirSync(tree);
    const packed = this.file(kind, which, role);
    await must(kind === "deb" ? ["dpkg-deb", "-R", packed, tree] : ["tar", "-xzf", packed, "-C", tree]);
    return tree;
  }

  /** Of the next version: one with a changed byte, one that nobody signed, one that somebody else signed. */
  spoiled(kind: Kind): Readonly<Record<"tampered" | "unsigned" | "foreign", string>> {
    const good = this.file(kind, "next");
    const at = (name: string): string => {
      const file = join(this.#folder, name, basename(good));
      mkdirSync(dirname(file), { recursive: true });
      copyFileSync(good, file);
      return file;
    };
    const [tampered, unsigned, foreign] = [at("tampered"), at("unsigned"), at("foreign")];
    copyFileSync(`${good}.sig`, `${tampered}.sig`);
    const bytes = readFileSync(tampered);
    const middle = bytes.length >> 1;
    bytes[middle] = (bytes[middle] as number) ^ 1;
    writeFileSync(tampered, bytes);
    const { privateKey } = generateKeyPairSync("ed25519");
    writeFileSync(`${foreign}.sig`, `${sign(null, readFileSync(foreign), privateKey).toString("base64")}\n`);
    return { tampered, unsigned, foreign };
  }
}

interface Repacking {
  readonly role?: Role;
  readonly from?: "base" | "next";
  readonly ends?: boolean;
}

/** Where the program lies in what a package holds: in an archive's one folder, or in a Debian package's. */
const tops = "{*,opt/plantgate/*/package}";

/** Whatever says the version's number in what is ours says another one. */
function renumber(tree: string, from: string, to: string): void {
  const [top = ""] = globSync(`${tops}/manifest.json`, { cwd: tree }).map((file) => dirname(file));
  const texts = [
    ...globSync(`${top}/app/{packaging,gateway,central,chunks}/**/*.js`, { cwd: tree }),
    ...globSync(`{${top}/manifest.json,${top}/app/package.json,DEBIAN/*}`, { cwd: tree }),
  ].map((file) => join(tree, file));
  // not a part of another number
  const number = new RegExp(`(?<![0-9.])${RegExp.escape(from)}(?![0-9.]*[0-9])`, "g");
  for (const file of texts) {
    const text = readFileSync(file, "utf8");
    if (text.includes(from)) rewrite(file, text.replace(number, to));
  }
  const named = top.replace(from, to);
  if (named !== top) renameSync(join(tree, top), join(tree, named));
}

/** Its service ends with 1 some seconds after its start. */
function endByItself(tree: string, role: Role): void {
  const [entry = ""] = globSync(join(tree, tops, "app/packaging/cli/launch.mjs"));
  const lines = readFileSync(entry, "utf8").split("\n");
  // before what is awaited until the end
  lines.splice(1, 0, `if (process.argv[2] === "${role}") setTimeout(() => process.exit(1), ${badSeconds * 1000});`);
  rewrite(entry, lines.join("\n"));
}

/** Its ledger goes through one step more. */
function bringNewerSchema(tree: string): void {
  const mark = "var lastStep = ";
  const file = globSync(join(tree, tops, "app/chunks/*.js")).find((each) => readFileSync(each, "utf8").includes(mark));
  if (file === undefined) throw new Error("the built program has no steps of a schema where they were");
  const step = `steps["9999-later"] = { up: async () => {} };\n`;
  rewrite(file, readFileSync(file, "utf8").replace(mark, `${step}${mark}`));
}

/** Not in place: files of a tree may be links of one another. */
function rewrite(file: string, text: string): void {
  const staged = `${file}.new`;
  cpSync(file, staged);
  writeFileSync(staged, text);
  renameSync(staged, file);
}
