import { randomUUID } from "node:crypto";
import { existsSync, realpathSync, rmSync } from "node:fs";
import type { FileHandle } from "node:fs/promises";
import { basename, dirname, join, resolve, sep } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { createZstdCompress } from "node:zlib";
import { type Clock, PlantgateError, toInstant } from "../../protocol/index.ts";
import { lockFolder } from "../identity/folder-lock.ts";
import { Identity } from "../identity/identity.ts";
import { freeReserve } from "../queue/disk.ts";
import { queueFile } from "../queue/read.ts";
import { whatIsFull } from "../queue/room.ts";
import { readStored } from "../settings/stored.ts";
import { version } from "../version.ts";
import { flushFolder, isNoRoom, writeFlushed } from "../write-flushed.ts";
import { maxHeaderBytes, type Recipient, readHeader, sealHeader } from "./header.ts";
import { isShut, openQueueAgain, shutQueue } from "./left-queue.ts";
import { type MovedOut, moveFiles, readMovedOut } from "./marks.ts";
import { packParts, partsOf } from "./parts.ts";
import { sealStream } from "./sealed-stream.ts";

export interface MoveOutOptions {
  readonly dataDir: string;
  /** Where the file is written to, and the handle of it: whoever asks may write where the folder's owner may not. */
  readonly file: string;
  readonly output: FileHandle;
  readonly to: Recipient;
}
/** How much of how much was read. */
export type MoveProgress = (bytes: number, ofBytes: number) => void;

export interface Moved {
  readonly site: string;
  /** Of the gateway's key. */
  readonly fingerprint: string;
  readonly files: number;
  readonly sizeBytes: number;
}

/**
 * Moves a stopped gateway out of its folder into one sealed file. The folder is marked first, flushed: from then on the gateway does not start
 * there, so that there are never two of it, whatever ends this; the same again goes on. The file is flushed on return.
 * @throws PlantgateError DATA_FOLDER_LOCKED while the gateway runs; FOLDER_MOVED: it was moved out before; CONFIG_INVALID; USAGE: the file holds something that
 * this folder did not leave there
 */
export async function moveOut(
  { dataDir, file, output, to }: MoveOutOptions,
  { clock, tell }: { readonly clock: Clock; readonly tell: MoveProgress },
): Promise<Moved> {
  requireGateway(dataDir);
  requireElsewhere(dataDir, file);
  const unlock = withRoom(dataDir, () => lockFolder(dataDir, "mover"));
  try {
    requireMovable(dataDir);
    await requireOwn(dataDir, file, output);
    const { site, queueFormat } = withRoom(dataDir, () => facts(dataDir));
    const identity = withRoom(dataDir, () => Identity.open(dataDir));
    // what cannot go is found before the mark: such a gateway may run on
    const parts = partsOf(dataDir);
    // a try that ended before it wrote anything leaves the file of the one before to the next: all of them are one move
    const mark: MovedOut = {
      id: unfinished(dataDir)?.id ?? randomUUID(),
      site,
      at: toInstant(clock.now()),
      file: resolve(file),
      written: false,
    };
    withRoom(dataDir, () => write(dataDir, mark));
    const sizeBytes = parts.reduce((sum, part) => sum + part.sizeBytes, 0);
    const told = { id: mark.id, site, at: mark.at, gatewayVersion: version, queueFormat, sizeBytes };
    const { bytes, key } = await sealHeader(told, identity.current, to);
    await output.truncate(0);
    await output.write(bytes, 0, bytes.length, 0);
    let at = bytes.length;
    await pipeline(
      Readable.from(packParts(dataDir, parts, (read) => tell(read, sizeBytes))),
      createZstdCompress(),
      (source: AsyncIterable<Uint8Array>) => sealStream(source, key),
      async (sealed: AsyncIterable<Buffer>) => {
        for await (const chunk of sealed) at += await writeAll(output, chunk, at);
      },
    );
    await output.sync();
    withRoom(dataDir, () => write(dataDir, { ...mark, written: true }));
    // behind the file, which has the queue as it was
    shutQueue(queueFile(dataDir));
    return { site, fingerprint: identity.fingerprint, files: parts.length, sizeBytes };
  } finally {
    unlock();
  }
}

/**
 * The gateway runs here again. Only a person can tell that the file was taken in nowhere.
 * @throws PlantgateError DATA_FOLDER_LOCKED; CONFIG_INVALID: it was not moved out
 */
export function undoMoveOut(dataDir: string): void {
  const unlock = lockFolder(dataDir, "mover");
  try {
    requireMovedOut(dataDir);
    openQueueAgain(queueFile(dataDir));
    rmSync(join(dataDir, moveFiles.out), { force: true });
    flushFolder(dataDir);
  } finally {
    unlock();
  }
}

/** @throws PlantgateError CONFIG_INVALID */
export function requireMovedOut(dataDir: string): MovedOut | "unreadable" {
  const mark = existsSync(dataDir) ? readMovedOut(dataDir) : undefined;
  if (mark !== undefined) return mark;
  // somebody took the mark away by hand
  if (isShut(queueFile(dataDir))) return "unreadable";
  throw new PlantgateError("CONFIG_INVALID", `the gateway in ${dataDir} was not moved out: there is nothing to undo`);
}

/** A folder that no gateway has is not marked, and nothing is made in it. */
function requireGateway(dataDir: string): void {
  if (existsSync(join(dataDir, "identity", "gateway.key"))) return;
  throw new PlantgateError("CONFIG_INVALID", `${dataDir} is no data folder of a gateway: there is no identity/gateway.key in it`);
}

function requireElsewhere(dataDir: string, file: string): void {
  const folder = realpathSync(dataDir);
  const into = lookAt(dirname(resolve(file)));
  if (into !== undefined && join(into, basename(file)).startsWith(folder + sep))
    throw new PlantgateError("USAGE", `${file} lies in the folder that it is made of: write it elsewhere, such as on a stick`);
}

/** Undefined: the folder's owner may not look there, as at a stick that is mounted for another user; into its own folder it may. */
function lookAt(path: string): string | undefined {
  try {
    return realpathSync(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EACCES") return undefined;
    throw error;
  }
}

/** What is in the file is written over only where an earlier try of this very folder left it: it may hold all that is left of another gateway. */
async function requireOwn(dataDir: string, file: string, output: FileHandle): Promise<void> {
  if ((await output.stat()).size === 0) return;
  const before = unfinished(dataDir);
  if (before) {
    const there = await readHeader(output).catch(() => undefined);
    // cut off in its header, it holds nothing of anybody
    if (there ? there.header.id === before.id : before.file === resolve(file) && (await isCutOff(output))) return;
  }
  throw new PlantgateError(
    "USAGE",
    `${file} is there already, and was not left by an earlier try to move this gateway: give another name. It may hold all that is left of another gateway`,
  );
}

/** An earlier try of this folder, whose file may not be whole. */
function unfinished(dataDir: string): MovedOut | undefined {
  const before = readMovedOut(dataDir);
  return before === undefined || before === "unreadable" || before.written ? undefined : before;
}

async function isCutOff(output: FileHandle): Promise<boolean> {
  return (await output.stat()).size < maxHeaderBytes;
}

/** A disk that is full is a reason to move: the reserve pays for what is noted of it. @throws PlantgateError DISK_FAILED where that is not enough */
function withRoom<Value>(dataDir: string, work: () => Value): Value {
  try {
    return work();
  } catch (error) {
    if (!isFull(error, queueFile(dataDir))) throw error;
    if (freeReserve(queueFile(dataDir)))
      try {
        return work();
      } catch (again) {
        if (!isFull(again, queueFile(dataDir))) throw again;
      }
    throw new PlantgateError(
      "DISK_FAILED",
      `the disk of ${dataDir} is full, and the mark of a gateway that moves out has no room: delete something on it that is not the gateway's, then run the same again. Nothing was moved`,
      { cause: error },
    );
  }
}

function isFull(error: unknown, queuePath: string): boolean {
  const cause = error instanceof PlantgateError ? error.cause : error;
  return isNoRoom(cause) || whatIsFull(cause, queuePath) !== undefined;
}

function requireMovable(dataDir: string): void {
  if (existsSync(join(dataDir, moveFiles.staging)))
    throw new PlantgateError("FOLDER_MOVED", `a gateway is being moved into ${dataDir}: finish that first, with move-in`);
  // where the mark was taken away by hand, the queue tells: what goes out of there could be taken in nowhere
  const before = readMovedOut(dataDir) ?? (isShut(queueFile(dataDir)) ? "unreadable" : undefined);
  if (before === undefined || (before !== "unreadable" && !before.written)) return;
  // it may have been ended just before that
  if (before !== "unreadable") shutQueue(queueFile(dataDir));
  const where = before === "unreadable" ? "" : ` on ${before.at} to ${before.file}`;
  throw new PlantgateError(
    "FOLDER_MOVED",
    `the gateway in ${dataDir} was moved out before${where}. Only where that file is lost and was taken in nowhere: plantgate gateway move-out --undo --data ${dataDir}, then move it out anew`,
  );
}

/** What the queue's file and the settings say; of a damaged queue nothing is asked. */
function facts(dataDir: string): { readonly site: string; readonly queueFormat: number } {
  const asked = askQueue(queueFile(dataDir));
  const site = readStored(dataDir)?.site ?? asked?.site;
  if (site === undefined)
    throw new PlantgateError("CONFIG_INVALID", `${dataDir} does not say which site it is of: its gateway never ran here`);
  return { site, queueFormat: asked?.queueFormat ?? 0 };
}

function askQueue(path: string): { readonly site: string; readonly queueFormat: number } | undefined {
  if (!existsSync(path)) return undefined;
  try {
    const db = new DatabaseSync(path, { readOnly: true });
    try {
      const rows = db.prepare("SELECT name, value FROM meta WHERE name IN ('site', 'format', 'readableBy')").all();
      const meta = new Map(rows.map(({ name, value }) => [String(name), String(value)]));
      const site = meta.get("site");
      return site === undefined ? undefined : { site, queueFormat: Number(meta.get("readableBy") ?? meta.get("format") ?? 0) };
    } finally {
      db.close();
    }
  } catch (error) {
    // even looking at it takes a little room
    if (isFull(error, path)) throw error;
    return undefined;
  }
}

function write(dataDir: string, mark: MovedOut): void {
  writeFlushed(join(dataDir, moveFiles.out), Buffer.from(`${JSON.stringify(mark, null, 2)}\n`));
}

async function writeAll(output: FileHandle, bytes: Buffer, position: number): Promise<number> {
  for (let at = 0; at < bytes.length; ) at += (await output.write(bytes, at, bytes.length - at, position + at)).bytesWritten;
  return bytes.length;
}
