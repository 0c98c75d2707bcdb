import { createHash } from "node:crypto";
import { createReadStream, lstatSync, readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { PlantgateError, parseJson } from "../../protocol/index.ts";
import { moveFiles } from "./marks.ts";

/** A file of a data folder; `path` is relative, with `/`. */
export interface Part {
  readonly path: string;
  readonly sizeBytes: number;
}

/** Where parts that come out of a stream are put, one after the other. */
export interface PartSink {
  /** A file that nothing is known of yet. */
  begin(part: Part): Promise<void>;
  write(bytes: Uint8Array): Promise<void>;
  /** All of it came, and is what was put in. Flushed on return. */
  end(): Promise<void>;
}

/** Of this machine alone, or made again; and what a move leaves. */
const stays: readonly (string | RegExp)[] = [
  ...Object.values(moveFiles),
  // of the file system, and root's
  "lost+found",
  ".snapshots",
  "lock.sqlite",
  "local.json",
  "reserve",
  "upgrade",
  /^healthy-/,
  /^\.given-/,
  /-shm$/,
  /\.new$/,
];
const digestBytes = 32;
const maxHeadBytes = 64 * 1024;
const head = z.object({ path: z.string().max(4096), sizeBytes: z.int().min(0) });

export function isPart(name: string): boolean {
  return !stays.some((each) => (typeof each === "string" ? name === each || name.startsWith(`${each}-`) : each.test(name)));
}

/** All that moves of a folder, in the order of their names. @throws PlantgateError CONFIG_INVALID where something in it is no file */
export function partsOf(dataDir: string): Part[] {
  return list(dataDir, "");
}

function list(dataDir: string, folder: string): Part[] {
  const parts: Part[] = [];
  for (const name of readdirSync(join(dataDir, folder)).sort()) {
    if (folder === "" && !isPart(name)) continue;
    const path = folder === "" ? name : `${folder}/${name}`;
    const is = statSync(join(dataDir, path));
    // a link to a file is what that file holds; one to a folder may lead anywhere, also back here
    if (is.isDirectory() && !lstatSync(join(dataDir, path)).isSymbolicLink()) parts.push(...list(dataDir, path));
    else if (is.isFile()) parts.push({ path, sizeBytes: is.size });
    else
      throw new PlantgateError(
        "CONFIG_INVALID",
        `${join(dataDir, path)} is neither a file nor a folder of its own: take it away first`,
      );
  }
  return parts;
}

/** Each part with its head before it and its SHA-256 behind it, then a head of no length. */
export async function* packParts(
  dataDir: string,
  parts: readonly Part[],
  onRead: (bytesSoFar: number) => void,
): AsyncGenerator<Uint8Array> {
  let read = 0;
  for (const part of parts) {
    yield* framed(Buffer.from(JSON.stringify(part)));
    const hash = createHash("sha256");
    let left = part.sizeBytes;
    for await (const bytes of createReadStream(join(dataDir, part.path), {
      highWaterMark: 1024 * 1024,
    }) as AsyncIterable<Buffer>) {
      left -= bytes.length;
      hash.update(bytes);
      read += bytes.length;
      onRead(read);
      yield bytes;
    }
    if (left !== 0)
      throw new PlantgateError(
        "DISK_FAILED",
        `${join(dataDir, part.path)} changed while it was read: is a gateway running there?`,
      );
    yield hash.digest();
  }
  yield* framed(Buffer.alloc(0));
}

function* framed(bytes: Buffer): Generator<Uint8Array> {
  const length = Buffer.alloc(4);
  length.writeUInt32BE(bytes.length);
  yield length;
  if (bytes.length > 0) yield bytes;
}

/** @returns what came; @throws PlantgateError SIGNATURE_INVALID where it is not what was packed; CONFIG_INVALID for a path that leads elsewhere */
export async function unpackParts(source: AsyncIterable<Uint8Array>, sink: PartSink): Promise<readonly Part[]> {
  const reader = new ByteReader(source);
  const parts: Part[] = [];
  for (;;) {
    const length = (await reader.read(4)).readUInt32BE();
    if (length === 0) break;
    if (length > maxHeadBytes) throw broken("a head is too long");
    const part = head.safeParse(parseJson((await reader.read(length)).toString("utf8"))).data;
    if (!part || !leadsInside(part.path)) throw broken("a part has no name that can be one");
    await sink.begin(part);
    const hash = createHash("sha256");
    for (let left = part.sizeBytes; left > 0; ) {
      const bytes = await reader.readSome(left);
      hash.update(bytes);
      await sink.write(bytes);
      left -= bytes.length;
    }
    if (!hash.digest().equals(await reader.read(digestBytes))) throw broken(`${part.path} is not what was put in`);
    await sink.end();
    parts.push(part);
  }
  if (!(await reader.isOver())) throw broken("something follows its end");
  return parts;
}

function leadsInside(path: string): boolean {
  const names = path.split("/");
  return names.every((name) => /^[^/\\\0]+$/.test(name) && name !== "." && name !== "..") && isPart(names[0] as string);
}

function broken(reason: string): PlantgateError {
  return new PlantgateError("SIGNATURE_INVALID", `the file does not hold a gateway's folder: ${reason}`);
}

class ByteReader {
  readonly #source: AsyncIterator<Uint8Array>;
  #rest: Buffer = Buffer.alloc(0);

  constructor(source: AsyncIterable<Uint8Array>) {
    this.#source = source[Symbol.asyncIterator]();
  }

  /** As much as there is, `most` at most, one byte at least. */
  async readSome(most: number): Promise<Buffer> {
    while (this.#rest.length === 0) if (!(await this.#more())) throw broken("it ends too early");
    const bytes = this.#rest.subarray(0, most);
    this.#rest = this.#rest.subarray(bytes.length);
    return bytes;
  }

  async read(length: number): Promise<Buffer> {
    const parts: Buffer[] = [];
    for (let left = length; left > 0; ) {
      const bytes = await this.readSome(left);
      parts.push(bytes);
      left -= bytes.length;
    }
    return Buffer.concat(parts);
  }

  async isOver(): Promise<boolean> {
    while (this.#rest.length === 0) if (!(await this.#more())) return true;
    return false;
  }

  async #more(): Promise<boolean> {
    const next = await this.#source.next();
    if (next.done) return false;
    this.#rest = Buffer.from(next.value.buffer, next.value.byteOffset, next.value.byteLength);
    return true;
  }
}
