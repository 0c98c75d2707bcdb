import { createPrivateKey, createPublicKey, generateKeyPairSync } from "node:crypto";
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, rmdirSync, rmSync, statfsSync } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { dirname, join } from "node:path";
import { pipeline } from "node:stream/promises";
import { createZstdDecompress } from "node:zlib";
import { z } from "zod";
import { type Clock, PlantgateError, parseJson, toInstant } from "../../protocol/index.ts";
import { lockFolder } from "../identity/folder-lock.ts";
import { Identity, type SealingKey } from "../identity/identity.ts";
import { formatVersion } from "../queue/schema.ts";
import { flushFolder, renameOver, writeFlushed } from "../write-flushed.ts";
import { type MoveRequest, openHeader, type ReadHeader, readHeader, requestFingerprint } from "./header.ts";
import { type MovedIn, moveFiles, readMovedIn, readMovedOut } from "./marks.ts";
import type { Moved, MoveProgress } from "./move-out.ts";
import { isPart, type PartSink, unpackParts } from "./parts.ts";
import { openStream } from "./sealed-stream.ts";

/** What a move does to the disk; tests pass one that stops in the middle. */
export interface MoveDisk {
  /** Whole or not at all, flushed on return. */
  write(file: string, content: Uint8Array): void;
  rename(from: string, to: string): void;
  /** A file, or a folder with all in it. */
  remove(path: string): void;
  /** What was renamed or made in it stays. */
  flushFolder(path: string): void;
}
const realDisk: MoveDisk = {
  write: writeFlushed,
  rename: renameOver,
  remove: (path) => rmSync(path, { recursive: true, force: true }),
  flushFolder,
};

export interface MoveInOptions {
  readonly dataDir: string;
  readonly input: FileHandle;
  /** Asked where the file is not sealed to a request. */
  readonly code: () => Promise<string>;
}
export interface MoveInDeps {
  readonly clock: Clock;
  readonly tell: MoveProgress;
  readonly disk?: MoveDisk;
}
/** `again`: that very file was taken in before, and nothing was changed now. */
export type MoveInOutcome = Pick<Moved, "site" | "fingerprint"> & { readonly kind: "moved" | "again" };

const storedRequest = z.object({ privateKey: z.string() });
const verified = z.object({ id: z.string(), leftBehind: z.array(z.string()) });

/**
 * The request of this folder: only here can a file be opened that is sealed to it. The same one again until a gateway was moved in.
 * @throws PlantgateError CONFIG_INVALID: the folder has a gateway already
 */
export function requestMove(dataDir: string): { readonly request: MoveRequest; readonly fingerprint: string } {
  mkdirSync(dataDir, { recursive: true, mode: 0o700 });
  chmodSync(dataDir, 0o700);
  const unlock = lockFolder(dataDir, "mover");
  try {
    requireNotMovedOut(dataDir);
    requireEmpty(dataDir);
    let key = readRequest(dataDir);
    if (!key) {
      const { privateKey } = generateKeyPairSync("x25519");
      const stored: z.infer<typeof storedRequest> = { privateKey: privateKey.export({ type: "pkcs8", format: "pem" }) as string };
      writeFlushed(join(dataDir, moveFiles.request), Buffer.from(JSON.stringify(stored)));
      key = toSealing(stored);
    }
    const request: MoveRequest = { kind: "MoveRequest", version: 1, publicKey: key.publicJwk };
    return { request, fingerprint: requestFingerprint(request) };
  } finally {
    unlock();
  }
}

/**
 * Takes a gateway in that was moved out of other hardware. All of it is unpacked aside, flushed and verified; then it is put in place, and until
 * the last file is there the gateway does not start. Ended at any moment and begun again with the same file it ends well.
 * @throws PlantgateError DATA_FOLDER_LOCKED; FOLDER_MOVED: it is that of a gateway that left; CONFIG_INVALID: the folder is not empty; SIGNATURE_INVALID, KEY_UNKNOWN, FORMAT_NEWER: nothing was
 * put in place
 */
export async function moveIn(
  { dataDir, input, code }: MoveInOptions,
  { clock, tell, disk = realDisk }: MoveInDeps,
): Promise<MoveInOutcome> {
  const read = await readHeader(input);
  const { id, site } = read.header;
  mkdirSync(dataDir, { recursive: true, mode: 0o700 });
  chmodSync(dataDir, 0o700);
  const unlock = lockFolder(dataDir, "mover");
  try {
    requireNotMovedOut(dataDir);
    const staging = join(dataDir, moveFiles.staging);
    const isStaged = existsSync(staging);
    const { fingerprint } = read;
    if (readMovedIn(dataDir)?.id === id) {
      if (!isStaged) return { kind: "again", site, fingerprint };
      finish(dataDir, disk);
      return { kind: "moved", site, fingerprint };
    }
    let ready = isStaged ? readVerified(staging) : undefined;
    if (ready && ready.id !== id)
      throw new PlantgateError("CONFIG_INVALID", `another file is half moved into ${dataDir}: run move-in with that one again`);
    if (!ready) {
      if (isStaged) disk.remove(staging);
      requireEmpty(dataDir);
      requireReadable(read);
      requireRoom(dataDir, read);
      ready = await unpack(staging, { dataDir, input, code }, read, { tell, disk });
    }
    place(dataDir, staging, disk);
    const mark: MovedIn = { id, site, at: toInstant(clock.now()), leftBehind: ready.leftBehind };
    disk.write(join(dataDir, moveFiles.in), Buffer.from(`${JSON.stringify(mark, null, 2)}\n`));
    finish(dataDir, disk);
    return { kind: "moved", site, fingerprint };
  } finally {
    unlock();
  }
}

async function unpack(
  staging: string,
  { dataDir, input, code }: MoveInOptions,
  read: ReadHeader,
  { tell, disk }: { readonly tell: MoveProgress; readonly disk: MoveDisk },
): Promise<z.infer<typeof verified>> {
  const { header, endsAt, fingerprint } = read;
  const opener =
    header.to === undefined ? { kind: "code" as const, ask: code } : { kind: "key" as const, key: readRequest(dataDir) };
  const key = await openHeader(read, opener);
  const folder = join(staging, "parts");
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  await using sink = new FolderSink(folder, (written) => tell(written, header.sizeBytes));
  await pipeline(
    input.createReadStream({ start: endsAt, autoClose: false, highWaterMark: 1024 * 1024 }),
    (source: AsyncIterable<Uint8Array>) => openStream(source, key),
    createZstdDecompress(),
    async (source: AsyncIterable<Uint8Array>) => {
      await unpackParts(source, sink);
    },
  );
  const identity = existsSync(join(folder, "identity", "gateway.key")) ? Identity.open(folder) : undefined;
  if (identity?.fingerprint !== fingerprint)
    throw new PlantgateError("SIGNATURE_INVALID", "the file does not hold the key of the gateway that made it");
  for (const each of foldersIn(staging)) disk.flushFolder(each);
  const ready = { id: header.id, leftBehind: [identity.current, ...identity.others].map((pair) => pair.fingerprint) };
  disk.write(join(staging, "verified.json"), Buffer.from(JSON.stringify(ready)));
  disk.flushFolder(dataDir);
  return ready;
}

/** What is in place already is not aside any more. */
function place(dataDir: string, staging: string, disk: MoveDisk): void {
  const folder = join(staging, "parts");
  for (const name of existsSync(folder) ? readdirSync(folder) : []) {
    const target = join(dataDir, name);
    // an empty one that was made with the folder
    if (existsSync(target)) rmdirSync(target);
    disk.rename(join(folder, name), target);
  }
  disk.flushFolder(dataDir);
}

/** All of it is in place, and noted. */
function finish(dataDir: string, disk: MoveDisk): void {
  disk.remove(join(dataDir, moveFiles.request));
  disk.remove(join(dataDir, moveFiles.staging));
  disk.flushFolder(dataDir);
}

/** Writes parts into a folder, each flushed. */
class FolderSink implements PartSink, AsyncDisposable {
  readonly #folder: string;
  readonly #onWritten: (bytesSoFar: number) => void;
  #written = 0;
  #file: FileHandle | undefined;

  constructor(folder: string, onWritten: (bytesSoFar: number) => void) {
    this.#folder = folder;
    this.#onWritten = onWritten;
  }

  async begin({ path }: { readonly path: string }): Promise<void> {
    const target = join(this.#folder, path);
    mkdirSync(dirname(target), { recursive: true, mode: 0o700 });
    this.#file = await open(target, "wx", 0o600);
  }

  async write(bytes: Uint8Array): Promise<void> {
    for (let at = 0; at < bytes.length; ) at += (await this.#file?.write(bytes, at))?.bytesWritten ?? 0;
    this.#written += bytes.length;
    this.#onWritten(this.#written);
  }

  async end(): Promise<void> {
    await this.#file?.sync();
    await this[Symbol.asyncDispose]();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const file = this.#file;
    this.#file = undefined;
    await file?.close();
  }
}

/** Folders, the innermost first. */
function foldersIn(folder: string): string[] {
  const inner = readdirSync(folder, { withFileTypes: true }).filter((entry) => entry.isDirectory());
  return [...inner.flatMap(({ name }) => foldersIn(join(folder, name))), folder];
}

/** The mark of a gateway that left stays where its folder was emptied by hand: what came in would not start. */
function requireNotMovedOut(dataDir: string): void {
  const out = readMovedOut(dataDir);
  if (out === undefined) return;
  const whose = out === "unreadable" ? "" : `, of site "${out.site}" on ${out.at}`;
  throw new PlantgateError(
    "FOLDER_MOVED",
    `a gateway was moved out of ${dataDir} before${whose}: take another folder. Where nothing of that one is to run here again, delete ${join(dataDir, moveFiles.out)} first`,
  );
}

function requireEmpty(dataDir: string): void {
  const isEmpty = (name: string): boolean => {
    try {
      return readdirSync(join(dataDir, name)).length === 0;
    } catch {
      return false;
    }
  };
  const found = readdirSync(dataDir).filter((name) => isPart(name) && !isEmpty(name));
  if (found.length === 0 && readMovedIn(dataDir) === undefined) return;
  throw new PlantgateError(
    "CONFIG_INVALID",
    `${dataDir} is not empty (${found.slice(0, 5).join(", ")}): a gateway is moved into an empty folder, or the one of its request`,
  );
}

/** A program that cannot open the queue is found before anything is unpacked. */
function requireReadable({ header }: ReadHeader): void {
  if (header.queueFormat <= formatVersion) return;
  throw new PlantgateError(
    "FORMAT_NEWER",
    `the queue in the file has format ${header.queueFormat}, this program knows ${formatVersion}: install ${header.gatewayVersion} or newer here, then run the same again`,
  );
}

/** Found before hours of unpacking. */
function requireRoom(dataDir: string, { header: { sizeBytes } }: ReadHeader): void {
  const { bavail, bsize } = statfsSync(dataDir);
  const mib = (bytes: number): string => Math.ceil(bytes / 1024 / 1024).toLocaleString("en-US");
  if (bavail * bsize >= sizeBytes) return;
  throw new PlantgateError(
    "DISK_FAILED",
    `the gateway in the file has ${mib(sizeBytes)} MiB, the disk of ${dataDir} has ${mib(bavail * bsize)} MiB left: make room, then run the same again`,
  );
}

function readVerified(staging: string): z.infer<typeof verified> | undefined {
  const file = join(staging, "verified.json");
  return existsSync(file) ? verified.safeParse(parseJson(readFileSync(file, "utf8"))).data : undefined;
}

function readRequest(dataDir: string): SealingKey | undefined {
  const file = join(dataDir, moveFiles.request);
  const stored = existsSync(file) ? storedRequest.safeParse(parseJson(readFileSync(file, "utf8"))).data : undefined;
  return stored && toSealing(stored);
}

function toSealing({ privateKey: pem }: z.infer<typeof storedRequest>): SealingKey {
  const privateKey = createPrivateKey(pem);
  const { x = "" } = createPublicKey(privateKey).export({ format: "jwk" });
  return { privateKey, publicJwk: { kty: "OKP", crv: "X25519", x } };
}
