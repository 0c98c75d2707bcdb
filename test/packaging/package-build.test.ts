import { execFileSync, spawnSync } from "node:child_process";
import { createHash, generateKeyPairSync } from "node:crypto";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { z } from "zod";
import { formatVersion } from "../../gateway/queue/schema.ts";
import { build } from "../../packaging/package/build.ts";
import { BuildError } from "../../packaging/package/command.ts";
import { project, readLock } from "../../packaging/package/workspace.ts";

const platform = process.arch === "arm64" ? "linux-arm64" : "linux-x64";
const name = `plantgate-9.8.7-${platform}`;
const base = mkdtempSync(join(tmpdir(), "plantgate-package-"));
const keyFile = join(base, "key.pem");
const trusted = join(base, "next.pub.pem");
let missing: string | undefined;
let tree = "";

/** A whole build of this machine's archive; what was downloaded before is used again. */
async function buildInto(folder: string): Promise<void> {
  mkdirSync(folder, { recursive: true });
  mkdirSync(join(project, "out/cache"), { recursive: true });
  symlinkSync(join(project, "out/cache"), join(folder, "cache"));
  const tell = (): void => {};
  await build({
    release: "9.8.7",
    platform: [platform],
    kind: ["tar"],
    role: [],
    out: folder,
    keyFile,
    alsoTrust: [trusted],
    quick: true,
    tell,
  });
}

beforeAll(async () => {
  const [key, next] = [generateKeyPairSync("ed25519"), generateKeyPairSync("ed25519")];
  writeFileSync(keyFile, key.privateKey.export({ type: "pkcs8", format: "pem" }));
  writeFileSync(trusted, next.publicKey.export({ type: "spki", format: "pem" }));
  try {
    await buildInto(join(base, "one"));
  } catch (error) {
    if (!(error instanceof BuildError && /missing|had to be downloaded/.test(error.message))) throw error;
    if (process.env.REQUIRE_SERVICES === "1") throw error;
    missing = error.message.split("\n")[0];
    process.stderr.write(`\n*** TESTS SKIPPED: no package could be built here: ${error.message}\n\n`);
    return;
  }
  tree = join(base, "tree");
  mkdirSync(tree);
  execFileSync("tar", ["-xzf", join(base, `one/packages/${name}.tar.gz`), "-C", tree]);
  tree = join(tree, name);
}, 900_000);
afterAll(() => rmSync(base, { recursive: true, force: true }));

function files(folder: string): string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name));
}

function packagesIn(modules: string): string[] {
  return readdirSync(modules).flatMap((entry) =>
    entry.startsWith("@") ? readdirSync(join(modules, entry)).map((inner) => `${entry}/${inner}`) : [entry],
  );
}

describe("the archive of a version", () => {
  it("runs with nothing but what is in it", ({ skip }) => {
    if (missing) skip(missing);
    const bare = { env: { PATH: "/usr/bin:/bin" }, encoding: "utf8" } as const;
    expect(execFileSync(join(tree, "bin/plantgate"), ["--version"], bare).trim()).toBe("9.8.7");
    const link = join(base, "plantgate");
    symlinkSync(join(tree, "bin/plantgate"), link);
    expect(execFileSync(link, ["--version"], bare).trim()).toBe("9.8.7");
  });

  it("says in its manifest what it is", ({ skip }) => {
    if (missing) skip(missing);
    const lock = readLock();
    const { builtFrom, ...manifest } = JSON.parse(readFileSync(join(tree, "manifest.json"), "utf8"));
    const node = lock[`node_modules/node-${platform}`]?.version;
    expect(manifest).toEqual({ product: "plantgate", version: "9.8.7", platform, node, queueFormat: formatVersion });
    expect(builtFrom).toMatch(/^([0-9a-f]{40}(\+changes)?|unknown)$/);
  });

  it("is signed so that openssl can tell, with the keys that the version before has", ({ skip }) => {
    if (missing) skip(missing);
    const keys =
      readFileSync(join(tree, "release-keys.pem"), "utf8").match(/-----BEGIN PUBLIC KEY-----[^-]*-----END PUBLIC KEY-----\n/g) ??
      [];
    expect(keys).toHaveLength(2);
    writeFileSync(join(base, "key.pub"), keys[0] as string);
    for (const file of [`${name}.tar.gz`, "SHA256SUMS"]) {
      const path = join(base, "one/packages", file);
      writeFileSync(join(base, "raw.sig"), Buffer.from(readFileSync(`${path}.sig`, "utf8").trim(), "base64"));
      const args = [
        "pkeyutl",
        "-verify",
        "-pubin",
        "-inkey",
        join(base, "key.pub"),
        "-rawin",
        "-in",
        path,
        "-sigfile",
        join(base, "raw.sig"),
      ];
      expect(spawnSync("openssl", args, { encoding: "utf8" }).stdout).toContain("Verified Successfully");
    }
    const sums = spawnSync("sha256sum", ["--check", "--strict", "SHA256SUMS"], {
      cwd: join(base, "one/packages"),
      encoding: "utf8",
    });
    expect(sums.stdout).toBe(`${name}.tar.gz: OK\n`);
  });

  it("holds no source map, no type declaration, no test, nothing for developing, and no path of the machine it was built on", ({
    skip,
  }) => {
    if (missing) skip(missing);
    const all = files(tree);
    expect(all.filter((file) => /\.(map|[mc]?ts|tsbuildinfo)$/.test(file))).toEqual([]);
    const lock = readLock();
    const modules = packagesIn(join(tree, "app/node_modules"));
    expect(modules.filter((module) => lock[`node_modules/${module}`]?.dev !== undefined)).toEqual([]);
    expect(modules).not.toContain(`node-${platform}`);
    const ours = all.filter(
      (file) => /\.(m?js|cjs|json|html|css|pem|yaml|service|sh)$/.test(file) || !file.includes("node_modules"),
    );
    const paths = [project.replace(/\/$/, ""), base, process.env.HOME ?? "/root/"].filter((path) => path.length > 5);
    const telling = ours.filter(
      (file) => statSync(file).size < 8 * 1024 ** 2 && paths.some((path) => readFileSync(file).includes(path)),
    );
    expect(telling).toEqual([]);
  });

  it("resolves each package that the program names", ({ skip }) => {
    if (missing) skip(missing);
    const { dependencies } = JSON.parse(readFileSync(join(project, "package.json"), "utf8")) as {
      dependencies: Record<string, string>;
    };
    const script = `for (const name of ${JSON.stringify(Object.keys(dependencies))}) await import(name)`;
    const program = { cwd: join(tree, "app"), env: { LD_LIBRARY_PATH: join(tree, "lib") }, encoding: "utf8" } as const;
    expect(spawnSync(join(tree, "bin/node"), ["--input-type=module", "-e", script], program).stderr).toBe("");
  });

  it("lists in its bill of materials all that travels, with hash, licence and address, and has the licences' texts", ({
    skip,
  }) => {
    if (missing) skip(missing);
    const bill = sbom.parse(JSON.parse(readFileSync(join(tree, "sbom.cdx.json"), "utf8")));
    const names = new Set(bill.components.map(({ group, name }) => (group === undefined ? name : `${group}/${name}`)));
    expect(packagesIn(join(tree, "app/node_modules")).filter((module) => !names.has(module))).toEqual([]);
    for (const bundled of ["node", "libatomic1", "react", "@mantine/core"]) expect(names).toContain(bundled);
    const refs = new Set(bill.components.map((component) => component["bom-ref"]));
    expect(refs.size).toBe(bill.components.length);
    const named = bill.dependencies.flatMap(({ dependsOn = [] }) => dependsOn);
    expect(named.filter((ref) => !refs.has(ref))).toEqual([]);
    const node = bill.components.find((component) => component.name === "node");
    const hash = createHash("sha256")
      .update(readFileSync(join(tree, "bin/node")))
      .digest("hex");
    expect(node?.hashes).toEqual([{ alg: "SHA-256", content: hash }]);
    const without = readdirSync(join(tree, "licenses")).filter(
      (entry) => readdirSync(join(tree, "licenses", entry)).length === 0,
    );
    expect(without).toEqual([]);
    expect(existsSync(join(tree, "licenses/libatomic1/copyright"))).toBe(true);
  });

  it("comes out the same, to the byte, when it is built again", async ({ skip }) => {
    if (missing) skip(missing);
    const before = process.umask(0o077);
    try {
      await buildInto(join(base, "two"));
    } finally {
      process.umask(before);
    }
    const sums = ["one", "two"].map((folder) => readFileSync(join(base, folder, "packages/SHA256SUMS"), "utf8"));
    expect(sums[1]).toBe(sums[0]);
  }, 900_000);
});

/** What CycloneDX 1.6 asks of what we write. */
const license = z.union([
  z.strictObject({ license: z.strictObject({ id: z.string().regex(/^[A-Za-z0-9.+-]+$/) }) }),
  z.strictObject({ expression: z.string() }),
]);
const hash = z.union([
  z.strictObject({ alg: z.literal("SHA-256"), content: z.string().regex(/^[0-9a-f]{64}$/) }),
  z.strictObject({ alg: z.literal("SHA-512"), content: z.string().regex(/^[0-9a-f]{128}$/) }),
  z.strictObject({ alg: z.literal("SHA-1"), content: z.string().regex(/^[0-9a-f]{40}$/) }),
]);
const properties = z.array(z.strictObject({ name: z.string(), value: z.string() }));
const component = z.strictObject({
  type: z.enum(["library", "platform"]),
  "bom-ref": z.string().min(1),
  group: z.string().optional(),
  name: z.string().min(1),
  version: z.string().min(1),
  purl: z.string().regex(/^pkg:(npm|deb)\//),
  description: z.string().optional(),
  hashes: z.array(hash).min(1),
  licenses: z.array(license).min(1),
  properties: properties.optional(),
});
const sbom = z.strictObject({
  $schema: z.literal("http://cyclonedx.org/schema/bom-1.6.schema.json"),
  bomFormat: z.literal("CycloneDX"),
  specVersion: z.literal("1.6"),
  serialNumber: z.string().regex(/^urn:uuid:[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/),
  version: z.literal(1),
  metadata: z.strictObject({
    timestamp: z.iso.datetime(),
    lifecycles: z.array(z.strictObject({ phase: z.literal("build") })),
    component: component
      .omit({ hashes: true })
      .extend({ type: z.literal("application"), purl: z.string().regex(/^pkg:generic\//) }),
  }),
  components: z.array(component).min(100),
  dependencies: z.array(z.strictObject({ ref: z.string(), dependsOn: z.array(z.string()).optional() })),
});
