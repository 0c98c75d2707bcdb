import { createHash, type KeyObject, verify } from "node:crypto";
import { closeSync, createReadStream, openSync, readFileSync, readSync, statSync } from "node:fs";
import { basename } from "node:path";
import type { Command } from "commander";
import { z } from "zod";
import { PlantgateError, parsePackageName, releaseLimits, releaseSignature } from "../../protocol/index.ts";
import { keysOf } from "../upgrade/signature.ts";
import { addConnectionOptions, CentralClient, type ConnectionOptions } from "./connection.ts";
import { addOutputOption, type OutputOptions, print } from "./output.ts";

// what these commands read of an answer; -o json and yaml print all of it
const releases = z.looseObject({
  // an older central says neither its version nor where one ran
  central: z.looseObject({ version: z.string().nullable() }).optional(),
  releases: z.array(
    z.looseObject({
      version: z.string(),
      ran: z.array(z.looseObject({ environment: z.string(), sites: z.int() })).default([]),
      packages: z.array(
        z.looseObject({ file: z.string(), platform: z.string(), kind: z.string(), size: z.int(), addedBy: z.string() }),
      ),
    }),
  ),
  uploads: z.array(
    z.looseObject({ upload: z.string(), file: z.string(), size: z.int(), chunks: z.int(), by: z.string(), movedAt: z.string() }),
  ),
  room: z.looseObject({ bytes: z.int(), mostBytes: z.int() }),
  sites: z.array(
    z.looseObject({
      site: z.string(),
      environment: z.string(),
      version: z.string().nullable(),
      beside: z.string().nullish(),
      platform: z.string().nullable(),
      installed: z.string().nullable(),
      desiredVersion: z.string().nullable(),
      upgrade: z.looseObject({ state: z.string() }).nullable(),
    }),
  ),
});
const upload = z.looseObject({
  upload: z.string().nullable(),
  vouched: z.boolean().optional(),
  received: z.int(),
  chunkBytes: z.int().min(1),
});

/** What stands behind a version that does not go with central's. */
const besides: Readonly<Record<string, string>> = { newer: " (newer than central)", "too-old": " (too old)" };

export function addReleaseCommand(program: Command): void {
  const release = program
    .command("release")
    .description("Versions of gateways that central brings to sites: plantgate rollout start --release VERSION.");
  addConnectionOptions(
    release
      .command("add")
      .description("Give central a gateway's packages. Each needs its signature beside it, as FILE.sig.")
      .argument("<files...>", "plantgate-gateway_VERSION_ARCH.deb or plantgate-VERSION-PLATFORM.tar.gz")
      .option("--keys <file>", "release keys (PEM): refuse here what none of them signed, before anything is sent"),
  ).action(async (files: string[], options: ConnectionOptions & { keys?: string }) => {
    // all are looked at before the first is sent
    const packages = files.map((file) => ({ file, ...readPackage(file) }));
    if (options.keys !== undefined) for (const each of packages) requireSigned(each, readKeys(options.keys));
    const client = new CentralClient(options);
    for (const each of packages) await send(client, each);
  });

  addOutputOption(
    addConnectionOptions(release.command("list").description("Versions that are here, and which one each site runs.")),
  ).action(async (options: ConnectionOptions & OutputOptions) => {
    const answer = releases.parse(await new CentralClient(options).call("GET", "/v1/releases"));
    if (options.output !== "table") return print(answer, options.output);
    const packages = answer.releases.flatMap(({ version, packages: own }) => own.map((each) => ({ version, ...each })));
    print(packages, options.output, ["version", "platform", "kind", "size", "addedBy", "file"]);
    for (const { version, ran } of answer.releases)
      if (ran.length > 0)
        process.stdout.write(
          `${version} held its gate in ${ran.map(({ environment, sites }) => `${environment} (${sites})`).join(", ")}\n`,
        );
    const { bytes, mostBytes } = answer.room;
    process.stdout.write(`${Math.ceil(bytes / 1024 ** 2)} of the ${mostBytes / 1024 ** 2} MiB that packages may take\n\n`);
    if (answer.uploads.length > 0) {
      print(answer.uploads, options.output, ["file", "size", "chunks", "by", "movedAt"]);
      process.stdout.write(
        "on their way; given up when nothing of them comes for two hours, or at once by plantgate release drop FILE\n\n",
      );
    }
    if (typeof answer.central?.version === "string") process.stdout.write(`central runs ${answer.central.version}\n`);
    print(
      answer.sites.map(({ upgrade, installed, version, beside, ...site }) => ({
        ...site,
        runs: version === null ? "never heard" : `${version}${besides[beside ?? ""] ?? ""}`,
        wanted: site.desiredVersion ?? "",
        upgrade: installed === null ? "by hand" : (upgrade?.state ?? "none"),
      })),
      options.output,
      ["site", "environment", "platform", "runs", "wanted", "upgrade"],
    );
  });

  addConnectionOptions(
    release
      .command("remove")
      .description("Take a version away, with its packages. Refused while a change, a rollout or a site wants it.")
      .argument("<version>", "such as 1.2.0"),
  ).action(async (version: string, options: ConnectionOptions) => {
    await new CentralClient(options).call("DELETE", `/v1/releases/${encodeURIComponent(version)}`);
    process.stdout.write(`release ${version} is gone from central\n`);
  });
  addDropCommand(release);
}

function addDropCommand(release: Command): void {
  addConnectionOptions(
    release
      .command("drop")
      .description(
        "Take away a package that was begun to be sent and has not come whole: your own, or, as an engineer of every environment, anybody's.",
      )
      .argument("<file>", "its name, as plantgate release list says it"),
  ).action(async (file: string, options: ConnectionOptions) => {
    const client = new CentralClient(options);
    const { uploads } = releases.parse(await client.call("GET", "/v1/releases"));
    const found = uploads.find((each) => each.file === basename(file));
    if (!found) throw new PlantgateError("USAGE", `${basename(file)} is not on its way; plantgate release list says what is`);
    await client.call("DELETE", `/v1/releases/uploads/${encodeURIComponent(found.upload)}`);
    process.stdout.write(`${found.file} is gone from central, ${found.chunks} of its chunks had come\n`);
  });
}

interface Package {
  readonly file: string;
  readonly size: number;
  readonly signature: string;
}

/** @throws PlantgateError USAGE */
function readPackage(file: string): Omit<Package, "file"> {
  if (!parsePackageName(basename(file)))
    throw new PlantgateError(
      "USAGE",
      `${file}: a gateway's package is named plantgate-gateway_VERSION_ARCH.deb or plantgate-VERSION-PLATFORM.tar.gz; central itself is upgraded on its own machine, by plantgate upgrade`,
    );
  const size = readable(file, () => statSync(file).size);
  if (size === 0 || size > releaseLimits.packageBytes)
    throw new PlantgateError("USAGE", `${file} has ${size} bytes; a package has 1 to ${releaseLimits.packageBytes}`);
  const signature = readable(`${file}.sig`, () => readFileSync(`${file}.sig`, "utf8").trim());
  if (!releaseSignature.safeParse(signature).success)
    throw new PlantgateError("USAGE", `${file}.sig does not hold a signature: Ed25519, base64, one line`);
  return { size, signature };
}

function readKeys(file: string): KeyObject[] {
  const keys = keysOf(readable(file, () => readFileSync(file, "utf8")));
  if (keys.length === 0) throw new PlantgateError("USAGE", `${file} holds no public key of Ed25519 (PEM)`);
  return keys;
}

/** Ed25519 signs the whole: nothing less than all of it can be judged. @throws PlantgateError SIGNATURE_INVALID */
function requireSigned({ file, signature }: Package, keys: readonly KeyObject[]): void {
  const bytes = readFileSync(file);
  const isSigned = keys.some((key) => verify(null, bytes, key, Buffer.from(signature, "base64")));
  if (!isSigned) throw new PlantgateError("SIGNATURE_INVALID", `${file} is not signed by any of these keys; nothing was sent`);
}

async function send(client: CentralClient, { file, size, signature }: Package): Promise<void> {
  const name = basename(file);
  const sha256 = await hashOf(file);
  const begun = upload.parse(await client.call("POST", "/v1/releases/uploads", { file: name, size, sha256, signature }));
  if (begun.upload === null) {
    const whose = begun.vouched
      ? "; it was sent with central's admin token, and is yours from now on: another person approves it"
      : "";
    process.stdout.write(`${name}: is here already${whose}\n`);
    return;
  }
  const path = `/v1/releases/uploads/${encodeURIComponent(begun.upload)}`;
  const handle = openSync(file, "r");
  try {
    for (let number = begun.received; number * begun.chunkBytes < size; number++) {
      const chunk = Buffer.alloc(Math.min(begun.chunkBytes, size - number * begun.chunkBytes));
      const read = readSync(handle, chunk, 0, chunk.length, number * begun.chunkBytes);
      if (read !== chunk.length) throw new PlantgateError("USAGE", `${file} became shorter while it was read`);
      await client.send("PUT", `${path}/chunks/${number}`, chunk);
    }
  } finally {
    closeSync(handle);
  }
  await client.call("POST", `${path}/complete`, {});
  process.stdout.write(`${name}: ${size} bytes, SHA-256 ${sha256}\n`);
}

async function hashOf(file: string): Promise<string> {
  const sum = createHash("sha256");
  for await (const part of createReadStream(file)) sum.update(part as Buffer);
  return sum.digest("hex");
}

function readable<Value>(file: string, read: () => Value): Value {
  try {
    return read();
  } catch (cause) {
    throw new PlantgateError("USAGE", `${file} cannot be read`, { cause });
  }
}
