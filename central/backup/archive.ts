import { createHash, type Hash } from "node:crypto";
import { closeSync, createReadStream, createWriteStream, constants as files, fstatSync, openSync, readSync } from "node:fs";
import { pipeline } from "node:stream/promises";
import { constants, createZstdCompress, createZstdDecompress } from "node:zlib";
import { z } from "zod";
import { PlantgateError } from "../../protocol/index.ts";
import { type Manifest, type PartName, parseManifest } from "./manifest.ts";
import { isSealed, makeSealKey, mostGistBytes, type SealKey, seal, sealedGist, unseal } from "./seal.ts";
import { readTar, type TarEntry, tarEnd, tarHeader, tarPadding } from "./tar.ts";

/** Where a part lies while it is packed, or its text. */
export type Part = { readonly name: PartName } & ({ readonly file: string } | { readonly text: string });

/** What opens a sealed backup: the recipient's private key, or, for whoever wrote it just now, its own key. */
export type Opener = { readonly pem: string } | { readonly own: SealKey } | undefined;

/** Told how many of the bytes are done. */
export type Progress = (done: number, all: number) => void;

const [manifestName, sumsName] = ["manifest.json", "SHA256SUMS"];
const mostManifestBytes = 64 * 1024 * 1024;

/** What a part weighs and is, for its manifest. */
export async function measurePart(part: Part): Promise<Manifest["parts"][number]> {
  const hash = createHash("sha256");
  let bytes = 0;
  for await (const piece of contentOf(part)) {
    hash.update(piece);
    bytes += piece.length;
  }
  return { name: part.name, bytes, sha256: hash.digest("hex") };
}

/**
 * Writes a backup: a tar archive (manifest first, sums last), compressed with zstd with its checksum, sealed where there is a recipient. The file is
 * new, readable by its owner alone, and flushed on return.
 * @returns what opens it again
 */
export async function writeArchive(
  file: string,
  manifest: Manifest,
  parts: readonly Part[],
  { recipient, progress }: { readonly recipient?: string | undefined; readonly progress?: Progress | undefined },
): Promise<Opener> {
  const compress = createZstdCompress({
    params: { [constants.ZSTD_c_compressionLevel]: 3, [constants.ZSTD_c_checksumFlag]: 1 },
  });
  const key = makeSealKey();
  const target = createWriteStream(file, { mode: 0o600, flags: "wx", flush: true });
  await pipeline(
    pack(manifest, parts, progress),
    compress,
    (compressed: AsyncIterable<Buffer>) =>
      recipient === undefined ? compressed : seal(compressed, recipient, key, JSON.stringify(gistOf(manifest))),
    target,
  );
  return recipient === undefined ? undefined : { own: key };
}

/** What tells a backup from others of its folder; it stands before what is sealed. */
const gist = z.object({
  incarnation: z.string().nullable(),
  positions: z.int().min(0),
  auditEntries: z.int().min(0),
  takenAt: z.iso.datetime(),
});
export type Gist = z.infer<typeof gist>;

/** What is told of a backup with this manifest. */
export function gistOf({ takenAt, ledger: { incarnation, positions, audit } }: Manifest): Gist {
  return { incarnation, positions, auditEntries: audit.entries, takenAt };
}

/** Without reading what follows its manifest; undefined where there is none that can be read. */
export async function readGist(path: string): Promise<Gist | undefined> {
  let found: Gist | undefined;
  try {
    const file = openBackup(path);
    try {
      const said = readSealedGist(file);
      if (said !== undefined) return gist.safeParse(JSON.parse(said)).data;
      const accept = (manifest: Manifest): void => {
        found = gistOf(manifest);
        throw new PlantgateError("STOPPED", "the rest is not read");
      };
      await read(file, { accept });
    } finally {
      closeSync(file);
    }
  } catch {
    // no backup, or damaged: nothing is known of it
  }
  return found;
}

/** Undefined where it is not sealed. */
function readSealedGist(file: number): string | undefined {
  const head = Buffer.alloc(mostGistBytes + 64);
  return sealedGist(head.subarray(0, readSync(file, head, 0, head.length, 0)));
}

async function* pack(manifest: Manifest, parts: readonly Part[], progress: Progress | undefined): AsyncGenerator<Buffer> {
  const at = Date.parse(manifest.takenAt);
  const text = Buffer.from(`${JSON.stringify(manifest, null, 2)}\n`);
  const sums = [`${createHash("sha256").update(text).digest("hex")}  ${manifestName}`];
  const all = manifest.parts.reduce((sum, { bytes }) => sum + bytes, 0);
  yield* one({ name: manifestName, bytes: text.length }, [text]);
  let done = 0;
  for (const [index, part] of parts.entries()) {
    const told = manifest.parts[index];
    if (told?.name !== part.name) throw new PlantgateError("INVARIANT", "a backup's parts are not those of its manifest");
    sums.push(`${told.sha256}  ${told.name}`);
    yield* one(told, counted(contentOf(part)));
  }
  const last = Buffer.from(`${sums.join("\n")}\n`);
  yield* one({ name: sumsName, bytes: last.length }, [last]);
  yield tarEnd;

  async function* one(entry: TarEntry, content: AsyncIterable<Buffer> | Iterable<Buffer>): AsyncGenerator<Buffer> {
    yield tarHeader(entry, at);
    yield* content;
    yield tarPadding(entry.bytes);
  }
  async function* counted(content: AsyncIterable<Buffer> | Iterable<Buffer>): AsyncGenerator<Buffer> {
    for await (const piece of content) {
      yield piece;
      done += piece.length;
      progress?.(done, all);
    }
  }
}

/** Where a part's content goes while a backup is read; undefined: it is only judged. */
export type Sink = (part: PartName) => { write(piece: Buffer): void | Promise<void>; end(): void | Promise<void> } | undefined;

/**
 * Reads a whole backup and holds every byte of it against its checksums.
 * @param source its path, or an open file
 * @param accept judges the manifest before anything else is read
 * @throws PlantgateError INPUT_INVALID where it is damaged, or no backup; FORMAT_NEWER; CONFIG_INVALID where it is sealed and not opened
 */
export async function readArchive(source: string | number, options: ReadOptions = {}): Promise<Manifest> {
  if (typeof source === "number") return read(source, options);
  const file = openBackup(source);
  try {
    return await read(file, options);
  } finally {
    closeSync(file);
  }
}

/** Without waiting for whoever may write into it, where it is a pipe: that is no backup. */
export function openBackup(path: string): number {
  return openSync(path, files.O_RDONLY | (files.O_NONBLOCK ?? 0));
}

interface ReadOptions {
  readonly opener?: Opener;
  readonly accept?: ((manifest: Manifest) => void | Promise<void>) | undefined;
  readonly sink?: Sink;
  readonly progress?: Progress | undefined;
}

const pieceBytes = 1024 * 1024;

async function read(file: number, options: ReadOptions): Promise<Manifest> {
  const is = fstatSync(file);
  if (is.isDirectory()) throw new PlantgateError("INPUT_INVALID", "it is a folder: name one of the backups in it");
  if (!is.isFile()) throw new PlantgateError("INPUT_INVALID", "it is no file: name the backup itself");
  const all = is.size;
  let done = 0;
  // not by a stream: one that is left early closes the file behind its owner's back, in another thread, when its number may be another file's
  const raw = async function* (): AsyncGenerator<Buffer> {
    for (;;) {
      const piece = Buffer.allocUnsafe(pieceBytes);
      const read = readSync(file, piece, 0, pieceBytes, done);
      if (read === 0) return;
      done += read;
      yield piece.subarray(0, read);
      options.progress?.(done, all);
    }
  };
  let given = 0;
  const counting = async function* (pieces: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
    for await (const piece of pieces) {
      given += piece.length;
      yield piece;
    }
  };
  const judge = new Judge(options.accept, options.sink);
  try {
    const opened = counting(sealedHead(file) ? unseal(raw(), requireOpener(options.opener)) : raw());
    const decompress = createZstdDecompress();
    await pipeline(opened, decompress, (inflated: AsyncIterable<Buffer>) => readTar(inflated, (entry) => judge.begin(entry)));
    // what follows the compressed frame is passed over by whoever inflates it
    if (decompress.bytesWritten !== given)
      throw new PlantgateError("INPUT_INVALID", "it is no whole backup: something follows its end");
    return judge.finish();
  } catch (error) {
    if (error instanceof PlantgateError || (error instanceof Error && "syscall" in error)) throw error;
    throw new PlantgateError("INPUT_INVALID", "it is no whole backup: it was changed or cut off", { cause: error });
  }
}

/** Holds what is read against the manifest, and the manifest against the sums. */
class Judge {
  readonly #accept: ((manifest: Manifest) => void | Promise<void>) | undefined;
  readonly #sink: Sink | undefined;
  readonly #sums: string[] = [];
  #manifest: Manifest | undefined;
  #told: string | undefined;

  constructor(accept: ((manifest: Manifest) => void | Promise<void>) | undefined, sink: Sink | undefined) {
    this.#accept = accept;
    this.#sink = sink;
  }

  begin(entry: TarEntry): { write(piece: Buffer): void | Promise<void>; end(): void | Promise<void> } {
    const hash = createHash("sha256");
    if (!this.#manifest) {
      if (entry.name !== manifestName) throw new PlantgateError("INPUT_INVALID", "it is no backup of a Plantgate central");
      return this.#text(entry, hash, async (text) => {
        this.#manifest = parseManifest(text);
        await this.#accept?.(this.#manifest);
      });
    }
    if (entry.name === sumsName)
      return this.#text(entry, createHash("sha256"), (text) => {
        this.#told = text;
      });
    const told = this.#manifest.parts[this.#sums.length - 1];
    if (told?.name !== entry.name || told.bytes !== entry.bytes)
      throw new PlantgateError("INPUT_INVALID", `it is damaged: ${entry.name} is not what its manifest says`);
    const sink = this.#sink?.(told.name);
    return {
      write: (piece) => {
        hash.update(piece);
        return sink?.write(piece);
      },
      end: async () => {
        await sink?.end();
        const sum = hash.digest("hex");
        if (sum !== told.sha256) throw new PlantgateError("INPUT_INVALID", `it is damaged: ${told.name} is not what it was`);
        this.#sums.push(`${sum}  ${told.name}`);
      },
    };
  }

  finish(): Manifest {
    const manifest = this.#manifest;
    if (!manifest || this.#sums.length - 1 !== manifest.parts.length || this.#told !== `${this.#sums.join("\n")}\n`)
      throw new PlantgateError("INPUT_INVALID", "it is damaged: its sums are not those of its content");
    return manifest;
  }

  #text(entry: TarEntry, hash: Hash, take: (text: string) => void | Promise<void>) {
    if (entry.bytes > mostManifestBytes) throw new PlantgateError("INPUT_INVALID", "it is no backup of a Plantgate central");
    const pieces: Buffer[] = [];
    return {
      write: (piece: Buffer): void => {
        pieces.push(piece);
        hash.update(piece);
      },
      end: async (): Promise<void> => {
        if (entry.name === manifestName) this.#sums.push(`${hash.digest("hex")}  ${manifestName}`);
        await take(Buffer.concat(pieces).toString("utf8"));
      },
    };
  }
}

function contentOf(part: Part): AsyncIterable<Buffer> | Iterable<Buffer> {
  if ("text" in part) return [Buffer.from(part.text)];
  return createReadStream(part.file, { highWaterMark: 1024 * 1024 }) as AsyncIterable<Buffer>;
}

function sealedHead(file: number): boolean {
  const head = Buffer.alloc(64);
  return isSealed(head.subarray(0, readSync(file, head, 0, head.length, 0)));
}

function requireOpener(opener: Opener): NonNullable<Opener> {
  if (opener) return opener;
  throw new PlantgateError("CONFIG_INVALID", "this backup is sealed: give the private key that opens it with --recovery-key");
}
